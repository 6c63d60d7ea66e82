"""The courier that carries mail to the one next hop: a pool of connections."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from txsmtpconn.client.connecting import connect_with
from txsmtpconn.client.options import ConnectionOptions
from txsmtpconn.client.url import read_url
from txsmtpconn.errors import ConfigError
from txsmtpconn.relay.configuration import RelayOptions
from txsmtpconn.transport import Pool, PoolOptions, opened_by

#: Messages over one connection before it is replaced: next hops count, and 100 is a common limit.
_MESSAGES = 100


def make_courier(reactor: Any, options: RelayOptions) -> Pool:
    """Return the pool for the relay's next hop; nothing is connected yet.

    Raises:
        ConfigError: The URL is wrong, or names a user without a password.
    """
    connection = connection_options(options)

    def connect() -> Any:
        return connect_with(reactor, connection)

    # The dispatcher has no more under way than that, and the pool need not hold any back.
    in_flight = -(-options.concurrency // options.connections)
    return Pool(
        opened_by(connect, login=connection.auth is not None),
        PoolOptions(
            max_connections=options.connections,
            max_messages=_MESSAGES,
            max_in_flight=max(2, in_flight),
        ),
        reactor,
    )


def connection_options(options: RelayOptions) -> ConnectionOptions:
    """Return how to connect to the next hop.

    Raises:
        ConfigError: The URL is wrong, or names a user without a password.
    """
    given = read_url(options.upstream)
    if options.name:
        given.setdefault("name", options.name)
    credentials = given.get("auth")
    if credentials is not None:
        if credentials.password is None:
            credentials = replace(credentials, password=options.upstream_password)
        if not credentials.complete:
            raise ConfigError("the upstream URL names a user, and there is no password for it")
        given["auth"] = credentials
    return ConnectionOptions(**given)
