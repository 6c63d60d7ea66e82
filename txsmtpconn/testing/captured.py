"""What a capture server has seen: messages, sessions, and how to tell of them.

This module imports no Twisted: the same values come out of a capture server in another process.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cached_property
from typing import Any

from txsmtpconn.envelope import DSN, Envelope, Recipient

#: A report of what has not come shows so many of the last sessions, and of the lines of each.
_SHOWN_SESSIONS = 20
_SHOWN_LINES = 100


class MissingMessages(AssertionError):
    """Not as many messages came as were waited for. The message tells what came instead."""


@dataclass(frozen=True, slots=True)
class CapturedSession:
    """One client's session, as it was at a moment.

    Attributes:
        id: Names it.
        client: The client's IP address; empty for a unix socket.
        hello_name: What the client calls itself; empty before its hello.
        user: Who it has authenticated as.
        tls: The version of TLS, such as ``"TLSv1.3"``; None in clear.
        protocol: How mail comes, as a Received field says it: ``"ESMTPSA"`` (RFC 3848).
        transcript: The lines of the conversation: ``"C: "`` or ``"S: "``, and a line. Secrets and
            mail data are left out.
        closed: Whether the connection has ended.
    """

    id: str
    client: str
    hello_name: str
    user: str | None
    tls: str | None
    protocol: str
    transcript: tuple[str, ...] = ()
    closed: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> CapturedSession:
        """Make one of what `as_json` returned."""
        return cls(**{**told, "transcript": tuple(told["transcript"])})

    def __str__(self) -> str:
        """Show who it was and what was said."""
        facts = [
            f"from {self.client or 'a unix socket'}",
            f"hello {self.hello_name!r}" if self.hello_name else "no hello",
            f"user {self.user!r}" if self.user is not None else "no user",
            self.tls or "no TLS",
            "closed" if self.closed else "open",
        ]
        lines = list(self.transcript)
        if len(lines) > _SHOWN_LINES:
            lines[:-_SHOWN_LINES] = [f"({len(lines) - _SHOWN_LINES} lines more)"]
        said = "".join(f"\n  {line}" for line in lines)
        return f"session {self.id}: {', '.join(facts)}{said}"


@dataclass(frozen=True)
class CapturedMessage:
    """A message that was accepted.

    Attributes:
        envelope: Who sent it to whom, under what conditions: what MAIL and RCPT have said.
        raw: Its octets as they came, transparency undone.
        session: The session that brought it, as it was then.
        rcpt_to: The recipients that it was accepted for. In LMTP some of the envelope's may have
            been refused at the end.
    """

    envelope: Envelope
    raw: bytes
    session: CapturedSession
    rcpt_to: tuple[str, ...]

    @property
    def mail_from(self) -> str:
        """The reverse-path; empty for the null reverse-path."""
        return self.envelope.mail_from

    @cached_property
    def email(self) -> EmailMessage:
        """The message, parsed."""
        return message_from_bytes(self.raw, policy=policy.default)

    @property
    def subject(self) -> str:
        """The Subject field, decoded; empty where there is none."""
        return str(self.email["subject"] or "")

    @property
    def text(self) -> str:
        """The body that a reader without HTML sees, lines ending in LF; empty if there is none.

        Raises:
            LookupError: The message names a charset that there is not.
        """
        return self._body("plain")

    @property
    def html(self) -> str:
        """The body in HTML, lines ending in LF; empty if there is none.

        Raises:
            LookupError: The message names a charset that there is not.
        """
        return self._body("html")

    def _body(self, kind: str) -> str:
        body = self.email.get_body((kind,))
        return "" if body is None else str(body.get_content()).replace("\r\n", "\n")

    def as_json(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        return {
            "envelope": _envelope_as_json(self.envelope),
            "raw": base64.b64encode(self.raw).decode("ascii"),
            "session": self.session.as_json(),
            "rcpt_to": list(self.rcpt_to),
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> CapturedMessage:
        """Make one of what `as_json` returned."""
        return cls(
            envelope=_envelope_from_json(told["envelope"]),
            raw=base64.b64decode(told["raw"]),
            session=CapturedSession.from_json(told["session"]),
            rcpt_to=tuple(told["rcpt_to"]),
        )

    def __str__(self) -> str:
        whom = ", ".join(f"<{address}>" for address in self.rcpt_to)
        return (
            f"message from <{self.mail_from}> to {whom}, subject {self.subject!r},"
            f" {len(self.raw)} octets"
        )


def _envelope_as_json(envelope: Envelope) -> dict[str, Any]:
    given = {each.name: getattr(envelope, each.name) for each in fields(envelope)}
    del given["addresses"], given["own_dsn"]
    given["rcpt_to"] = [(each.address, _dsn_as_json(each.dsn)) for each in envelope.recipients]
    given["dsn"] = _dsn_as_json(envelope.dsn)
    return given


def _envelope_from_json(told: Mapping[str, Any]) -> Envelope:
    given = dict(told)
    given["rcpt_to"] = [
        Recipient(address, None if dsn is None else DSN(**dsn)) for address, dsn in told["rcpt_to"]
    ]
    given["dsn"] = None if told["dsn"] is None else DSN(**told["dsn"])
    if told["deliver_by"] is not None:
        given["deliver_by"] = tuple(told["deliver_by"])
    return Envelope(**given)


def _dsn_as_json(dsn: DSN | None) -> dict[str, Any] | None:
    if dsn is None:
        return None
    return {name: getattr(dsn, name) for name in ("ret", "envid", "notify", "orcpt")}


def report(
    wanted: str,
    messages: Sequence[CapturedMessage],
    sessions: Sequence[CapturedSession],
    rules: str,
    place: str,
) -> str:
    """Tell what was wanted, and what came instead, down to the last line said.

    Args:
        wanted: What was.
        messages: Those that came.
        sessions: Those there were.
        rules: What the server followed.
        place: Where it listens: a client that has never come may look elsewhere.
    """
    lines = [f"{wanted}; {len(messages) or 'none'} came"]
    lines += map(str, messages)
    if len(sessions) > _SHOWN_SESSIONS:
        lines.append(f"({len(sessions) - _SHOWN_SESSIONS} sessions more)")
    lines += map(str, sessions[-_SHOWN_SESSIONS:])
    if not sessions:
        lines.append(f"nobody has connected to {place}")
    if rules:
        lines += ["rules:", rules]
    return "\n".join(lines)
