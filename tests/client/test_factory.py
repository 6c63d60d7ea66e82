"""The factory: connections for connectors and endpoints, and news of the next session."""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from tests.client.dial import NAME, greeted
from txsmtpconn import (
    ConnectionOptions,
    DeadlineError,
    ProtocolError,
    SMTPConnection,
    SMTPConnectionFactory,
    SocketError,
)
from txsmtpconn.testing import (
    MemoryNetwork,
    ScriptedPeer,
    failure_result_of,
    no_result_of,
    success_result_of,
)
from txsmtpconn.testing.script import close, expect_close, send

OPTIONS = ConnectionOptions(host="mx.test", name=NAME)


def test_it_works_with_an_endpoint() -> None:
    """The endpoint fires at the connection, `when_ready` when mail may be sent."""
    network = MemoryNetwork(latency=0.5)
    network.serve(ScriptedPeer(*greeted(), close()))
    factory = SMTPConnectionFactory(network.clock, OPTIONS)
    waits = [factory.when_ready(), factory.when_ready()]
    connected = network.client_endpoint().connect(factory)
    network.advance(1)
    connection = success_result_of(connected)
    assert isinstance(connection, SMTPConnection)
    no_result_of(waits[0])
    network.advance(2.5)
    assert [success_result_of(each) for each in waits] == [connection, connection]
    connection.close()
    network.advance(5)
    assert not network.clock.getDelayedCalls()


def test_it_works_with_connect_tcp() -> None:
    """As a ClientFactory; a connection that cannot be made is told to those who wait."""
    reactor = MemoryReactorClock()
    factory = SMTPConnectionFactory(reactor, OPTIONS)
    reactor.connectTCP("mx.test", 587, factory)
    waiting = factory.when_ready()
    factory.clientConnectionFailed(None, Failure(error.ConnectionRefusedError()))  # type: ignore[arg-type]
    assert isinstance(failure_result_of(waiting), SocketError)
    waiting = factory.when_ready()
    no_result_of(waiting)
    factory.clientConnectionFailed(None, Failure(error.TimeoutError()))  # type: ignore[arg-type]
    assert isinstance(failure_result_of(waiting), DeadlineError)


def test_when_ready_is_about_the_next_session() -> None:
    """Each wait hears of one: the first fails, the second is ready."""
    network = MemoryNetwork()
    network.serve(
        ScriptedPeer(send("554 go away"), expect_close()), ScriptedPeer(*greeted(), close())
    )
    factory = SMTPConnectionFactory(network.clock, OPTIONS)
    first = factory.when_ready()
    network.client_endpoint().connect(factory)
    network.settle()
    assert isinstance(failure_result_of(first), ProtocolError)
    second = factory.when_ready()
    network.client_endpoint().connect(factory)
    connection = network.result_of(second)
    third = factory.when_ready()
    no_result_of(third)
    third.cancel()
    failure_result_of(third)
    connection.close()
    network.settle()


def test_each_transport_gets_a_connection_of_its_own() -> None:
    """With ids of their own, and the factory as their factory."""
    factory = SMTPConnectionFactory(MemoryReactorClock(), OPTIONS)
    one: Any
    one, two = factory.buildProtocol(None), factory.buildProtocol(None)
    assert one is not two
    assert one.id != two.id
    assert one.factory is factory
    one.makeConnection(StringTransport())
    one.close()
