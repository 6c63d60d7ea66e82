"""The header of the PROXY protocol, versions 1 and 2: who a load balancer's client is.

HAProxy's ``proxy-protocol.txt`` describes both. The header comes before anything else on a
connection, once. Whether it is believed is for whoever knows where the connection comes from; what
is not a header, letter for letter, is never taken for one.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from dataclasses import dataclass

from txsmtpconn.wire.errors import RemoteProtocolError
from txsmtpconn.wire.limits import PROXY_V1, PROXY_V2

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED = 16
_V1 = b"PROXY "
_UNKNOWN = re.compile(rb"UNKNOWN(?: [ -~]*)?")
# No sign, no leading zero: one number has one spelling.
_PORT = rb"(0|[1-9][0-9]{0,4})"
_V1_ADDRESSES = re.compile(
    rb"(TCP4|TCP6) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) " + _PORT + b" " + _PORT
)


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a header says.

    Attributes:
        source: The client's IP address and port; None where the proxy does not know it, or not as
            an address of TCP.
        destination: Those that the client connected to.
        local: Whether the connection is the proxy's own, to see whether we live.
    """

    source: tuple[str, int] | None = None
    destination: tuple[str, int] | None = None
    local: bool = False


class ProxyHeaderReader:
    """Reads the header at the start of a connection, from pieces of any size.

    Attributes:
        remainder: What came behind the header, once it is complete.
    """

    def __init__(self) -> None:
        self.remainder = b""
        self._octets = b""

    def feed(self, octets: bytes) -> ProxyHeader | None:
        """Take octets; return the header once it is complete.

        Raises:
            RemoteProtocolError: This is no header, or one that we do not understand.
        """
        seen = self._octets = self._octets + octets
        for begin, read in ((_V1, self._version_1), (_SIGNATURE, self._version_2)):
            if seen.startswith(begin):
                return read(seen)
            if begin.startswith(seen):
                return None
        raise RemoteProtocolError("no header of the PROXY protocol", seen)

    def _version_1(self, seen: bytes) -> ProxyHeader | None:
        end = seen.find(b"\r\n", 0, PROXY_V1)
        if end < 0:
            if len(seen) >= PROXY_V1 or b"\n" in seen:
                raise RemoteProtocolError("a PROXY line without an end", seen)
            return None
        self.remainder = seen[end + 2 :]
        line = seen[len(_V1) : end]
        if _UNKNOWN.fullmatch(line):
            return ProxyHeader()
        found = _V1_ADDRESSES.fullmatch(line)
        if found is None:
            raise RemoteProtocolError("a malformed PROXY line", seen[: end + 2])
        version = 4 if found[1] == b"TCP4" else 6
        source, destination = (
            (_address(found[host], version, seen), _port(found[port], seen))
            for host, port in ((2, 4), (3, 5))
        )
        return ProxyHeader(source, destination)

    def _version_2(self, seen: bytes) -> ProxyHeader | None:
        if len(seen) < _FIXED:
            return None
        command, family, size = struct.unpack("!BBH", seen[len(_SIGNATURE) : _FIXED])
        if command not in (0x20, 0x21):
            raise RemoteProtocolError("a PROXY header of an unknown version or command", seen)
        end = _FIXED + size
        if end > PROXY_V2:
            raise RemoteProtocolError("a PROXY header that is too long", seen)
        if len(seen) < end:
            return None
        self.remainder = seen[end:]
        if command == 0x20:
            return ProxyHeader(local=True)
        form = _FORMS.get(family)
        if form is None:
            return ProxyHeader()
        if size < form.size:
            raise RemoteProtocolError("a PROXY header without room for its addresses", seen)
        # Additions may stand behind the addresses (TLV); what they say is not needed.
        source, destination, source_port, destination_port = form.unpack_from(seen, _FIXED)
        return ProxyHeader((_shown(source), source_port), (_shown(destination), destination_port))


#: TCP over IPv4 and IPv6. Unix sockets and UDP have no address that would mean anything to us.
_FORMS = {0x11: struct.Struct("!4s4sHH"), 0x21: struct.Struct("!16s16sHH")}


def _shown(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed))


def _address(text: bytes, version: int, seen: bytes) -> str:
    try:
        address = ipaddress.ip_address(text.decode("ascii"))
    except ValueError:
        raise RemoteProtocolError("a PROXY line with a malformed address", seen) from None
    if address.version != version:
        raise RemoteProtocolError("a PROXY line with an address of another family", seen)
    return str(address)


def _port(digits: bytes, seen: bytes) -> int:
    port = int(digits)
    if port > 0xFFFF:
        raise RemoteProtocolError("a PROXY line with a malformed port", seen)
    return port
