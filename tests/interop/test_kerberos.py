"""GSSAPI with MIT's Kerberos: a KDC of the test's own, and Dovecot as the service."""

from __future__ import annotations

import pytest

from tests.interop.mail import connected, trusting
from tests.interop.peers.kerberos import PRINCIPAL
from txsmtpconn import AuthenticationError, Credentials

GSSAPI = Credentials(mechanism="GSSAPI")


@pytest.fixture
def client(realm, monkeypatch, smtp_sink):
    """Make this process a client of the realm; give the Dovecot's port."""
    smtp_sink(port=realm.dovecot.relay)
    for name, value in realm.environment.items():
        monkeypatch.setenv(name, value)
    return realm.dovecot.submission


@pytest.mark.parametrize(
    "credentials",
    [
        GSSAPI,
        Credentials(PRINCIPAL, mechanism="GSSAPI"),
        Credentials(mechanism="GSSAPI", authzid="alice"),
    ],
    ids=["own", "named", "authzid"],
)
async def test_a_ticket_logs_in(client, certificate_zoo, credentials):
    """The process's own, or that of a principal; the library gets it from the KDC by a keytab."""
    async with connected(client, tls=trusting(certificate_zoo)) as connection:
        assert "GSSAPI" in connection.extensions.auth
        assert (await connection.login(credentials)).code == 235
        assert connection.authenticated


async def test_a_ticket_for_somebody_else_is_refused(client, certificate_zoo):
    """Dovecot does not let alice act as bob; the connection lives on."""
    async with connected(client, tls=trusting(certificate_zoo)) as connection:
        with pytest.raises(AuthenticationError) as caught:
            await connection.login(Credentials(mechanism="GSSAPI", authzid="bob"))
        assert caught.value.response_code == 535
        await connection.login(GSSAPI)


async def test_no_ticket_is_told_before_a_word_is_said(realm, client, certificate_zoo, monkeypatch):
    """No such keytab, no such principal, no KDC: EAUTH, and the connection lives on."""
    async with connected(client, tls=trusting(certificate_zoo)) as connection:
        with pytest.raises(AuthenticationError, match="Kerberos"):
            await connection.login(Credentials("nobody@A.TEST", mechanism="GSSAPI"))
        monkeypatch.setenv("KRB5_CLIENT_KTNAME", "/nonexistent")
        monkeypatch.setenv("KRB5CCNAME", "FILE:/nonexistent")
        with pytest.raises(AuthenticationError, match="Kerberos"):
            await connection.login(GSSAPI)
        for name, value in realm.dead.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(AuthenticationError, match="Kerberos"):
            await connection.login(GSSAPI)
        assert (await connection.noop()).code == 250


async def test_another_server_than_the_ticket_is_for(client, certificate_zoo):
    """The host is part of the service's name: there is no ticket for a server of another name."""
    async with connected(client, tls=trusting(certificate_zoo), servername="mx.test") as connection:
        with pytest.raises(AuthenticationError, match="Kerberos"):
            await connection.login(GSSAPI)
