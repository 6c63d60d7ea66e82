"""CONNECT (RFC 9110 section 9.3.6), the client's side, with Basic authentication (RFC 7617)."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from txsmtpconn.client.proxy.handshake import SAID_LIMIT, broken, quoted, refused
from txsmtpconn.errors import ConfigError

_PROXY_AUTHENTICATION_REQUIRED = 407


class HTTPHandshake:
    """A conversation with an HTTP proxy; see `Handshake`.

    Args:
        host: An IP address, or a name in ASCII, which the proxy looks up.
        port: The server's.
        user: Whom to log in as; None for nobody.
        password: The user's.

    Raises:
        ConfigError: The protocol cannot say that, or the library for it is not installed.
    """

    leftover: bytes | None = None

    def __init__(self, host: str, port: int, user: str | None, password: str | None) -> None:
        self._h11 = _library()
        self._authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._login = None if user is None else _basic(user, password or "")
        self._connection = self._h11.Connection(
            self._h11.CLIENT, max_incomplete_event_size=SAID_LIMIT
        )
        self._said = 0

    def begin(self) -> bytes:
        """Return the request."""
        headers = [("Host", self._authority)]
        if self._login is not None:
            headers.append(("Proxy-Authorization", self._login))
        request = self._h11.Request(method="CONNECT", target=self._authority, headers=headers)
        end = self._h11.EndOfMessage()
        octets: bytes = self._connection.send(request) + self._connection.send(end)
        return octets

    def receive(self, octets: bytes) -> bytes:
        """Take what has come; there is nothing more to send."""
        h11 = self._h11
        self._said += len(octets)
        try:
            self._connection.receive_data(octets)
            event = self._connection.next_event()
            while isinstance(event, h11.InformationalResponse):
                event = self._connection.next_event()
        except h11.RemoteProtocolError as reason:
            raise broken(quoted(str(reason))) from reason
        if isinstance(event, h11.Response):
            self._judge(event)
        elif self._said > SAID_LIMIT:
            # h11 counts within one response; there may be any number of interim ones.
            raise broken(f"no answer within {SAID_LIMIT} octets")
        return b""

    def _judge(self, response: Any) -> None:
        if 200 <= response.status_code < 300:
            self.leftover = bytes(self._connection.trailing_data[0])
            return
        told = f"{response.status_code} {quoted(response.reason)}".rstrip()
        if response.status_code == _PROXY_AUTHENTICATION_REQUIRED:
            ways = [value for name, value in response.headers if name == b"proxy-authenticate"]
            told += f" (it asks for: {quoted(b', '.join(ways)) or 'nothing'}; we have Basic)"
        raise refused(told)


def _basic(user: str, password: str) -> str:
    if ":" in user:
        raise ConfigError("a user of an HTTP proxy has no colon (RFC 7617 section 2)")
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode('ascii')}"


def _library() -> Any:
    try:
        import h11
    except ImportError as reason:
        raise ConfigError("HTTP proxies need h11: install txsmtpconn[proxy]") from reason
    return h11
