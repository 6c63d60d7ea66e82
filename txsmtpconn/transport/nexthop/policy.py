"""What TLS is wanted at each destination, as it is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from txsmtpconn.errors import ConfigError
from txsmtpconn.net.identity import Fingerprint, NamedByAuthority
from txsmtpconn.transport.nexthop.table import DomainTable, spelled


class Level(Enum):
    """How sure we want to be, by the names that Postfix has made known."""

    #: No TLS.
    NONE = "none"
    #: TLS where it is offered, with anybody; in clear where it is not, or where it fails.
    MAY = "may"
    #: TLS, with anybody.
    ENCRYPT = "encrypt"
    #: TLS, and an authority names the host that DNS led us to.
    VERIFY = "verify"
    #: TLS, and an authority names the domain that the mail is for, or a host below it.
    SECURE = "secure"
    #: TLS, and the certificate or its key is known.
    FINGERPRINT = "fingerprint"
    #: What the domain's TLSA records say (RFC 7672); `MAY` where it has none.
    DANE = "dane"
    #: The same; no mail where it has none.
    DANE_ONLY = "dane-only"
    #: What the domain's MTA-STS policy says (RFC 8461); `MAY` where it has none.
    MTA_STS = "mta-sts"
    #: TLSA records where some can be used, else the MTA-STS policy (RFC 8461 section 2).
    DANE_MTA_STS = "dane+mta-sts"

    @property
    def uses_dane(self) -> bool:
        """Whether TLSA records matter."""
        return self in (Level.DANE, Level.DANE_ONLY, Level.DANE_MTA_STS)

    @property
    def uses_mta_sts(self) -> bool:
        """Whether MTA-STS matters."""
        return self in (Level.MTA_STS, Level.DANE_MTA_STS)

    @property
    def is_the_recipients(self) -> bool:
        """Whether it is for the recipient's domain to say: a sender may waive it (RFC 8689)."""
        return self in (Level.DANE, Level.MTA_STS, Level.DANE_MTA_STS)


_NAMES = (Level.VERIFY, Level.SECURE)
#: What stands in a `match` for a name that is not known beforehand, as Postfix spells it.
_VARIABLES = ("hostname", "nexthop", "dot-nexthop")
_USUAL = {Level.VERIFY: ("hostname",), Level.SECURE: ("nexthop", "dot-nexthop")}


@dataclass(frozen=True, slots=True)
class TLSPolicy:
    """What TLS is wanted at one destination.

    Attributes:
        level: A `Level`, or its name.
        match: For `verify` and `secure`, the names of which the certificate must have one: a name,
            ``".example.org"`` for the hosts below it, ``"hostname"`` (where DNS led us),
            ``"nexthop"`` and ``"dot-nexthop"`` (the destination, and the hosts below it). For
            `fingerprint`, digests as `Fingerprint` takes them.

    Raises:
        ConfigError: Something of that is wrong.
    """

    level: Level
    match: tuple[str, ...] = ()

    def __init__(self, level: Level | str, match: Iterable[str] | str = ()) -> None:
        try:
            found = Level(level)
        except ValueError:
            known = ", ".join(each.value for each in Level)
            raise ConfigError(f"a TLS policy is one of {known}, not {level!a}") from None
        wanted = (match,) if isinstance(match, str) else tuple(match)
        if found is Level.FINGERPRINT:
            Fingerprint(*wanted)
        elif found in _NAMES:
            wanted = wanted or _USUAL[found]
            NamedByAuthority(*(name for name in wanted if name not in _VARIABLES))
        elif wanted:
            raise ConfigError(f"TLS policy {found.value} has no use for match")
        object.__setattr__(self, "level", found)
        object.__setattr__(self, "match", wanted)

    @classmethod
    def parse(cls, text: str) -> TLSPolicy:
        """Read ``"may"``, ``"secure match=example.org:.example.org"``, ``"fingerprint match=..."``.

        Names are separated by colons or bars, digests by bars.

        Raises:
            ConfigError: It makes no sense.
        """
        words = text.split() if isinstance(text, str) else []
        if not words:
            raise ConfigError(f"a TLS policy is the name of a level, not {text!a}")
        match: list[str] = []
        for word in words[1:]:
            name, _, value = word.partition("=")
            if name != "match" or not value:
                raise ConfigError(f"TLS policy {text!a}: {word!a} is not known")
            if words[0] != Level.FINGERPRINT.value:
                value = value.replace(":", "|")
            match += value.split("|")
        return cls(words[0], match)

    def __str__(self) -> str:
        names = f" match={'|'.join(self.match)}" if self.match else ""
        return f"{self.level.value}{names}"

    def names(self, *, host: str, domain: str) -> tuple[str, ...]:
        """Return the names that will do, for `verify` and `secure`.

        Args:
            host: Where DNS led us.
            domain: The destination.
        """
        known = {"hostname": host, "nexthop": domain, "dot-nexthop": f".{domain}"}
        return tuple(known.get(name, name) for name in self.match)


#: Opportunistic: what a mail exchange that knows nothing of its peer may do (RFC 7435).
MAY = TLSPolicy(Level.MAY)


class PolicyTable(DomainTable[TLSPolicy]):
    """The policy of each destination.

    Args:
        default: For those that have no row.
        rows: Domain -> policy, as a `TLSPolicy` or as text. ``".example.org"`` stands for all
            domains below it; the longest that fits counts.

    Raises:
        ConfigError: A row makes no sense.
    """

    def __init__(
        self,
        default: TLSPolicy | str = MAY,
        rows: Mapping[str, TLSPolicy | str] | None = None,
    ) -> None:
        policies = {domain: as_policy(row) for domain, row in (rows or {}).items()}
        super().__init__(as_policy(default), policies)

    @classmethod
    def parse(cls, text: str) -> PolicyTable:
        """Read a table: in each line a domain and its policy, ``*`` for the default, ``#`` remarks.

        Raises:
            ConfigError: A line makes no sense, or a domain has two.
        """
        rows: dict[str, TLSPolicy | str] = {}
        for number, line in enumerate(text.splitlines(), 1):
            domain, *rest = line.partition("#")[0].split(None, 1) or [""]
            if not domain:
                continue
            try:
                policy = TLSPolicy.parse(rest[0] if rest else "")
                name = domain if domain == "*" else spelled(domain)
            except ConfigError as reason:
                raise ConfigError(f"line {number}: {reason}") from None
            if name in rows:
                raise ConfigError(f"line {number}: {domain} has a policy already")
            rows[name] = policy
        return cls(rows.pop("*", MAY), rows)


def as_policy(given: TLSPolicy | str) -> TLSPolicy:
    """Return the policy that is meant.

    Raises:
        ConfigError: It makes no sense.
    """
    return given if isinstance(given, TLSPolicy) else TLSPolicy.parse(given)
