r"""Connections as endpoint strings: ``smtp:``, ``smtps:`` and ``lmtp:``.

    clientFromString(reactor, "smtp:mail.example:587:require_tls=true")
    clientFromString(reactor, "lmtp:path=/run/dovecot/lmtp")

Host and port stand first, or under their names; everything else has the names that it has in a
URL's query, with `user` and `password` besides. As everywhere in these strings, a colon within a
value is written ``\:``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote
from weakref import WeakSet

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from txsmtpconn.client.connecting import connect_with
from txsmtpconn.client.factory import SMTPConnectionFactory
from txsmtpconn.client.options import ConnectionOptions
from txsmtpconn.client.protocol import SMTPConnection
from txsmtpconn.client.roads import endpoint_for
from txsmtpconn.client.url import options_from_url
from txsmtpconn.errors import ConfigError


@implementer(IStreamClientEndpoint)
class SessionEndpoint:
    """Connects to an SMTP or LMTP server, and fires when mail can be sent.

    Attributes:
        options: What the string said.
    """

    def __init__(self, reactor: Any, options: ConnectionOptions) -> None:
        self._reactor = reactor
        self._made: WeakSet[SMTPConnectionFactory] = WeakSet()
        self.options = options

    def factory(self) -> SMTPConnectionFactory:
        """Return a factory for `connect`, for callers that must have one."""
        made = SMTPConnectionFactory(self._reactor, self.options)
        self._made.add(made)
        return made

    def connect(  # type: ignore[override]
        self,
        protocolFactory: IProtocolFactory | None = None,  # noqa: N803
    ) -> Deferred[SMTPConnection]:
        """Connect and make the session ready, as `txsmtpconn.connect` does.

        Args:
            protocolFactory: None, or one that `factory` made: another would not speak as the
                string says.

        Errbacks:
            ConfigError: The factory is another.
            SMTPError: See `txsmtpconn.connect`.
        """
        if protocolFactory is None:
            return connect_with(self._reactor, self.options)
        if protocolFactory not in self._made:
            return fail(
                ConfigError("connect with None, or with what the endpoint's factory() made")
            )
        road = _Road(endpoint_for(self._reactor, self.options), protocolFactory)
        options = replace(self.options, endpoint=road, path=None, proxy=None, local_address=None)
        return connect_with(self._reactor, options)


@implementer(IStreamClientEndpoint)
class _Road:
    """An endpoint that uses one factory, whatever it is given."""

    def __init__(self, road: IStreamClientEndpoint, factory: IProtocolFactory) -> None:
        self._road = road
        self._factory = factory

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:  # noqa: N803
        return self._road.connect(self._factory)


def session_endpoint(reactor: Any, scheme: str, *given: str, **named: str) -> SessionEndpoint:
    """Return the endpoint that a string stands for.

    Args:
        reactor: The reactor to use.
        scheme: What the string begins with.
        *given: Host and port.
        **named: Everything else.

    Raises:
        ConfigError: It makes no sense; the text repeats no credentials.
    """
    for name, value in zip(("host", "port"), given, strict=False):
        if name in named:
            raise ConfigError(f"endpoint string: {name} is given twice")
        named[name] = value
    if len(given) > 2:
        raise ConfigError(f"endpoint string: {scheme}:HOST:PORT is all that needs no name")
    return SessionEndpoint(reactor, options_from_url(_url(scheme, named)))


def _url(scheme: str, named: dict[str, str]) -> str:
    """Write the same as a URL, which is read with all the care that URLs are."""
    path = named.pop("path", None)
    host, port = named.pop("host", None), named.pop("port", None)
    user, password = named.pop("user", None), named.pop("password", None)
    if path is not None:
        if scheme != "lmtp" or host is not None or port is not None:
            raise ConfigError("endpoint string: path is for lmtp, and needs no host and port")
        place = f"lmtp+unix://{_userinfo(user, password)}{quote(path)}"
    else:
        name = host or ""
        shown = f"[{name.strip('[]')}]" if ":" in name else quote(name, safe="")
        number = "" if port is None else f":{quote(port, safe='')}"
        place = f"{scheme}://{_userinfo(user, password)}{shown}{number}"
    query = "&".join(f"{quote(key)}={quote(value, safe='')}" for key, value in named.items())
    return f"{place}?{query}" if query else place


def _userinfo(user: str | None, password: str | None) -> str:
    if user is None:
        if password is not None:
            raise ConfigError("endpoint string: password needs user")
        return ""
    secret = "" if password is None else f":{quote(password, safe='')}"
    return f"{quote(user, safe='')}{secret}@"
