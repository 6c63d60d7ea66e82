"""A scripted peer plays its part, and says precisely where the other side left the script."""

from __future__ import annotations

import pytest
from twisted.internet.protocol import Protocol

from txsmtpconn.testing import MemoryNetwork, ScriptedPeer, failure_result_of, success_result_of
from txsmtpconn.testing.peer import ScriptError
from txsmtpconn.testing.script import (
    call,
    close,
    expect,
    expect_close,
    expect_data,
    expect_matching,
    expect_octets,
    expect_silence,
    pause,
    read_again,
    reset,
    send,
    start_tls,
    stop_reading,
    transcript,
)


class Recorder(Protocol):
    """Keeps what comes."""

    def __init__(self):
        self.segments = []
        self.lost = None

    def dataReceived(self, data):
        self.segments.append(data)

    def connectionLost(self, reason):
        self.lost = reason


def playing(*steps):
    """Join a recorder to a peer with these steps."""
    network = MemoryNetwork()
    client, peer = Recorder(), ScriptedPeer(*steps)
    network.join(client, peer)
    return network, client, peer


def test_two_peers_play_a_conversation_of_an_rfc():
    """Both sides of one transcript keep to it, in the order in which it is written."""
    text = """
        S: 220 mx.test ESMTP
        C: EHLO client.test
        S: 250-mx.test
        S: 250 SIZE
        C: QUIT
        S: 221 Bye
    """
    network = MemoryNetwork(segment=1)
    server = ScriptedPeer.from_transcript(text)
    client = ScriptedPeer.from_transcript(text, role="client")
    network.join(client, server)
    network.settle()
    client.check()
    server.check()
    assert bytes(server.received) == b"EHLO client.test\r\nQUIT\r\n"
    assert bytes(client.received) == b"220 mx.test ESMTP\r\n250-mx.test\r\n250 SIZE\r\n221 Bye\r\n"


def test_a_transcript_must_say_who_speaks():
    """A line without C: or S: is a mistake of the test, told at once."""
    with pytest.raises(ValueError, match="begins with C: or S:"):
        transcript("220 hello")
    with pytest.raises(ValueError, match="role is 'server' or 'client', not 'S'"):
        ScriptedPeer.from_transcript("S: 220 hello", role="S")


@pytest.mark.parametrize("step", ["220 hello", [send("220 hello")], send])
def test_what_is_no_step_is_refused(step):
    """It could only be passed over, and then any conversation would be as the script says."""
    with pytest.raises(TypeError, match="a step is what"):
        ScriptedPeer(send("220 hello"), step)


def test_a_difference_is_found_at_the_first_wrong_octet():
    """No need to wait for a whole line; the message shows both, the step, and the conversation."""
    network, client, peer = playing(send("220 hi"), expect("EHLO client.test"))
    network.settle()
    client.transport.write(b"EHLO cli\x00")
    with pytest.raises(ScriptError) as caught:
        network.settle()
    text = str(caught.value)
    assert r"expected b'EHLO client.test\r\n'" in text
    assert r"received b'EHLO cli\x00'" in text
    assert "step 2 of 2: Expect(octets=" in text
    assert r"me: b'220 hi\r\n'" in text
    assert client.lost is not None
    failure_result_of(peer.when_done(), ScriptError)


def test_a_partial_match_waits():
    """A prefix of what is expected is no failure, and not the end of the script."""
    network, client, peer = playing(expect("NOOP"))
    client.transport.write(b"NO")
    network.settle()
    with pytest.raises(ScriptError, match="not played to its end"):
        peer.check()
    client.transport.write(b"OP\r\n")
    network.settle()
    peer.check()
    assert success_result_of(peer.when_done()) is peer


def test_more_than_the_script_is_a_failure():
    """What comes behind the last step counts, unless the peer had closed."""
    network, client, _ = playing(expect("NOOP"))
    client.transport.write(b"NOOP\r\nRSET\r\n")
    with pytest.raises(ScriptError, match="more than the script"):
        network.settle()
    network, client, peer = playing(expect("NOOP"), close())
    client.transport.write(b"NOOP\r\nRSET\r\n")
    network.settle()
    peer.check()


def test_an_early_end_is_a_failure_that_names_the_step():
    """The client went away in mid-script."""
    network, client, _ = playing(expect("NOOP"), send("250 ok"))
    client.transport.loseConnection()
    with pytest.raises(ScriptError, match="ended before Expect"):
        network.settle()


def test_an_expected_end_is_none():
    """`expect_close` is the place where the client may go, and nothing may come before that."""
    network, client, peer = playing(send("421 bye"), expect_close())
    network.settle()
    client.transport.loseConnection()
    network.settle()
    peer.check()
    network, client, _ = playing(expect_close())
    client.transport.write(b"QUIT\r\n")
    with pytest.raises(ScriptError, match="a close was expected"):
        network.settle()


