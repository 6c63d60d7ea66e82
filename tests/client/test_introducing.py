"""XCLIENT and XFORWARD from the client's side, against our own server and against scripts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.hand import Recording
from txsmtpconn import ConfigError, Envelope, ProtocolError, SMTPError, connect
from txsmtpconn.errors import ConnectionLostError
from txsmtpconn.server import ServerOptions, SMTPRejection, SMTPServerFactory
from txsmtpconn.testing import MemoryNetwork, ScriptedPeer
from txsmtpconn.testing.script import close, expect, send

TRUST = {"xclient_networks": ["127.0.0.1", "192.0.2.8"], "xforward_networks": ["127.0.0.1"]}


class Stage:
    """A server of ours in memory, and a client that has connected to it."""

    def __init__(self, hooks: Any = None, **options: Any) -> None:
        self.network = MemoryNetwork()
        self.hooks = hooks or Recording()
        given = {"name": "mx.test", **TRUST, **options}
        self.network.listen(
            SMTPServerFactory(self.network.clock, self.hooks, ServerOptions(**given))
        )
        endpoint = self.network.client_endpoint()
        self.conn = self.gives(connect(self.network.clock, endpoint=endpoint))

    def gives(self, awaitable: Any) -> Any:
        """Return what comes of something."""
        return self.network.result_of(awaitable)

    def sends(self) -> Any:
        """Send a message."""
        return self.gives(self.conn.send(Envelope("s@x.test", ["r@y.test"]), b"hello\r\n"))

    def ends(self) -> None:
        """Take leave."""
        self.gives(self.conn.quit())


def test_the_server_takes_us_for_another() -> None:
    """The session begins anew: what is offered now is what that client is offered."""
    stage = Stage()
    assert "XCLIENT" in stage.conn.extensions
    assert stage.gives(stage.conn.xclient(name="c.test", addr="192.0.2.7", port="4711")) is None
    session = stage.hooks.sessions[-1]
    assert (session.remote_address, session.introduced["NAME"]) == ("192.0.2.7", "c.test")
    assert "XCLIENT" not in stage.conn.extensions
    assert session.hello_name
    stage.sends()
    stage.ends()


def test_more_than_once_and_between_messages() -> None:
    """Where the address is trusted, too; messages before and behind are whole."""
    stage = Stage()
    stage.sends()
    stage.gives(stage.conn.xclient(addr="192.0.2.8"))
    stage.sends()
    stage.gives(stage.conn.xclient(addr="2001:db8::1", name=None))
    stage.sends()
    addresses = [session.remote_address for session in stage.hooks.sessions]
    assert addresses[-1] == "2001:db8::1"
    assert stage.hooks.names().count("data") == 3
    stage.ends()


@pytest.mark.parametrize("verb", ["xclient", "xforward"])
def test_what_is_not_offered_is_not_said(verb: str) -> None:
    """Neither the command, nor an attribute that the server does not list, nor a bad value."""
    stage = Stage(xclient_networks=(), xforward_networks=())
    with pytest.raises(ConfigError, match=f"does not offer {verb.upper()}"):
        stage.gives(getattr(stage.conn, verb)(addr="192.0.2.7"))
    stage.ends()
    stage = Stage()
    for wrong in ({"login": "me"}, {"colour": "red"}, {"addr": "x"}, {"name": "a\r\nQUIT"}, {}):
        with pytest.raises(ConfigError, match=verb.upper()):
            stage.gives(getattr(stage.conn, verb)(**wrong))
    assert stage.hooks.sessions[-1].remote_address == "127.0.0.1"
    stage.ends()


def test_xforward_is_for_the_next_message() -> None:
    """Also where it is said in the same breath."""
    seen: list[Any] = []

    class Looking(Recording):
        def on_mail_from(self, session: Any, address: str, parameters: Any) -> None:
            seen.append(dict(session.forwarded))

    stage = Stage(Looking())
    told = stage.conn.xforward(addr="192.0.2.7", source="REMOTE")
    stage.sends()
    stage.gives(told)
    stage.sends()
    assert seen == [{"ADDR": "192.0.2.7", "SOURCE": "REMOTE"}, {}]
    stage.ends()


@pytest.mark.parametrize("verb", ["xclient", "xforward"])
def test_not_within_a_transaction_that_the_server_holds_open(verb: str) -> None:
    """A message of which all recipients were refused is reset first."""
    stage = Stage(Recording(rcpt_to=SMTPRejection(550, "5.1.1", "No")))
    with pytest.raises(SMTPError):
        stage.sends()
    stage.gives(getattr(stage.conn, verb)(addr="192.0.2.8"))
    stage.ends()


def test_a_login_is_over() -> None:
    """It was somebody else's."""

    class Trusting(Recording):
        def on_auth(self, session: Any, credentials: Any) -> bool:
            return True

    from txsmtpconn import Credentials

    stage = Stage(Trusting(), allow_insecure_auth=True)
    endpoint = stage.network.client_endpoint()
    conn = stage.gives(connect(stage.network.clock, endpoint=endpoint, allow_insecure_auth=True))
    stage.gives(conn.login(Credentials("u", "p")))
    assert conn.authenticated
    stage.gives(conn.xclient(addr="192.0.2.7"))
    assert not conn.authenticated
    stage.gives(conn.login(Credentials("u", "p")))
    stage.gives(conn.quit())
    stage.ends()


def scripted(*steps: Any) -> tuple[MemoryNetwork, Any]:
    """Return a network whose server plays a script behind its EHLO, and a client of it."""
    network = MemoryNetwork()
    opening = [send("220 old.test ESMTP"), expect("EHLO me.test")]
    offer = [send("250-old.test", "250 XCLIENT NAME ADDR")]
    network.serve(ScriptedPeer(*opening, *offer, *steps))
    endpoint = network.client_endpoint()
    return network, network.result_of(connect(network.clock, endpoint=endpoint, name="me.test"))


def test_a_refusal_leaves_the_session_as_it_was() -> None:
    """The command is answered, and that is all."""
    network, conn = scripted(
        expect("XCLIENT ADDR=192.0.2.7"),
        send("550 5.7.0 You may not"),
        expect("NOOP"),
        send("250 Ok"),
        expect("QUIT"),
        send("221 Bye"),
        close(),
    )
    with pytest.raises(ProtocolError) as refused:
        network.result_of(conn.xclient(addr="192.0.2.7"))
    assert refused.value.reply.code == 550
    assert "XCLIENT" in conn.extensions
    network.result_of(conn.noop())
    network.result_of(conn.quit())


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ([send("220 old.test"), expect("EHLO me.test"), send("550 no"), send("550 no")], SMTPError),
        ([send("220 old.test"), expect("EHLO me.test"), close()], ConnectionLostError),
        ([send("220 old.test", "250 early"), close()], ProtocolError),
        ([send("250 Ok"), close()], ProtocolError),
        ([send("421 Not that one"), close()], ConnectionLostError),
        ([close()], ConnectionLostError),
    ],
    ids=range(6),
)
def test_a_session_that_does_not_begin_anew_ends(steps: list[Any], error: type[Exception]) -> None:
    """Nothing that was known before holds, and the call ends with the reason, once."""
    network, conn = scripted(expect("XCLIENT ADDR=192.0.2.7"), *steps)
    with pytest.raises(error):
        network.result_of(conn.xclient(addr="192.0.2.7"))
    conn.close()
    network.settle()
