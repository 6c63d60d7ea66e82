"""From options to a connection that mail can be sent over: connected, and logged in."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from txsmtpconn.client.protocol import SMTPConnection

#: Makes a connection, up to the point where a login is possible.
Connect = Callable[[], Deferred[SMTPConnection]]

#: Opens a connection and makes it ready for mail, login included.
Open = Callable[[], Deferred[SMTPConnection]]


def opened_by(connect: Connect, *, login: bool) -> Open:
    """Return what opens connections, and logs in on each where ``login`` says so."""

    def open_connection() -> Deferred[SMTPConnection]:
        return Deferred.fromCoroutine(_open(connect, login))

    return open_connection


async def _open(connect: Connect, login: bool) -> SMTPConnection:
    connection = await connect()
    if login:
        try:
            await connection.login()
        except BaseException:
            connection.close()
            raise
    return connection
