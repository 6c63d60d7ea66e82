"""Mechanisms that may block: their steps run in threads, and nothing waits for them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.client.dial import NAME, greeted
from tests.sasl.kerberos import Kerberos, installed, missing
from txsmtpconn import AuthenticationError, ConfigError, Credentials, SMTPConnection, connect
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.testing import MemoryNetwork, ScriptedPeer, failure_result_of, no_result_of
from txsmtpconn.testing.script import Step, close, expect, expect_close, expect_silence, send

TICKET = b64encode(b"ticket for smtp@localhost (service)").decode()
OFFER = b64encode(b"wrapped \x01\0\0\0").decode()
GSSAPI = Credentials(mechanism="GSSAPI")


class Threads(Clock):
    """A clock with a thread pool whose threads work when a test says so.

    Attributes:
        work: What waits for a thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self.work: list[Callable[[], None]] = []

    def getThreadPool(self) -> Threads:
        return self

    def callInThreadWithCallback(
        self, done: Callable[[bool, Any], None], function: Callable[..., Any], *args: Any
    ) -> None:
        def run() -> None:
            try:
                result = function(*args)
            except Exception:  # noqa: BLE001 - as a thread pool does
                done(False, Failure())
            else:
                done(True, result)

        self.work.append(run)

    def callFromThread(self, function: Callable[..., Any], *args: Any) -> None:
        self.callLater(0, function, *args)


@pytest.fixture
def kerberos() -> Iterator[Kerberos]:
    """A Kerberos to log in with."""
    with installed() as kerberos:
        yield kerberos


class Visit:
    """A connection to a scripted server that offers GSSAPI, and the threads of its reactor."""

    def __init__(self, *steps: Step) -> None:
        self.threads = Threads()
        self.network = MemoryNetwork(self.threads)
        self.network.serve(ScriptedPeer(*greeted("AUTH GSSAPI PLAIN"), *steps))
        self.connection: SMTPConnection = self.network.result_of(
            connect(
                self.threads,
                endpoint=self.network.client_endpoint(),
                name=NAME,
                allow_insecure_auth=True,
            )
        )

    def work(self) -> None:
        """Let a thread do the next piece of work."""
        self.threads.work.pop(0)()
        self.network.settle()


def test_each_step_has_its_thread_and_the_order_is_kept(kerberos: Kerberos) -> None:
    """While one is under way nothing is said, and what was called later waits."""
    proof = b64encode(kerberos.proof).decode()
    visit = Visit(
        expect_silence(5),
        expect(f"AUTH GSSAPI {TICKET}"),
        send(f"334 {proof}"),
        expect_silence(5),
        expect(""),
        send(f"334 {OFFER}"),
        expect(b64encode(b"wrapped \x01\0\0\0").decode()),
        send("235 ok"),
        expect("NOOP"),
        send("250 ok"),
    )
    login, noop = visit.connection.login(GSSAPI), visit.connection.noop()
    for seconds in (5, 5, 0):
        visit.network.advance(seconds)
        no_result_of(login)
        assert len(visit.threads.work) == 1
        visit.work()
    assert visit.network.result_of(login).code == 235
    assert visit.network.result_of(noop).code == 250
    visit.connection.close()


def test_cancelling_does_not_wait_for_a_thread(kerberos: Kerberos) -> None:
    """Before anything was said the connection lives on; the thread's result is nobody's."""
    visit = Visit(expect("NOOP"), send("250 ok"))
    login = visit.connection.login(GSSAPI)
    login.cancel()
    assert isinstance(failure_result_of(login), SendCancelled)
    assert visit.network.result_of(visit.connection.noop()).code == 250
    visit.work()
    assert not visit.connection.authenticated
    visit.connection.close()


def test_cancelling_within_the_dialogue(kerberos: Kerberos) -> None:
    """Then the session ends with it, as the server waits for an answer."""
    visit = Visit(expect(f"AUTH GSSAPI {TICKET}"), send("334 "), expect_close())
    login = visit.connection.login(GSSAPI)
    visit.work()
    login.cancel()
    assert isinstance(failure_result_of(login), SendCancelled)
    visit.work()
    assert all(link.closed for link in visit.network.links)


def test_a_connection_that_dies_while_a_thread_works(kerberos: Kerberos) -> None:
    """Ends the login at once."""
    visit = Visit(expect_silence(1), close())
    login = visit.connection.login(GSSAPI)
    visit.network.advance(1)
    assert failure_result_of(login).code == "ECONNECTION"
    visit.work()


def test_no_ticket(kerberos: Kerberos) -> None:
    """EAUTH, before a word is said."""
    kerberos.ticket = False
    visit = Visit(expect("NOOP"), send("250 ok"))
    login = visit.connection.login(GSSAPI)
    visit.work()
    error = failure_result_of(login)
    assert isinstance(error, AuthenticationError)
    assert "no credentials cache" in str(error)
    assert visit.network.result_of(visit.connection.noop()).code == 250
    visit.connection.close()


def test_a_server_that_cannot_prove_itself(kerberos: Kerberos) -> None:
    """The dialogue is given up, in a thread's good time."""
    visit = Visit(
        expect(f"AUTH GSSAPI {TICKET}"),
        send("334 " + b64encode(b"I am another").decode()),
        expect("*"),
        send("501 cancelled"),
    )
    login = visit.connection.login(GSSAPI)
    visit.work()
    visit.work()
    assert "Kerberos refuses" in str(failure_result_of(login))
    visit.connection.close()


def test_a_success_before_the_server_has_proved_itself(kerberos: Kerberos) -> None:
    """Is none, and ends the connection."""
    visit = Visit(expect(f"AUTH GSSAPI {TICKET}"), send("235 come in"), expect_close())
    login = visit.connection.login(GSSAPI)
    visit.work()
    assert failure_result_of(login).code == "EPROTOCOL"
    assert not visit.connection.authenticated


def test_without_the_library() -> None:
    """ECONFIG, which says what to install; the connection lives on."""
    visit = Visit(expect("NOOP"), send("250 ok"))
    with missing():
        login = visit.connection.login(GSSAPI)
        visit.work()
    error = failure_result_of(login)
    assert isinstance(error, ConfigError)
    assert "txsmtpconn[gssapi]" in str(error)
    assert visit.network.result_of(visit.connection.noop()).code == 250
    visit.connection.close()
