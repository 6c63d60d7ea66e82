"""NTLM from `login()` to an acceptor that is not ours, over SMTP as [MS-SMTPNTLM] has it."""

from __future__ import annotations

from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
import spnego
from spnego.exceptions import SpnegoError
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver

from txsmtpconn import AuthenticationError, Credentials, connect
from txsmtpconn.testing import MemoryNetwork, failure_result_of

USER, PASSWORD, DOMAIN = "User", "pässwörd", "Domain"


class Windows(LineOnlyReceiver):
    """A server that logs in by NTLM, with pyspnego behind it."""

    delimiter = b"\r\n"

    def connectionMade(self) -> None:
        self._acceptor: Any = None
        self.sendLine(b"220 mx.test")

    def lineReceived(self, line: bytes) -> None:
        if line.startswith(b"EHLO"):
            self.sendLine(b"250-mx.test\r\n250 AUTH NTLM PLAIN")
        elif self._acceptor is None:
            assert line.startswith(b"AUTH NTLM ")
            options = spnego.NegotiateOptions.use_ntlm
            self._acceptor = spnego.server(protocol="ntlm", options=options)
            said = self._acceptor.step(b64decode(line.removeprefix(b"AUTH NTLM ")))
            self.sendLine(b"334 " + b64encode(said))
        else:
            self._judge(b64decode(line))

    def _judge(self, answer: bytes) -> None:
        try:
            self._acceptor.step(answer)
        except SpnegoError:
            self.sendLine(b"535 5.7.3 no")
        else:
            self.sendLine(b"235 2.7.0 " + self._acceptor.client_principal.encode())
        self._acceptor = None


@pytest.fixture
def connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A connection to such a server."""
    users = tmp_path / "users"
    users.write_text(f"{DOMAIN}:{USER}:{PASSWORD}\n", "utf-8")
    monkeypatch.setenv("NTLM_USER_FILE", str(users))
    network = MemoryNetwork()
    network.listen(Factory.forProtocol(Windows))
    made: Any = network.result_of(
        connect(network.clock, endpoint=network.client_endpoint(), allow_insecure_auth=True)
    )
    made.network = network
    yield made
    made.close()
    network.settle()


@pytest.mark.parametrize("more", [{"domain": DOMAIN}, {"domain": DOMAIN, "workstation": "DESK"}])
def test_a_domain_logs_in_by_ntlm(connection: Any, more: dict[str, str]) -> None:
    """Whatever else is offered."""
    reply = connection.network.result_of(connection.login(Credentials(USER, PASSWORD, **more)))
    assert str(reply) == f"235 2.7.0 {DOMAIN}\\{USER}"
    assert connection.authenticated


def test_a_wrong_password_is_refused_once(connection: Any) -> None:
    """And nothing weaker is tried: PLAIN would say the password."""
    login = connection.login(Credentials(USER, "wrong", domain=DOMAIN))
    connection.network.settle()
    error = failure_result_of(login)
    assert isinstance(error, AuthenticationError)
    assert (error.command, error.response_code) == ("AUTH NTLM", 535)
    right = connection.login(Credentials(USER, PASSWORD, domain=DOMAIN))
    assert connection.network.result_of(right).code == 235
