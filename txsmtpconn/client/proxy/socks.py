"""SOCKS 4, 4a and 5 (RFC 1928, RFC 1929), the client's side of CONNECT.

Every reply has a length that is known, so each conversation is a generator: it yields what to send
and how many octets of answer to wait for, and is sent just as many.
"""

from __future__ import annotations

from collections.abc import Generator
from ipaddress import IPv4Address, IPv6Address, ip_address

from txsmtpconn.client.proxy.handshake import broken, refused
from txsmtpconn.errors import ConfigError

#: Yields (octets to send, octets to wait for), and is sent the latter.
Conversation = Generator[tuple[bytes, int], bytes, None]

_CONNECT = 1

# RFC 1928 section 3.
_NO_LOGIN = 0x00
_PASSWORD = 0x02
_NONE_WILL_DO = 0xFF

# RFC 1928 section 6.
_REPLIES = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused by the server",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
}

_GRANTED = 90
_REPLIES_OF_4 = {
    91: "rejected or failed",
    92: "it cannot reach identd here",
    93: "identd here names another user",
}


class SOCKSHandshake:
    """A conversation with a SOCKS proxy; see `Handshake`.

    Args:
        conversation: `socks4` or `socks5`.
    """

    leftover: bytes | None = None

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._unread = bytearray()
        self._wanted = 0

    def begin(self) -> bytes:
        """Return what to send first."""
        octets, self._wanted = next(self._conversation)
        return octets

    def receive(self, octets: bytes) -> bytes:
        """Take what has come, and return what to send next."""
        self._unread += octets
        answer = b""
        while self.leftover is None and len(self._unread) >= self._wanted:
            piece = bytes(self._unread[: self._wanted])
            del self._unread[: self._wanted]
            try:
                more, self._wanted = self._conversation.send(piece)
            except StopIteration:
                self.leftover = bytes(self._unread)
            else:
                answer += more
        return answer


def socks4(host: str, port: int, user: str | None, *, by_name: bool) -> Conversation:
    """Speak SOCKS 4, or 4a where a host is given by its name.

    Args:
        host: An IPv4 address; with `by_name` also a name, in ASCII.
        port: The server's.
        user: The user ID, which nothing proves.
        by_name: Speak 4a: the proxy looks the name up.

    Raises:
        ConfigError: The protocol cannot say that.
    """
    address = _address(host)
    if isinstance(address, IPv6Address):
        raise ConfigError(f"SOCKS 4 knows no IPv6, and the server is {host}: use socks5")
    if address is None and not by_name:
        raise ConfigError(
            "SOCKS 4 knows only addresses, and names are not looked up on this side of a proxy:"
            " use socks4a or socks5"
        )
    user_id = (user or "").encode("utf-8")
    if b"\0" in user_id:
        raise ConfigError("a SOCKS 4 user holds a NUL")
    # 4a: an address that begins with three zeros stands for the name at the end.
    place = b"\0\0\0\1" if address is None else address.packed
    name = b"" if address is not None else host.encode("ascii") + b"\0"
    request = bytes((4, _CONNECT)) + port.to_bytes(2, "big") + place + user_id + b"\0" + name
    return _speak_4(request)


def _speak_4(request: bytes) -> Conversation:
    reply = yield request, 8
    version, code = reply[0], reply[1]
    if version != 0:
        raise broken(f"a SOCKS 4 reply begins with 0, not {version}")
    if code != _GRANTED:
        raise refused(f"{_REPLIES_OF_4.get(code, 'an unknown reply')} (SOCKS 4 code {code})")


def socks5(host: str, port: int, user: str | None, password: str | None) -> Conversation:
    """Speak SOCKS 5.

    Args:
        host: An IP address, or a name in ASCII, which the proxy looks up.
        port: The server's.
        user: Whom to log in as where the proxy wants it; None for nobody.
        password: The user's.

    Raises:
        ConfigError: The protocol cannot say that.
    """
    address = _address(host)
    if address is None:
        name = host.encode("ascii")
        place = bytes((3, len(name))) + name
    else:
        place = bytes((1 if address.version == 4 else 4,)) + address.packed
    login = None if user is None else b"\1" + _counted(user) + _counted(password or "")
    return _speak_5(b"\5\1\0" + place + port.to_bytes(2, "big"), login)


def _counted(text: str) -> bytes:
    """Write a text behind its length (RFC 1929 section 2)."""
    octets = text.encode("utf-8")
    if len(octets) > 255:
        raise ConfigError("SOCKS 5 has room for 255 octets of user, and of password")
    return bytes((len(octets),)) + octets


def _speak_5(request: bytes, login: bytes | None) -> Conversation:
    methods = bytes((_NO_LOGIN,) if login is None else (_NO_LOGIN, _PASSWORD))
    version, method = yield bytes((5, len(methods))) + methods, 2
    _expect_5(version)
    if method == _NONE_WILL_DO:
        raise refused("it wants a login" if login is None else "no way to log in will do")
    if method not in methods:
        raise broken(f"it chose method {method}, which was not offered")
    if method == _PASSWORD and login is not None:
        # The version is that of RFC 1929 in some proxies, and of SOCKS in others.
        _, status = yield login, 2
        if status != 0:
            raise refused("user or password is wrong")
    version, code, _, kind = yield request, 4
    _expect_5(version)
    if code != 0:
        raise refused(f"{_REPLIES.get(code, 'an unknown reply')} (SOCKS 5 code {code})")
    # The address that the proxy connects from, and its port. Nobody needs them.
    if kind == 3:
        (length,) = yield b"", 1
    elif kind in (1, 4):
        length = 4 if kind == 1 else 16
    else:
        raise broken(f"there is no address type {kind}")
    yield b"", length + 2


def _expect_5(version: int) -> None:
    if version != 5:
        raise broken(f"a SOCKS 5 reply begins with 5, not {version}")


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
