"""Connections in memory: who reaches whom, and what time does."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    CannotListenError,
    ConnectingCancelledError,
    ConnectionRefusedError,  # noqa: A004
)
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint, ITLSTransport
from twisted.internet.protocol import Factory, Protocol
from zope.interface.verify import verifyObject

from txsmtpconn.testing import (
    MemoryNetwork,
    ScriptedPeer,
    failure_result_of,
    no_result_of,
    success_result_of,
)
from txsmtpconn.testing.peer import ScriptError
from txsmtpconn.testing.script import expect, send


class Recorder(Protocol):
    """Keeps what comes, with its time."""

    def __init__(self, clock=None):
        self.clock = clock
        self.segments = []
        self.times = []
        self.lost = None

    def dataReceived(self, data):
        self.segments.append(data)
        if self.clock is not None:
            self.times.append(self.clock.seconds())

    def connectionLost(self, reason):
        self.lost = reason


def test_endpoints_join_a_client_factory_and_a_server_factory():
    """What connects to a name reaches what listens on it."""
    network = MemoryNetwork()
    network.server_endpoint("a").listen(Factory.forProtocol(Recorder))
    client = network.result_of(network.client_endpoint("a").connect(Factory.forProtocol(Recorder)))
    (link,) = network.links
    assert link.client.protocol is client
    client.transport.write(b"hello")
    network.settle()
    assert link.server.protocol.segments == [b"hello"]
    assert link.client.getPeer() == link.server.getHost()
    assert link.server.getPeer() == link.client.getHost()


def test_endpoints_and_transports_keep_the_interfaces_they_name():
    """Glue that asks zope gets a true answer."""
    network = MemoryNetwork()
    verifyObject(IStreamClientEndpoint, network.client_endpoint())
    verifyObject(IStreamServerEndpoint, network.server_endpoint())
    link = network.join(Recorder(), Recorder())
    verifyObject(ITLSTransport, link.client)
    assert not hasattr(link.client, "getHandle")


def test_a_name_with_no_listener_refuses():
    """Nobody there: the error of a real endpoint."""
    network = MemoryNetwork()
    connecting = network.client_endpoint().connect(Factory.forProtocol(Recorder))
    network.settle()
    failure_result_of(connecting, ConnectionRefusedError)


def test_a_port_that_stopped_refuses_and_its_connections_stay():
    """stopListening closes the door, not the rooms."""
    network = MemoryNetwork()
    port = network.listen(Factory.forProtocol(Recorder))
    network.result_of(network.client_endpoint().connect(Factory.forProtocol(Recorder)))
    success_result_of(port.stopListening())
    connecting = network.client_endpoint().connect(Factory.forProtocol(Recorder))
    network.settle()
    failure_result_of(connecting, ConnectionRefusedError)
    assert not network.links[0].closed


def test_two_listeners_on_one_name_are_an_error():
    """The second listen says CannotListenError, as a Deferred from the endpoint."""
    network = MemoryNetwork()
    network.listen(Factory.forProtocol(Recorder))
    failure_result_of(
        network.server_endpoint().listen(Factory.forProtocol(Recorder)), CannotListenError
    )


def test_connecting_can_be_cancelled_before_it_arrives():
    """A cancelled connect leaves no call and no link."""
    network = MemoryNetwork(latency=1)
    network.listen(Factory.forProtocol(Recorder))
    connecting = network.client_endpoint().connect(Factory.forProtocol(Recorder))
    connecting.cancel()
    failure_result_of(connecting, ConnectingCancelledError)
    assert network.clock.getDelayedCalls() == []
    network.advance(5)
    assert network.links == []


def test_an_unreachable_name_never_answers():
    """Neither refused nor accepted, whatever time passes; cancelling ends it."""
    network = MemoryNetwork()
    network.listen(Factory.forProtocol(Recorder))
    network.make_unreachable()
    connecting = network.client_endpoint().connect(Factory.forProtocol(Recorder))
    network.advance(1000)
    no_result_of(connecting)
    connecting.cancel()
    failure_result_of(connecting, ConnectingCancelledError)


def test_a_factory_that_raises_fails_the_connect():
    """An error in buildProtocol is the caller's result, not an escape into the clock."""

    class Broken(Factory):
        noisy = False

        def buildProtocol(self, addr):
            raise LookupError("no protocol today")

    network = MemoryNetwork()
    network.listen(Factory.forProtocol(Recorder))
    connecting = network.client_endpoint().connect(Broken())
    network.settle()
    failure_result_of(connecting, LookupError)


@pytest.mark.parametrize("wrong", [{"latency": -1}, {"capacity": 0}])
def test_a_network_on_which_nothing_could_move_is_refused(wrong):
    """Where it is made, and not by a test that waits for ever."""
    with pytest.raises(ValueError, match="a network has"):
        MemoryNetwork(**wrong)


