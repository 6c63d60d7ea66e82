"""One direction of a connection: segments, order, faults, bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol

from txsmtpconn.testing import Fault, MemoryNetwork


class Recorder(Protocol):
    """Keeps what comes."""

    def __init__(self):
        self.segments = []
        self.lost = None

    def dataReceived(self, data):
        assert self.lost is None, "octets after connectionLost"
        self.segments.append(data)

    def connectionLost(self, reason):
        assert self.lost is None, "connectionLost twice"
        self.lost = reason.value


def joined(**settings):
    """Join two recorders."""
    network = MemoryNetwork(**settings)
    client, server = Recorder(), Recorder()
    return network, network.join(client, server), client, server


def test_what_is_written_in_one_turn_arrives_as_one_segment():
    """Two writes without a turn between them are one segment; with one, two."""
    network, link, _, server = joined()
    link.client.write(b"MAIL\r\n")
    link.client.writeSequence([b"RCPT\r\n", b"DATA\r\n"])
    assert server.segments == []
    network.settle()
    link.client.write(b"RSET\r\n")
    network.settle()
    assert server.segments == [b"MAIL\r\nRCPT\r\nDATA\r\n", b"RSET\r\n"]


def test_a_stream_can_be_cut_into_single_octets():
    """An int is the size of every segment."""
    network, link, _, server = joined(segment=1)
    link.client.write(b"250\r\n")
    network.settle()
    assert server.segments == [b"2", b"5", b"0", b"\r", b"\n"]


def test_a_stream_can_be_cut_where_a_test_wants():
    """Sizes are used up, then segments are whole again; zero is no size."""
    network, link, _, server = joined()
    link.to_server.segment = [3, 1]
    link.client.write(b"abcdefgh")
    network.settle()
    assert server.segments == [b"abc", b"d", b"efgh"]
    with pytest.raises(ValueError, match="at least one octet"):
        link.to_server.segment = 0
    link.to_server.segment = [3, 0]
    link.client.write(b"abcdefgh")
    with pytest.raises(ValueError, match="at least one octet"):
        network.settle()


def test_what_is_no_fault_does_not_pass_for_one():
    """By its value it is one; anything else would strike as another, or nowhere."""
    network, link, client, _ = joined()
    for octets, fault in ((0, "stal"), (-1, Fault.STALL)):
        with pytest.raises(ValueError):
            link.to_server.cut_after(octets, fault)
    link.to_server.cut_after(0, "stall")
    network.settle()
    assert client.lost is None


@given(
    writes=st.lists(st.binary(min_size=1, max_size=50), max_size=10),
    sizes=st.lists(st.integers(1, 20), max_size=30),
    capacity=st.integers(1, 100),
    latency=st.sampled_from([0.0, 0.1]),
)
def test_no_octet_is_lost_or_moved(writes, sizes, capacity, latency):
    """However a stream is cut, bounded and delayed, its octets arrive once and in order."""
    network, link, _, server = joined(latency=latency, capacity=capacity)
    link.to_server.segment = sizes
    for octets in writes:
        link.client.write(octets)
    link.client.loseConnection()
    network.advance(1000)
    assert b"".join(server.segments) == b"".join(writes)
    assert isinstance(server.lost, ConnectionDone)
    assert link.to_server.largest <= capacity


@pytest.mark.parametrize(
    ("fault", "at_server", "at_client"),
    [
        (Fault.RESET, ConnectionLost, ConnectionLost),
        (Fault.CLOSE, ConnectionDone, ConnectionLost),
        (Fault.STALL, type(None), type(None)),
        (Fault.VANISH, type(None), type(None)),
    ],
)
@pytest.mark.parametrize("octets", [0, 1, 4, 5])
def test_a_fault_strikes_at_its_octet(fault, at_server, at_client, octets):
    """Exactly so many octets arrive, and then what the fault says."""
    network, link, client, server = joined()
    link.to_server.cut_after(octets, fault)
    link.client.write(b"12345678")
    network.settle()
    assert b"".join(server.segments) == b"12345678"[:octets]
    assert isinstance(server.lost, at_server)
    assert isinstance(client.lost, at_client)
    link.server.write(b"answer")
    network.settle()
    assert client.segments == ([b"answer"] if fault is Fault.STALL else [])


def test_a_stalled_stream_goes_on_where_it_stopped():
    """`stall` and `flow` lose nothing."""
    network, link, _, server = joined()
    link.to_server.stall()
    link.client.write(b"one")
    network.advance(60)
    assert server.segments == []
    link.to_server.flow()
    network.settle()
    assert server.segments == [b"one"]


def test_an_abort_drops_what_is_on_its_way():
    """The aborting side loses at once, the other after the latency, and sees no more octets."""
    network, link, client, server = joined(latency=1)
    link.client.write(b"gone")
    network.settle()
    link.client.abortConnection()
    link.client.write(b"never")
    network.settle()
    assert isinstance(client.lost, ConnectionAborted)
    assert server.lost is None
    network.advance(1)
    assert isinstance(server.lost, ConnectionLost)
    assert server.segments == []


def test_a_reset_is_seen_by_a_side_that_does_not_read():
    """A full stop of reading hides octets and an end, not a reset."""
    network, link, _, server = joined()
    link.server.pauseProducing()
    link.client.write(b"unread")
    network.settle()
    link.client.abortConnection()
    network.settle()
    assert isinstance(server.lost, ConnectionLost)


def test_writing_to_a_side_that_has_gone_is_answered_with_a_reset():
    """As by a kernel: the writer, who did not read the end, loses the connection."""
    network, link, client, _ = joined()
    link.client.pauseProducing()
    link.server.loseConnection()
    network.settle()
    assert client.lost is None
    link.client.write(b"still there?")
    network.settle()
    assert isinstance(client.lost, ConnectionLost)