def test_mail_data_chunks_and_lines_are_captured():
    """What is not known beforehand is kept, in order."""
    network, client, peer = playing(
        expect_matching(r"EHLO \S+"), expect_data(), expect("BDAT 3 LAST"), expect_octets(3)
    )
    client.transport.write(b"EHLO a.b\r\n..dot\r\n.\r\nBDAT 3 LAST\r\n\r\n\x00")
    network.settle()
    peer.check()
    assert peer.captured == [b"EHLO a.b\r\n", b"..dot\r\n.\r\n", b"\r\n\x00"]


@pytest.mark.parametrize("cut", range(1, 12))
def test_the_end_of_mail_data_is_found_across_segments(cut):
    """However the octets come, data ends at its CRLF.CRLF."""
    network, client, peer = playing(expect_data("body", "."), expect("QUIT"))
    network.links[0].to_server.segment = [cut]
    client.transport.write(b"body\r\n.\r\nQUIT\r\n")
    network.settle()
    peer.check()


def test_empty_mail_data_is_a_lone_dot():
    """A dot at once ends it."""
    network, client, peer = playing(expect_data("."))
    client.transport.write(b".\r\n")
    network.settle()
    peer.check()


def test_wrong_lines_and_data_are_shown():
    """A line that does not match, data that differ."""
    network, client, _ = playing(expect_matching("EHLO .+"))
    client.transport.write(b"HELO x\r\n")
    with pytest.raises(ScriptError, match="does not match"):
        network.settle()
    network, client, _ = playing(expect_data("a", "."))
    client.transport.write(b"b\r\n.\r\n")
    with pytest.raises(ScriptError, match="other mail data"):
        network.settle()


def test_silence_is_kept_or_not():
    """Octets within the time fail it; octets after it do not."""
    network, client, peer = playing(expect_silence(5), expect("EHLO x"))
    network.advance(5)
    client.transport.write(b"EHLO x\r\n")
    network.settle()
    peer.check()
    network, client, _ = playing(expect_silence(5))
    client.transport.write(b"early")
    with pytest.raises(ScriptError, match="silence"):
        network.advance(5)


def test_a_reply_can_trickle():
    """Pieces leave at their times; a pause holds back what follows it."""
    network, client, peer = playing(send("250 ok", split=3, every=2), pause(10), send("421 bye"))
    seen = []
    for _ in range(9):
        network.settle()
        seen.append(b"".join(client.segments))
        network.advance(2)
    assert seen[:4] == [b"250", b"250 ok", b"250 ok\r\n", b"250 ok\r\n"]
    assert seen[-1] == b"250 ok\r\n421 bye\r\n"
    peer.check()


def test_a_split_reply_comes_in_separate_segments():
    """`split=1` is one octet a segment, with no time between."""
    network, client, _ = playing(send("250", split=1))
    network.settle()
    assert client.segments == [b"2", b"5", b"0", b"\r", b"\n"]


def test_a_pause_without_a_clock_is_a_mistake_of_the_test():
    """On sockets, a peer that waits is given the reactor."""
    peer = ScriptedPeer(pause(1))
    with pytest.raises(ValueError, match="needs a clock"):
        peer.makeConnection(None)


def test_it_can_stop_reading_and_break_the_connection():
    """A zero window, a function of the test's own, and a reset."""
    called = []
    network, client, peer = playing(
        stop_reading(), pause(5), call(called.append), read_again(), expect("x"), reset()
    )
    client.transport.write(b"x\r\n")
    network.advance(4)
    assert bytes(peer.received) == b""
    network.advance(1)
    peer.check()
    assert called == [peer]
    assert client.lost.type.__name__ == "ConnectionLost"


def test_it_starts_tls_in_either_role(certificate_zoo):
    """Steps behind `start_tls` are played inside TLS."""
    server = ScriptedPeer(
        expect("STARTTLS"),
        send("220 go"),
        start_tls(certificate_zoo.server_options()),
        expect("EHLO x"),
    )
    client = ScriptedPeer(
        send("STARTTLS"),
        expect("220 go"),
        start_tls(certificate_zoo.client_options("localhost")),
        send("EHLO x"),
    )
    network = MemoryNetwork()
    network.join(client, server)
    network.settle()
    server.check()
    client.check()
    assert server.secure
    assert "TLS is established" in server.transcript


def test_a_refused_handshake_may_be_what_is_expected(certificate_zoo):
    """`start_tls` and then `expect_close`: the client did not like the certificate."""
    server = ScriptedPeer(start_tls(certificate_zoo.server_options("expired")), expect_close())
    client = ScriptedPeer(start_tls(certificate_zoo.client_options("localhost")), expect_close())
    network = MemoryNetwork()
    network.join(client, server)
    network.settle()
    server.check()
    assert not server.secure