def test_latency_is_simulated_step_by_step():
    """An advance over several round trips runs each of them at its own time."""
    network = MemoryNetwork(latency=0.5)

    class Echo(Recorder):
        def dataReceived(self, data):
            super().dataReceived(data)
            if len(self.segments) < 3:
                self.transport.write(data)

    client, server = Echo(network.clock), Echo(network.clock)
    link = network.join(client, server)
    link.client.write(b"x")
    network.advance(10)
    assert server.times == [0.5, 1.5, 2.5]
    assert client.times == [1.0, 2.0]
    assert network.clock.seconds() == 10


def test_result_of_waits_no_longer_than_it_was_told():
    """Time stops at the result, and at the limit where there is none."""
    network = MemoryNetwork()
    soon: Deferred[str] = Deferred()
    network.clock.callLater(3, soon.callback, "here")
    assert network.result_of(soon, within=60) == "here"
    assert network.clock.seconds() == 3
    late: Deferred[str] = Deferred()
    network.clock.callLater(100, late.callback, "late")
    with pytest.raises(AssertionError, match="has not fired"):
        network.result_of(late, within=50)


def test_result_of_raises_what_it_failed_with():
    """As ``await`` does, so that a test may expect it."""
    network = MemoryNetwork()
    with pytest.raises(ConnectionRefusedError, match="nobody listens"):
        network.result_of(network.client_endpoint().connect(Factory.forProtocol(Recorder)))


def test_what_does_not_come_is_told_with_what_was_said():
    """Time, octets, scripted peers and whoever else has something to tell."""
    network = MemoryNetwork()
    network.serve(ScriptedPeer(send("220 mx.test"), expect("QUIT")))
    connecting = network.client_endpoint().connect(Factory.forProtocol(Recorder))
    client = network.result_of(connecting)
    client.transport.write(b"QUI")
    network.clock.callLater(300, lambda: None)

    def tell():
        return "I was there"

    network.add_witness(tell)
    with pytest.raises(AssertionError) as caught:
        network.result_of(Deferred(), within=20)
    told = str(caught.value).splitlines()
    assert told[0].startswith("a result was expected within 20 s, but <Deferred")
    assert told[1:4] == [
        "it is 20 s; the next call is due at 300 s",
        "link 1: open, 3 octets to the server, 13 to the client",
        "scripted peer, step 2 of 2: Expect(octets=b'QUIT\\r\\n')",
    ]
    assert told[-2:] == ["  peer: b'QUI'", "I was there"]
    network.remove_witness(tell)
    network.advance(280)
    told = network.report().splitlines()
    assert told[0] == "it is 300 s, and nothing is due"
    assert "I was there" not in told


def test_result_of_runs_a_coroutine():
    """async def needs no reactor here."""
    network = MemoryNetwork()

    async def wait():
        ended: Deferred[int] = Deferred()
        network.clock.callLater(2, ended.callback, 7)
        return await ended

    assert network.result_of(wait(), within=5) == 7


def test_a_reset_reaches_both_sides_once():
    """Both lose the connection; a second reset changes nothing."""
    network = MemoryNetwork()
    client, server = Recorder(), Recorder()
    link = network.join(client, server)
    link.client.write(b"lost")
    link.reset()
    link.reset()
    network.settle()
    assert link.closed
    assert server.segments == []
    assert client.lost.type.__name__ == server.lost.type.__name__ == "ConnectionLost"


def test_a_vanished_peer_says_nothing():
    """A half-open connection: octets, ends and resets are all lost on the way."""
    network = MemoryNetwork()
    client, server = Recorder(), Recorder()
    link = network.join(client, server)
    link.vanish()
    link.client.write(b"hello?")
    link.server.abortConnection()
    network.advance(1000)
    assert client.lost is None
    assert server.segments == []


def test_a_peer_that_leaves_its_script_fails_the_advance():
    """The test that moves the clock sees the failure, with the conversation in it."""
    network = MemoryNetwork()
    network.serve(ScriptedPeer(send("220 mx.test"), expect("EHLO a")))
    client = network.result_of(network.client_endpoint().connect(Factory.forProtocol(Recorder)))
    client.transport.write(b"HELO a\r\n")
    with pytest.raises(ScriptError, match=r"(?s)expected b'EHLO a.*220 mx\.test"):
        network.settle()


def test_serve_gives_each_peer_one_connection():
    """The second connection finds the second peer, the third nobody."""
    network = MemoryNetwork()
    peers = [ScriptedPeer(send(f"220 {n}")) for n in range(2)]
    network.serve(*peers)
    for n in range(2):
        client = network.result_of(network.client_endpoint().connect(Factory.forProtocol(Recorder)))
        network.settle()
        assert client.segments == [b"220 %d\r\n" % n]
        peers[n].check()
    connecting = network.client_endpoint().connect(Factory.forProtocol(Recorder))
    network.settle()
    failure_result_of(connecting, ConnectionRefusedError)
