"""The public interface as a type checker sees it in somebody's program.

Never run. `make typing` checks it twice: with our settings, and with ``user.ini``, as a strict
user who has not installed mypy-zope.
"""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path
from typing import Any, assert_type

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txsmtpconn import (
    DSN,
    ConnectionOptions,
    Credentials,
    Delivery,
    Envelope,
    OAuth2TokenProvider,
    PoolOptions,
    Recipient,
    RecipientOutcome,
    SendResult,
    ServerOptions,
    SMTPConnection,
    SMTPConnectionFactory,
    SMTPError,
    SMTPRejection,
    SMTPServerFactory,
    SMTPTransport,
    TLSOptions,
    __version__,
    connect,
    simple_server,
)

assert_type(__version__, str)


def envelopes() -> list[Envelope]:
    """Recipients may be one address, several, or recipients with wishes of their own."""
    careful = Recipient("you@example.net", DSN(notify=["failure"], orcpt="rfc822;you@example.net"))
    return [
        Envelope("me@example.org", "you@example.net"),
        Envelope("", ["you@example.net"]),
        Envelope("me@example.org", (careful, "them@example.com"), dsn=DSN(ret="HDRS", envid="1")),
        Envelope("me@example.org", ["you@example.net"], body="8BITMIME", size=1000),
    ]


async def fetch(renew: bool) -> str:
    """A function may take the place of a token provider."""
    return "new" if renew else "old"


async def log_in(reactor: Any, connection: SMTPConnection) -> None:
    """Credentials take a provider, or a function; a provider gives texts."""
    provider = OAuth2TokenProvider(
        reactor,
        client_id="c",
        refresh_token="r",
        on_token=lambda token: token.refresh_token,
    )
    assert_type(await provider.get_token(renew=True), str)
    await connection.login(Credentials(token_provider=provider))
    await connection.login(Credentials("me", token_provider=fetch))
    await connection.login(Credentials("me", token_provider=lambda renew: f"token {renew}"))


async def converse(reactor: Any) -> None:
    """Every call gives the type that its documentation names."""
    options = ConnectionOptions(
        host="mail.example.org",
        require_tls=True,
        tls=TLSOptions(ca_file="ca.pem"),
        auth=Credentials("me", "secret"),
        greeting_timeout=5.0,
    )
    assert_type(connect(reactor, options), Deferred[SMTPConnection])
    conn = await connect(reactor, "smtp://mail.example.org:587", require_tls=True)
    assert_type(conn, SMTPConnection)
    await conn.login()
    await conn.login(Credentials("me", access_token="..."))
    with Path("message.eml").open("rb") as message:
        try:
            result = await conn.send(Envelope("me@example.org", ["you@example.net"]), message)
        except SMTPError as error:
            assert_type(error.delivery, Delivery)
            assert_type(error.recipients, tuple[RecipientOutcome, ...])
            assert_type(error.is_transient, bool)
        else:
            assert_type(result, SendResult)
            assert_type(result.accepted, list[str])
            assert_type(result.rejected_errors, list[SMTPError])
    await conn.send(Envelope("", "you@example.net"), b"Subject: x\r\n\r\n")
    await conn.send(Envelope("", "you@example.net"), EmailMessage())
    await conn.reset()
    await conn.noop()
    assert_type(conn.secure, bool)
    assert_type(conn.authenticated, bool)
    await conn.quit()
    conn.close()


async def transport(reactor: Any) -> None:
    """A transport for a program in which mail is a sideline."""
    pool = PoolOptions(max_connections=2, rate_limit=10, rate_delta=60)
    transport = SMTPTransport(
        reactor, "smtp://mail.example.org", pool=pool, defaults={"From": "me@example.org"}
    )
    assert_type(await transport.verify(), bool)
    assert_type(transport.send(Envelope("", "you@example.net"), b"x"), Deferred[SendResult])
    assert_type(await transport.send_message(EmailMessage()), SendResult)
    assert_type(transport.prepare_message(EmailMessage()).envelope, Envelope)
    if transport.pool is not None:
        assert_type(transport.pool.figures().sent, int)
        await transport.pool.when_idle()
    await transport.close(timeout=5)
    SMTPTransport(reactor, service="Gmail", auth=Credentials("me", "secret"), pool=True)


def listen(reactor: Any) -> SMTPConnectionFactory:
    """The factory serves those who bring their own endpoint."""
    return SMTPConnectionFactory(reactor, ConnectionOptions(host="mail.example.org"))


class Hooks:
    """Hooks are methods of any object."""

    async def on_rcpt_to(self, session: object, address: str, parameters: object) -> None:
        """Refuse a recipient."""
        raise SMTPRejection(550, "5.1.1", "No such user here")


def serve(reactor: Any) -> list[SMTPServerFactory]:
    """A server is a function, or an object with hooks."""
    return [
        simple_server(reactor, print, max_size=1000),
        SMTPServerFactory(reactor, Hooks(), ServerOptions(lmtp=True)),
    ]


if __name__ == "__main__":
    react(converse)
