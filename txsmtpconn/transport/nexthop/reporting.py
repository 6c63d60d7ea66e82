"""TLS reporting (RFC 8460): counts of what TLS came to, and the report that a domain may want.

The counting is by destination and policy, in memory, and bounded. To look up ``_smtp._tls`` and to
send what `TLSReports.report` renders is for whoever runs the service: once a day, as the RFC says.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

#: Destinations that are counted, and kinds of failure of each; others are left out, and counted.
DESTINATIONS = 10_000
KINDS = 100


class PolicyType(Enum):
    """What kind of policy a domain has published."""

    TLSA = "tlsa"
    STS = "sts"
    NONE = "no-policy-found"


@dataclass(frozen=True, slots=True)
class PolicyApplied:
    """A policy as reports name it (section 4.4).

    Attributes:
        kind: What it is.
        domain: Whose it is.
        lines: Its records, or its lines.
        hosts: The hosts, or patterns, that it is for.
    """

    kind: PolicyType
    domain: str = ""
    lines: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


NO_POLICY = PolicyApplied(PolicyType.NONE)


@dataclass(frozen=True, slots=True)
class Failed:
    """A kind of failure, as far as a report tells them apart.

    Attributes:
        kind: A result type of section 4.3.
        host: The mail exchange.
        address: Its IP address; empty where none was tried.
        own_address: The IP address we came from; empty where that is not known.
        helo: What the mail exchange called itself; empty where it did not.
        reason: More about it, for a person.
    """

    kind: str
    host: str
    address: str = ""
    own_address: str = ""
    helo: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Measure:
    """A policy that sessions with a host are measured by; there may be several.

    Attributes:
        policy: It.
        flaw: What is wrong with every session, where none can be as the policy wants it.
    """

    policy: PolicyApplied
    flaw: Failed | None = None


#: For a destination that has published nothing.
BY_NO_POLICY = (Measure(NO_POLICY),)


@dataclass(slots=True)
class TLSCounts:
    """The sessions with one destination under one policy.

    Attributes:
        successful: Those in which TLS was all that the policy wants.
        failed: Those in which it was not.
        failures: How often each kind.
    """

    successful: int = 0
    failed: int = 0
    failures: Counter[Failed] = field(default_factory=Counter)


class TLSReports:
    """Counts sessions; hand one to `SMTPTransport.to_mx` as ``tls_reports``.

    Args:
        organization: Who sends the reports.
        contact: Whom to ask about them, an address.

    Attributes:
        left_out: Sessions that were not counted, as there were too many destinations.
    """

    def __init__(self, organization: str, contact: str) -> None:
        self._organization = organization
        self._contact = contact
        self.left_out = 0
        self._counts: dict[str, dict[PolicyApplied, TLSCounts]] = {}

    @property
    def domains(self) -> list[str]:
        """The destinations that there is something to say about."""
        return list(self._counts)

    def counts(self, domain: str) -> dict[PolicyApplied, TLSCounts]:
        """Return the counts of a destination, by policy."""
        return dict(self._counts.get(domain, {}))

    def succeeded(self, domain: str, policy: PolicyApplied) -> None:
        """Count a session that was as the policy wants it."""
        counts = self._of(domain, policy)
        if counts is not None:
            counts.successful += 1

    def failed(self, domain: str, policy: PolicyApplied, failure: Failed) -> None:
        """Count a session that was not."""
        counts = self._of(domain, policy)
        if counts is None:
            return
        counts.failed += 1
        if failure in counts.failures or len(counts.failures) < KINDS:
            counts.failures[failure] += 1

    def _of(self, domain: str, policy: PolicyApplied) -> TLSCounts | None:
        if domain not in self._counts and len(self._counts) >= DESTINATIONS:
            self.left_out += 1
            return None
        by_policy = self._counts.setdefault(domain, {})
        if policy not in by_policy and len(by_policy) >= KINDS:
            self.left_out += 1
            return None
        return by_policy.setdefault(policy, TLSCounts())

    def clear(self, domain: str) -> None:
        """Begin anew with a destination, once its report has been sent."""
        self._counts.pop(domain, None)

    def report(self, domain: str, *, start: datetime, end: datetime, report_id: str) -> bytes:
        """Render the report for a destination (section 4.4), as ``application/tlsrpt+json``.

        Args:
            domain: The destination.
            start: Since when has been counted.
            end: Until when.
            report_id: Unique among ours, with characters as a Message-ID has them.
        """
        body = {
            "organization-name": self._organization,
            "date-range": {"start-datetime": _moment(start), "end-datetime": _moment(end)},
            "contact-info": self._contact,
            "report-id": report_id,
            "policies": [
                _policy(domain, policy, counts)
                for policy, counts in self._counts.get(domain, {}).items()
            ],
        }
        return json.dumps(body, ensure_ascii=False, indent=1).encode("utf-8")


def _policy(domain: str, policy: PolicyApplied, counts: TLSCounts) -> dict[str, Any]:
    described: dict[str, Any] = {
        "policy-type": policy.kind.value,
        "policy-domain": policy.domain or domain,
    }
    if policy.lines:
        described["policy-string"] = list(policy.lines)
    if policy.hosts:
        described["mx-host"] = list(policy.hosts)
    told: dict[str, Any] = {
        "policy": described,
        "summary": {
            "total-successful-session-count": counts.successful,
            "total-failure-session-count": counts.failed,
        },
    }
    if counts.failures:
        told["failure-details"] = list(_details(counts.failures))
    return told


def _details(failures: Counter[Failed]) -> Iterable[dict[str, Any]]:
    for failure, times in failures.items():
        named = {
            "result-type": failure.kind,
            "sending-mta-ip": failure.own_address,
            "receiving-mx-hostname": failure.host,
            "receiving-mx-helo": failure.helo,
            "receiving-ip": failure.address,
            "failure-reason-code": failure.reason,
        }
        yield {name: value for name, value in named.items() if value} | {
            "failed-session-count": times
        }


def _moment(time: datetime) -> str:
    """RFC 3339, in UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
