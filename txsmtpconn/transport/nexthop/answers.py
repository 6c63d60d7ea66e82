"""From a DNS message to an `Answer`: octets of a server that may err or lie, to values of ours."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable
from typing import Any

from twisted.names import dns

from txsmtpconn.errors import ConfigError
from txsmtpconn.net.tls import is_address, reference_name
from txsmtpconn.transport.nexthop.records import (
    MX,
    NO_HOST,
    SRV,
    TLSA,
    Answer,
    Record,
    RecordType,
)

#: CNAMEs that may follow each other.
_ALIASES = 16

#: Records of an answer that are looked at; a domain with more mail exchanges has no more use of it.
_RECORDS = 1000

#: Seconds that an answer without a record holds, where no SOA says.
_NOTHING_HOLDS = 60.0

#: Compression pointers in one message: three for each of those records.
_POINTERS = 4 * _RECORDS

_SOA = 6
_NO_ERROR, _NO_SUCH_NAME = 0, 3
_CODES = {1: "FORMERR", 2: "SERVFAIL", 4: "NOTIMP", 5: "REFUSED"}
_HEADER = struct.Struct("!6H")
_RESPONSE, _TRUNCATED = 0x8000, 0x0200


def read_message(octets: bytes, query: dns.Message) -> dns.Message | None:
    """Return the message if it is an answer to this query, whole or said to be truncated."""
    asked = query.toStr()
    message = dns.Message()
    # Twisted bounds what compressed names may cost; its thousand is less than some domains have.
    message.maxCompressionPointers = _POINTERS
    try:
        number, flags, *counts = _HEADER.unpack_from(octets)
        if number != query.id or not flags & _RESPONSE:
            return None
        if flags & _TRUNCATED:
            # Wherever it was cut off, what is left of its records is of no use.
            octets = octets[: len(asked)]
            counts = [*counts[:1], 0, 0, 0]
            octets = _HEADER.pack(number, flags, *counts) + octets[_HEADER.size :]
        message.fromStr(octets)
    except Exception:  # noqa: BLE001 - octets of anybody's, and a parser that is not ours
        return None
    if [_key(each) for each in message.queries] != [_key(each) for each in query.queries]:
        return None
    sections = (message.queries, message.answers, message.authority, message.additional)
    # The parser leaves out what a message that breaks off does not have.
    return message if [len(section) for section in sections] == counts else None


def _key(query: dns.Query) -> tuple[bytes, int, int]:
    return query.name.name.lower(), query.type, query.cls


def read_answer(
    message: dns.Message, name: str, kind: RecordType, *, trusted: bool
) -> Answer | str:
    """Return what a message says, or why it says nothing.

    Args:
        message: From a server.
        name: What was asked for.
        kind: The type that was asked for.
        trusted: Whether its AD bit is to be believed.
    """
    code = message.rCode
    if code not in (_NO_ERROR, _NO_SUCH_NAME):
        return f"the server says {_CODES.get(code, f'error {code}')}"
    aliases: dict[str, tuple[str, float]] = {}
    found: dict[str, list[tuple[Record, float]]] = {}
    for header in message.answers[:_RECORDS]:
        payload: Any = header.payload
        if header.cls != dns.IN:
            continue
        owner = _name(header.name.name)
        if header.type == RecordType.CNAME:
            aliases.setdefault(owner, (_name(payload.name.name), header.ttl))
        elif header.type == kind:
            record = _READERS[kind](payload)
            if record is not None:
                found.setdefault(owner, []).append((record, header.ttl))
    lives: list[float] = []
    end = name
    while end in aliases:
        if len(lives) == _ALIASES:
            return "its CNAMEs lead nowhere"
        end, life = aliases[end]
        lives.append(life)
    records = tuple(record for record, _ in found.get(end, ()))
    lives += [life for _, life in found.get(end, ())] or [_life_of_nothing(message.authority)]
    return Answer(
        name=end,
        records=records,
        exists=code == _NO_ERROR or bool(records),
        secure=trusted and bool(message.authenticData),
        ttl=float(min(lives)),
    )


def _life_of_nothing(authority: Iterable[Any]) -> float:
    """RFC 2308 section 5: as long as the SOA record says."""
    records = [header for header in authority if header.type == _SOA]
    lives = [float(min(header.ttl, header.payload.minimum)) for header in records]
    return min(lives, default=_NOTHING_HOLDS)


def _name(octets: bytes) -> str:
    text = octets.decode("ascii", "backslashreplace").lower()
    return text.rstrip(".") or "."


def _host(octets: bytes) -> str:
    """Return the name of a host, ``"."`` for none; `NO_HOST` if no host can be called that."""
    name = _name(octets)
    if name == ".":
        return name
    try:
        return NO_HOST if is_address(name) else reference_name(name)
    except ConfigError:
        return NO_HOST


def _mx(payload: Any) -> MX:
    return MX(payload.preference, _host(payload.name.name))


def _srv(payload: Any) -> SRV:
    return SRV(payload.priority, payload.weight, payload.port, _host(payload.target.name))


def _tlsa(payload: Any) -> TLSA | None:
    # RFC 6698 section 2.1: three octets, and the association data.
    data = bytes(payload.data)
    return TLSA(data[0], data[1], data[2], data[3:]) if len(data) > 3 else None


_READERS: dict[RecordType, Callable[[Any], Record | None]] = {
    RecordType.A: lambda payload: socket.inet_ntop(socket.AF_INET, payload.address),
    RecordType.AAAA: lambda payload: socket.inet_ntop(socket.AF_INET6, payload.address),
    RecordType.MX: _mx,
    RecordType.SRV: _srv,
    RecordType.TLSA: _tlsa,
    # RFC 7208 and its like: the strings of one record are read as one.
    RecordType.TXT: lambda payload: b"".join(payload.data),
}
