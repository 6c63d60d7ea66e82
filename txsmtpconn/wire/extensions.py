"""Service extensions: what an EHLO or LHLO reply offers (RFC 5321 section 4.1.1.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache

from txsmtpconn.wire.reply import Reply

# ehlo-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
_KEYWORD = re.compile(r"[A-Z0-9][A-Z0-9-]*")
# sasl-mech = 1*20(UPPER / DIGIT / HYPHEN / UNDERSCORE); servers of token schemes have
# longer ones, and to see them whole is what keeps PLAIN-CLIENTTOKEN from being PLAIN.
_MECHANISM = re.compile(r"[A-Z0-9_-]+")
_SIZE = re.compile(r"[0-9]{1,20}")
_SECONDS = re.compile(r"[0-9]{1,9}")
# limit-name ["=" limit-value] (RFC 9422 section 3); those of section 4 are 1 to 999999.
_ANY_LIMIT = re.compile(r"[A-Z0-9_-]+(?:=[!-:<-~]+)?")
_LIMIT = re.compile(r"(RCPTMAX|MAILMAX|RCPTDOMAINMAX)=([1-9][0-9]{0,5})")


# A longer reply to EHLO is read each time it comes.
_REMEMBERED_OCTETS = 2048


class Extensions(Mapping[str, tuple[str, ...]]):
    """The keywords that a server offers, each with its parameters.

    A mapping from upper-case keyword to parameters, read in any case:
    ``"size" in extensions``. What a client asks often is a plain attribute, computed
    once. A keyword is matched whole: ``XSIZE`` offers no SIZE, and words of the first
    line (domain and greeting) offer nothing. Where a keyword is repeated its first line
    counts, except for AUTH, whose lines add up. Garbage in a parameter is as good as no
    parameter. Treat an instance as immutable.

    Args:
        keywords: keyword in any case to its parameters.
        domain: what the server calls itself.
        greeting: what it says behind its name.

    Attributes:
        lines: the keyword lines as they came.
        size: the largest message in octets; None where no limit is known.
        auth: SASL mechanisms in upper case and in the server's order.
        rcptmax: recipients per transaction at most (RFC 9422); None: not said.
        mailmax: transactions per session at most.
        rcptdomainmax: recipient domains per session at most.
        has_limits: whether a limit of a session is told, one of the last two.
        deliverby_minimum: the shortest time in seconds that BY may ask for in mode R (RFC 2852).
        mt_priority_profile: the name of the priority profile (RFC 6710).
        futurerelease_interval: how many seconds ahead HOLDFOR may reach (RFC 4865).
        futurerelease_until: the last moment that HOLDUNTIL may name.
    """

    __slots__ = (
        "_keywords",
        "auth",
        "binarymime",
        "chunking",
        "deliverby",
        "deliverby_minimum",
        "domain",
        "dsn",
        "eight_bit_mime",
        "enhanced_status_codes",
        "futurerelease",
        "futurerelease_interval",
        "futurerelease_until",
        "greeting",
        "has_limits",
        "lines",
        "mailmax",
        "mt_priority",
        "mt_priority_profile",
        "offers_size",
        "pipelining",
        "rcptdomainmax",
        "rcptmax",
        "requiretls",
        "size",
        "smtputf8",
        "starttls",
    )

    def __init__(
        self,
        keywords: Mapping[str, tuple[str, ...]] | None = None,
        domain: str = "",
        greeting: str = "",
        *,
        lines: tuple[str, ...] | None = None,
    ) -> None:
        self._keywords = {key.upper(): tuple(words) for key, words in (keywords or {}).items()}
        self.domain = domain
        self.greeting = greeting
        if lines is None:
            lines = tuple(" ".join((key, *words)) for key, words in self._keywords.items())
        self.lines = lines
        offered = self._keywords
        self.pipelining = "PIPELINING" in offered
        self.chunking = "CHUNKING" in offered
        self.binarymime = "BINARYMIME" in offered
        self.eight_bit_mime = "8BITMIME" in offered
        self.smtputf8 = "SMTPUTF8" in offered
        self.dsn = "DSN" in offered
        self.starttls = "STARTTLS" in offered
        self.requiretls = "REQUIRETLS" in offered
        self.enhanced_status_codes = "ENHANCEDSTATUSCODES" in offered
        self.offers_size = "SIZE" in offered
        # Zero means no fixed limit (RFC 1870 section 4).
        self.size = _number(_SIZE, self._first("SIZE")) or None
        self.auth = _mechanisms(offered.get("AUTH", ()))
        limits = _limits(offered.get("LIMITS", ()))
        self.rcptmax = limits.get("RCPTMAX")
        self.mailmax = limits.get("MAILMAX")
        self.rcptdomainmax = limits.get("RCPTDOMAINMAX")
        self.has_limits = self.mailmax is not None or self.rcptdomainmax is not None
        self.deliverby = "DELIVERBY" in offered
        # What else the parameter may say stands behind commas, and is not defined so far.
        self.deliverby_minimum = _number(_SECONDS, self._first("DELIVERBY").partition(",")[0])
        self.mt_priority = "MT-PRIORITY" in offered
        self.mt_priority_profile = self._first("MT-PRIORITY") or None
        self.futurerelease = "FUTURERELEASE" in offered
        self.futurerelease_interval = _number(_SECONDS, self._first("FUTURERELEASE"))
        self.futurerelease_until = _moment(offered.get("FUTURERELEASE", ())[1:2])

    @classmethod
    def from_reply(cls, reply: Reply) -> Extensions:
        """Read a positive reply to EHLO, LHLO or HELO; never raises, whatever it says."""
        # A server says the same at every connection.
        usual = sum(map(len, reply.octets)) <= _REMEMBERED_OCTETS
        return _remembered(reply) if usual else _read(reply)

    def _first(self, keyword: str) -> str:
        """The first parameter of a keyword, or the empty string."""
        parameters = self._keywords.get(keyword)
        return parameters[0] if parameters else ""

    def __getitem__(self, keyword: str) -> tuple[str, ...]:
        return self._keywords[keyword.upper()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keywords)

    def __len__(self) -> int:
        return len(self._keywords)

    def __repr__(self) -> str:
        return f"Extensions({self._keywords!r}, {self.domain!r}, {self.greeting!r})"


def _read(reply: Reply) -> Extensions:
    first, *lines = reply.lines or ("",)
    domain, _, greeting = first.strip(" \t").partition(" ")
    keywords: dict[str, tuple[str, ...]] = {}
    for line in lines:
        words = [word for word in line.replace("\t", " ").split(" ") if word]
        keyword, *parameters = words or [""]
        keyword = keyword.upper()
        # Before RFC 2554 the mechanisms stood behind "AUTH=", and some servers
        # still say both for the sake of clients that know only that form.
        if keyword.startswith("AUTH="):
            parameters.insert(0, keyword[5:])
            keyword = "AUTH"
        if keyword == "AUTH":
            keywords["AUTH"] = keywords.get("AUTH", ()) + tuple(parameters)
        elif _KEYWORD.fullmatch(keyword):
            keywords.setdefault(keyword, tuple(parameters))
    return Extensions(keywords, domain, greeting, lines=tuple(lines))


_remembered = lru_cache(maxsize=32)(_read)


def _number(pattern: re.Pattern[str], text: str) -> int | None:
    """The number, where the whole text is one; digits are bounded by the pattern."""
    return int(text) if pattern.fullmatch(text) else None


def _mechanisms(parameters: Iterable[str]) -> tuple[str, ...]:
    """Mechanism names in upper case, each once, in the server's order."""
    names = dict.fromkeys(name.upper() for name in parameters)
    return tuple(name for name in names if _MECHANISM.fullmatch(name))


def _limits(parameters: Iterable[str]) -> dict[str, int]:
    """The limits of RFC 9422 that we know.

    Section 3.7: one that is unknown or has another value is ignored; what is no limit at all
    makes nothing of the whole line.
    """
    told = [parameter.upper() for parameter in parameters]
    if not all(map(_ANY_LIMIT.fullmatch, told)):
        return {}
    found = map(_LIMIT.fullmatch, told)
    return {limit[1]: int(limit[2]) for limit in found if limit is not None}


def _moment(parameters: Iterable[str]) -> datetime | None:
    """An RFC 3339 date and time, if that is what is there, with its zone."""
    for parameter in parameters:
        try:
            moment = datetime.fromisoformat(parameter)
        except ValueError:
            return None
        return moment if moment.tzinfo is not None else None
    return None


#: What a server offers that answered HELO, or nothing yet.
EMPTY = Extensions()
