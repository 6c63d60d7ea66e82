"""MTA-STS (RFC 8461): the record, the policy, and what a policy says of a host. No network here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from txsmtpconn.errors import ConfigError
from txsmtpconn.net.tls import is_address, reference_name

#: Octets of a policy; RFC 8461 section 3.3 suggests 64 kilobytes.
POLICY_OCTETS = 64 * 1024

#: Seconds that a policy may hold (section 3.2).
MAX_AGE = 31_557_600

#: Patterns of one policy.
_PATTERNS = 1000

#: sts-id, or what else a record may hold (section 3.1).
_ID = re.compile(r"id=([A-Za-z0-9]{1,32})")
_FIELD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}=[!-:<>-~]+")


class Mode(Enum):
    """What a domain wants of those who send to it (section 5)."""

    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class STSPolicy:
    """What a domain has published.

    Attributes:
        mode: Whether it is meant.
        mx: Its mail exchanges: names, or ``"*.example.org"``.
        max_age: Seconds for which it holds.
    """

    mode: Mode
    mx: tuple[str, ...]
    max_age: int

    def admits(self, host: str) -> bool:
        """Tell whether a host is one of its exchanges (section 4.1): ``*`` is one whole label."""
        _, dot, parent = host.partition(".")
        return host in self.mx or (bool(dot) and f"*.{parent}" in self.mx)

    def lines(self) -> list[str]:
        """Return the policy as it was published, for reports (RFC 8460 section 4.4)."""
        named = [f"mx: {pattern}" for pattern in self.mx]
        return ["version: STSv1", f"mode: {self.mode.value}", *named, f"max_age: {self.max_age}"]


def record_id(records: Iterable[bytes]) -> str | None:
    """Return the policy's id from the TXT records of ``_mta-sts``; None if there is no policy.

    Section 3.1: other records do not count, and two that do are none; nor is a malformed one.
    """
    found = [text for text in records if re.match(rb"v=STSv1[ \t]*;", text)]
    if len(found) != 1:
        return None
    _, *fields = (field.strip(" \t") for field in found[0].decode("ascii", "replace").split(";"))
    if not fields[-1]:
        fields.pop()
    if not all(map(_FIELD.fullmatch, fields)):
        return None
    # Of a field that is there twice, the first counts (section 3.2).
    own = _ID.fullmatch(next((field for field in fields if field.startswith("id=")), ""))
    return None if own is None else own[1]


def parse_policy(octets: bytes) -> STSPolicy:
    """Read a policy file (section 3.2).

    Raises:
        ConfigError: It is none; the text tells what is wrong.
    """
    if len(octets) > POLICY_OCTETS:
        raise ConfigError(f"the policy is longer than {POLICY_OCTETS} octets")
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError("the policy is not UTF-8") from None
    fields: dict[str, str] = {}
    patterns: list[str] = []
    for line in re.split(r"\r?\n", text):
        name, colon, value = line.partition(":")
        name, value = name.strip(" \t"), value.strip(" \t")
        if not line.strip():
            continue
        if not colon or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", name):
            raise ConfigError("a line of the policy is no field")
        if name == "mx":
            patterns.append(_pattern(value))
        else:
            # Section 3.2: of a field that is there twice, the first counts.
            fields.setdefault(name, value)
    if fields.get("version") != "STSv1":
        raise ConfigError("the policy is not of version STSv1")
    try:
        mode = Mode(fields.get("mode"))
    except ValueError:
        raise ConfigError("the policy has no mode that is known") from None
    age = fields.get("max_age", "")
    if not re.fullmatch(r"[0-9]{1,10}", age) or int(age) > MAX_AGE:
        raise ConfigError("the policy has no max_age that is allowed")
    if mode is not Mode.NONE and not patterns:
        raise ConfigError("the policy names no mail exchange")
    if len(patterns) > _PATTERNS:
        raise ConfigError(f"the policy names more than {_PATTERNS} mail exchanges")
    return STSPolicy(mode, tuple(dict.fromkeys(patterns)), int(age))


def _pattern(text: str) -> str:
    star = "*." if text.startswith("*.") else ""
    try:
        name = reference_name(text.removeprefix("*."))
    except ConfigError:
        name = ""
    if not name or is_address(name):
        raise ConfigError("a mail exchange of the policy is no host name")
    return star + name
