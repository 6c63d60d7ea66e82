"""TLS reports (RFC 8460): what is counted, and how it is told."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from txsmtpconn.transport.nexthop import reporting
from txsmtpconn.transport.nexthop.reporting import (
    NO_POLICY,
    Failed,
    PolicyApplied,
    PolicyType,
    TLSReports,
)

STS = PolicyApplied(
    PolicyType.STS,
    "a.test",
    ("version: STSv1", "mode: testing", "mx: *.a.test", "max_age: 86400"),
    ("*.a.test",),
)
EXPIRED = Failed(
    "certificate-expired", "mx.a.test", "192.0.2.1", "198.51.100.1", "mx.a.test", "it has expired"
)


@pytest.fixture
def reports() -> TLSReports:
    """Two failures of one kind, one of another, and sessions that were good."""
    reports = TLSReports("Company-X", "sts-reporting@company-x.test")
    for _ in range(3):
        reports.succeeded("a.test", STS)
    for failure in (EXPIRED, EXPIRED, Failed("starttls-not-supported", "mx2.a.test")):
        reports.failed("a.test", STS, failure)
    reports.succeeded("a.test", NO_POLICY)
    return reports


def test_a_report_as_section_4_4_has_it(reports: TLSReports) -> None:
    """Its fields, and no others; times in UTC; what is not known is left out."""
    begin = datetime(2016, 4, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    told = reports.report(
        "a.test",
        start=begin,
        end=datetime(2016, 4, 1, 23, 59, 59, tzinfo=UTC),
        report_id="5065427c-23d3@company-x.test",
    )
    assert json.loads(told) == {
        "organization-name": "Company-X",
        "date-range": {
            "start-datetime": "2016-04-01T00:00:00Z",
            "end-datetime": "2016-04-01T23:59:59Z",
        },
        "contact-info": "sts-reporting@company-x.test",
        "report-id": "5065427c-23d3@company-x.test",
        "policies": [
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-string": list(STS.lines),
                    "policy-domain": "a.test",
                    "mx-host": ["*.a.test"],
                },
                "summary": {
                    "total-successful-session-count": 3,
                    "total-failure-session-count": 3,
                },
                "failure-details": [
                    {
                        "result-type": "certificate-expired",
                        "sending-mta-ip": "198.51.100.1",
                        "receiving-mx-hostname": "mx.a.test",
                        "receiving-mx-helo": "mx.a.test",
                        "receiving-ip": "192.0.2.1",
                        "failed-session-count": 2,
                        "failure-reason-code": "it has expired",
                    },
                    {
                        "result-type": "starttls-not-supported",
                        "receiving-mx-hostname": "mx2.a.test",
                        "failed-session-count": 1,
                    },
                ],
            },
            {
                "policy": {"policy-type": "no-policy-found", "policy-domain": "a.test"},
                "summary": {
                    "total-successful-session-count": 1,
                    "total-failure-session-count": 0,
                },
            },
        ],
    }


def test_a_report_that_was_sent_is_begun_anew(reports: TLSReports) -> None:
    """`clear`."""
    reports.succeeded("b.test", NO_POLICY)
    reports.clear("a.test")
    assert reports.domains == ["b.test"]
    assert reports.counts("a.test") == {}


def test_memory_has_limits(reports: TLSReports, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spammer's list of domains, and a server that fails in a new way each time."""
    monkeypatch.setattr(reporting, "DESTINATIONS", 2)
    monkeypatch.setattr(reporting, "KINDS", 3)
    for number in range(10):
        reports.succeeded(f"d{number}.test", NO_POLICY)
        reports.failed("a.test", STS, Failed("validation-failure", "mx.test", reason=str(number)))
    assert reports.domains == ["a.test", "d0.test"]
    assert reports.left_out == 9
    counts = reports.counts("a.test")[STS]
    assert (counts.failed, len(counts.failures)) == (13, 3)
