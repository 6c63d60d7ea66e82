"""What DNS says, as values: answers and the records in them, and what can be asked for them.

Names are lower-case ASCII without the root's dot; the root itself is ``"."``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from twisted.internet.defer import Deferred

#: Stands for what is in a record where a host's name should be, and is none.
NO_HOST = ""


class RecordType(IntEnum):
    """The types that mail needs."""

    A = 1
    #: Asked for where the name at its end, an `Answer`'s ``name``, is not validated.
    CNAME = 5
    MX = 15
    TXT = 16
    AAAA = 28
    SRV = 33
    TLSA = 52


@dataclass(frozen=True, slots=True, order=True)
class MX:
    """A mail exchange (RFC 5321 section 5.1)."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class SRV:
    """The location of a service (RFC 2782)."""

    priority: int
    weight: int
    port: int
    host: str


@dataclass(frozen=True, slots=True, order=True)
class TLSA:
    """An association of a name with a certificate (RFC 6698 section 2)."""

    usage: int
    selector: int
    matching: int
    data: bytes


#: An address, or the text of a TXT record, is itself.
Record = MX | SRV | TLSA | str | bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question was answered with. That there is nothing is an answer, too.

    Attributes:
        name: The name at the end of the CNAMEs; the one asked for where there are none.
        records: Of the type asked for: `MX`, `SRV`, `TLSA`, ``str`` for addresses, ``bytes`` for
            TXT. Empty where the name has none, and where CNAME was asked for.
        exists: Whether the name exists (else NXDOMAIN).
        secure: Whether a resolver that we trust has validated all of it (RFC 4035); of an empty
            answer, that there is nothing.
        ttl: Seconds for which it holds.
    """

    name: str
    records: tuple[Record, ...] = ()
    exists: bool = True
    secure: bool = False
    ttl: float = 0.0


class Resolver(Protocol):
    """Answers questions about names. `StubResolver` does; another may stand in its place."""

    def lookup(self, name: str, kind: RecordType) -> Deferred[Answer]:
        """Ask.

        Errbacks:
            DNSError: There was no answer: a timeout, or the servers failed. It is transient.
        """
