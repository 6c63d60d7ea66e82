"""From options to a connection that mail can be sent over: connected, and logged in."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from txsmtpconn.client.credentials import Credentials
from txsmtpconn.client.protocol import SMTPConnection

#: Makes a connection, up to the point where a login is possible.
Connect = Callable[[], Deferred[SMTPConnection]]

#: Opens a connection and makes it ready for mail, login included.
Open = Callable[[], Deferred[SMTPConnection]]


def opened_by(connect: Connect, *, login: bool, credentials: Credentials | None = None) -> Open:
    """Return what opens connections, and logs in on each where ``login`` says so.

    Args:
        connect: Makes a connection.
        login: Whether to log in.
        credentials: With what; by default with those of the connection's options.
    """

    def open_connection() -> Deferred[SMTPConnection]:
        return Deferred.fromCoroutine(_open(connect, login, credentials))

    return open_connection


async def _open(connect: Connect, login: bool, credentials: Credentials | None) -> SMTPConnection:
    connection = await connect()
    if login:
        try:
            await (connection.login() if credentials is None else connection.login(credentials))
        except BaseException:
            connection.close()
            raise
    return connection
