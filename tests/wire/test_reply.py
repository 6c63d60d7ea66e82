"""Replies: values, rendering, and the incremental parser."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors.replies import BROKEN_REPLIES, REPLIES
from txsmtpconn.wire.enhanced import EnhancedStatusCode
from txsmtpconn.wire.errors import LocalProtocolError, RemoteProtocolError
from txsmtpconn.wire.limits import BLANK_LINES, ReplyLimits
from txsmtpconn.wire.reply import Reply, ReplyParser, _heard

replies = pytest.mark.parametrize(
    ("octets", "reply"), [case[:2] for case in REPLIES], ids=[case[2] for case in REPLIES]
)
broken = pytest.mark.parametrize(
    ("octets", "received"),
    [case[:2] for case in BROKEN_REPLIES],
    ids=[case[2] for case in BROKEN_REPLIES],
)


def read(parser: ReplyParser) -> list[Reply]:
    """Give all replies that are whole."""
    return list(iter(parser.next_reply, None))


@replies
def test_a_reply_is_read_whole(octets: bytes, reply: Reply) -> None:
    """One read that holds a reply gives that reply and nothing else."""
    parser = ReplyParser()
    parser.receive_data(octets)
    assert parser.next_reply() == reply
    assert parser.next_reply() is None
    assert parser.residue == b""


@replies
def test_a_reply_is_read_octet_by_octet(octets: bytes, reply: Reply) -> None:
    """A reply is there with its last octet and not before; until then it is all residue."""
    parser = ReplyParser()
    blanks = octets[: len(octets) - len(octets.lstrip(b"\r\n"))]
    for at in range(len(octets) - 1):
        parser.receive_data(octets[at : at + 1])
        assert parser.next_reply() is None
        if len(octets) < 500:
            assert (blanks + parser.residue).endswith(octets[len(blanks) : at + 1])
    parser.receive_data(octets[-1:])
    assert parser.next_reply() == reply
    assert parser.residue == b""


@replies
def test_what_follows_a_reply_is_left(octets: bytes, reply: Reply) -> None:
    """Octets behind a reply are the residue, whole replies or not, and are read next."""
    parser = ReplyParser()
    parser.receive_data(octets + b"421-bye\r\n421 x")
    assert parser.next_reply() == reply
    assert parser.residue == b"421-bye\r\n421 x"
    assert parser.next_reply() is None
    assert parser.residue == b"421-bye\r\n421 x"
    parser.receive_data(b"\r\n250 Ok\r\n")
    assert parser.next_reply() == Reply(421, (b"bye", b"x"))
    assert parser.next_reply() == Reply(250, (b"Ok",))


@broken
def test_what_is_no_reply_is_a_remote_error_for_good(octets: bytes, received: bytes) -> None:
    """Garbage raises with what was read, on every later call too, and nothing is kept."""
    parser = ReplyParser()
    parser.receive_data(octets)
    for _ in range(3):
        with pytest.raises(RemoteProtocolError) as caught:
            parser.next_reply()
        assert caught.value.received == received
        parser.receive_data(b"250 Ok\r\n")
    assert parser.residue == b""


@broken
def test_garbage_is_found_octet_by_octet_too(octets: bytes, received: bytes) -> None:
    """Cutting does not change what is garbage, nor what the error shows."""
    parser = ReplyParser()

    def feed() -> None:
        for at in range(len(octets)):
            parser.receive_data(octets[at : at + 1])
            while parser.next_reply() is not None:
                pass

    with pytest.raises(RemoteProtocolError) as caught:
        feed()
    assert caught.value.received == received


def test_replies_before_garbage_are_given_out_first() -> None:
    """A good reply is not lost because garbage follows in the same read."""
    parser = ReplyParser()
    parser.receive_data(b"554 5.7.1 go away\r\n\x15\x03\x01\r\n")
    assert parser.next_reply() == Reply(554, (b"5.7.1 go away",))
    with pytest.raises(RemoteProtocolError):
        parser.next_reply()


def test_an_unfinished_line_is_refused_at_the_limit() -> None:
    """C2: no line end is awaited beyond the limit, and 8191 octets are still too few to tell."""
    parser = ReplyParser()
    parser.receive_data(b"220 " + b"x" * 8187)
    assert parser.next_reply() is None
    parser.receive_data(b"x")
    with pytest.raises(RemoteProtocolError):
        parser.next_reply()


def test_a_flood_of_lines_is_held_within_the_limits() -> None:
    """C1: however long the peer goes on, the parser holds less than one reply and one line."""
    parser = ReplyParser()
    largest = 0

    def flood() -> None:
        nonlocal largest
        for _ in range(2000):
            parser.receive_data(b"250-X\r\n" * 100)
            parser.next_reply()
            largest = max(largest, len(parser.residue))

    with pytest.raises(RemoteProtocolError):
        flood()
    assert largest < 65536 + 8192


def test_many_replies_in_one_read_are_not_copied_again() -> None:
    """Linear: 100 000 replies in one read are taken from one buffer, which nothing shortens."""
    parser = ReplyParser()
    octets = b"250 Ok\r\n" * 100_000
    parser.receive_data(octets)
    for number in range(100_000):
        assert parser.next_reply() is not None
        if number == 50_000:
            assert parser._buffer is octets
    assert parser.next_reply() is None


def test_replies_known_beforehand_are_passed_by_as_a_whole() -> None:
    """Where just these octets come next, and a reply may begin there; else nothing happens."""
    parser = ReplyParser()
    phrase = b"250 a\r\n250 b\r\n"
    parser.receive_data(b"\r\n250 c\r\n" + phrase + phrase[:-1])
    assert not parser.skip(phrase)
    assert parser.next_reply() == Reply.of(250, "c")
    assert parser.skip(phrase)
    assert not parser.skip(phrase)
    parser.receive_data(b"\n250-d\r\n")
    assert parser.skip(phrase)
    assert parser.next_reply() is None
    parser.receive_data(phrase)
    assert not parser.skip(phrase), "the first line of it ends the reply that has begun"
    assert parser.next_reply() == Reply.of(250, "d", "a")
    assert parser.next_reply() == Reply.of(250, "b")


def test_replies_passed_by_end_a_run_of_empty_lines() -> None:
    """The limit is for empty lines between two replies."""
    parser = ReplyParser()
    for _ in range(3):
        parser.receive_data(b"\r\n" * BLANK_LINES)
        assert parser.next_reply() is None
        parser.receive_data(b"250 a\r\n")
        assert parser.skip(b"250 a\r\n")


def test_the_limits_are_the_callers() -> None:
    """Smaller limits hold, each by itself."""
    cases = [
        (ReplyLimits(line=10), b"250 12345\r\n"),
        (ReplyLimits(total=10), b"250 12345\r\n"),
        (ReplyLimits(total=10), b"250-1\r\n250 2\r\n"),
        (ReplyLimits(lines=1), b"250-1\r\n250 2\r\n"),
    ]
    for limits, octets in cases:
        parser = ReplyParser(limits)
        parser.receive_data(octets)
        with pytest.raises(RemoteProtocolError):
            parser.next_reply()
    parser = ReplyParser(ReplyLimits(line=11, lines=1, total=11))
    parser.receive_data(b"250 12345\r\n")
    assert parser.next_reply() == Reply(250, (b"12345",))


def test_empty_lines_count_only_in_a_row() -> None:
    """A few between any two replies are skipped for ever."""
    parser = ReplyParser()
    for _ in range(5):
        parser.receive_data(b"\r\n" * 16 + b"250 Ok\r\n" + b"\n" * 16 + b"250-a\r\n250 b\r\n")
        assert parser.next_reply() == Reply(250, (b"Ok",))
        assert parser.next_reply() == Reply(250, (b"a", b"b"))


def test_a_reply_ends_a_run_of_empty_lines() -> None:
    """Also where the empty lines came alone, in reads of their own."""
    parser = ReplyParser()
    for _ in range(3):
        parser.receive_data(b"\r\n" * 10)
        assert parser.next_reply() is None
        parser.receive_data(b"250 Ok\r\n")
        assert parser.next_reply() == Reply(250, (b"Ok",))


def test_clear_forgets_everything() -> None:
    """After STARTTLS nothing read before is left, an unfinished reply included."""
    parser = ReplyParser()
    parser.receive_data(b"250-evil\r\n250-SMTP")
    assert parser.next_reply() is None
    assert parser.residue == b"250-evil\r\n250-SMTP"
    parser.clear()
    assert parser.residue == b""
    parser.receive_data(b"220 Ok\r\n")
    assert parser.next_reply() == Reply(220, (b"Ok",))


@replies
def test_what_we_render_is_what_was_read(octets: bytes, reply: Reply) -> None:
    """A rendered reply is read back as itself, unless a line could end it early."""
    if any(set(line) & set(b"\r\n\0") for line in reply.octets):
        with pytest.raises(LocalProtocolError):
            reply.encode()
        return
    parser = ReplyParser()
    parser.receive_data(reply.encode())
    assert parser.next_reply() == reply
    assert parser.residue == b""


def test_a_reply_is_rendered_with_crlf() -> None:
    """The separator is a hyphen in all lines but the last; it stands without text too."""
    assert Reply.of(250, "first", "last").encode() == b"250-first\r\n250 last\r\n"
    assert Reply.of(250).encode() == b"250 \r\n"
    assert Reply(250, ()).encode() == b"250 \r\n"
    assert Reply.of(250, "", "").encode() == b"250-\r\n250 \r\n"
    assert Reply.of(550, "ungültig").encode() == "550 ungültig\r\n".encode()


@pytest.mark.parametrize("text", ["a\r\n250 b", "a\rb", "a\nb", "a\0b"])
def test_a_reply_cannot_be_split(text: str) -> None:
    """R33: text from outside cannot become a second reply."""
    with pytest.raises(LocalProtocolError):
        Reply.of(250, "ok", text).encode()


@pytest.mark.parametrize("code", [0, 199, 600, 2500, -250])
def test_a_code_out_of_range_is_not_rendered(code: int) -> None:
    """Only 2xx to 5xx are replies."""
    with pytest.raises(LocalProtocolError):
        Reply.of(code, "x").encode()


def test_a_lone_surrogate_is_no_text() -> None:
    """Text that UTF-8 cannot say is a local error, not a UnicodeError from below."""
    with pytest.raises(LocalProtocolError) as caught:
        Reply.of(250, "\ud800")
    assert type(caught.value) is LocalProtocolError


def test_text_is_decoded_line_by_line() -> None:
    """UTF-8 where a line is UTF-8, Latin-1 where it is not; the octets stay."""
    reply = Reply(550, ("für".encode(), "für".encode("latin-1")))
    assert reply.lines == ("für", "für")
    assert reply.octets == (b"f\xc3\xbcr", b"f\xfcr")


def test_str_is_the_response_of_smtp_connection() -> None:
    """Lines with code and separator, joined by a line feed."""
    assert str(Reply.of(250, "first", "last")) == "250-first\n250 last"
    assert str(Reply.of(250, "a", "")) == "250-a\n250"
    assert str(Reply(250, ())) == "250"


def test_the_text_has_no_enhanced_status_code() -> None:
    """It is taken off every line that repeats it, and off no other."""
    reply = Reply.of(550, "5.1.1 No such user", "5.1.1 here", "5.1.2 x", "y")
    assert reply.text == "No such user\nhere\n5.1.2 x\ny"
    assert Reply.of(250, "Ok", "done").text == "Ok\ndone"


def test_the_enhanced_status_code_agrees_with_the_code() -> None:
    """RFC 2034 section 4: a code of another class is text; the first that agrees counts."""
    assert Reply.of(550, "5.1.1 x").enhanced == EnhancedStatusCode(5, 1, 1)
    assert Reply.of(550, "Sorry", "5.1.1 x").enhanced == EnhancedStatusCode(5, 1, 1)
    assert Reply.of(450, "5.1.1 x").enhanced is None
    assert Reply.of(250, "mx.example.org").enhanced is None
    assert Reply.of(354, "2.0.0 go").enhanced is None


def test_the_first_digit_tells() -> None:
    """Success, transient and permanent exclude each other."""
    for code, expected in [
        (250, (True, False, False)),
        (299, (True, False, False)),
        (354, (False, False, False)),
        (421, (False, True, False)),
        (500, (False, False, True)),
        (599, (False, False, True)),
    ]:
        reply = Reply.of(code, "x")
        assert (reply.is_positive, reply.is_transient, reply.is_permanent) == expected


def test_replies_are_values() -> None:
    """Equal by code and octets, hashable, copied and pickled."""
    reply = Reply.of(250, "Ok")
    assert reply == Reply(250, (b"Ok",))
    assert len({reply, Reply(250, (b"Ok",)), Reply(251, (b"Ok",))}) == 2
    assert reply != Reply(251, (b"Ok",))
    assert reply != "250 Ok"
    assert copy.copy(reply) == pickle.loads(pickle.dumps(reply)) == reply
    assert repr(reply) == "Reply(250, (b'Ok',))"


def test_only_a_few_positive_replies_are_remembered() -> None:
    """What servers say again is the same object; a refusal never is, and all is bounded."""
    parser = ReplyParser()
    parser.receive_data(b"250 ok\r\n250 ok\r\n250 ok\n550 no\r\n550 no\r\n")
    first, again, bare, refusal, other = read(parser)
    assert again is first
    assert bare == first
    assert other == refusal
    assert other is not refusal
    long = b"250 " + b"x" * 2000 + b"\r\n"
    parser.receive_data(b"".join(b"250 queued as %d\r\n" % number for number in range(1000)) + long)
    assert len(read(parser)) == 1001
    assert len(_heard) <= 256
    assert all(len(octets) <= 1024 for octets in _heard)


def test_no_word_of_a_dialogue_is_remembered() -> None:
    """A challenge, or what answers a password, may quote it."""
    parser = ReplyParser()
    parser.receive_data(b"334 c2VjcmV0\r\n235 secret\r\n235-secret\r\n235 too\r\n")
    assert len(read(parser)) == 3
    assert not [octets for octets in _heard if b"secret" in octets or b"c2V" in octets]


HELLO = b"250-mx.example\r\n250-PIPELINING\r\n250 SIZE 1000\r\n"


def test_a_reply_of_several_lines_is_the_same_at_the_next_connection() -> None:
    """As long as it comes by itself, whole and octet for octet."""
    seen = []
    other = HELLO.replace(b"mx", b"my")
    for octets in (HELLO, HELLO, b"\r\n" + HELLO, HELLO + b"250 x\r\n", other):
        parser = ReplyParser()
        parser.receive_data(octets)
        found = parser.next_reply()
        assert found is not None
        seen.append(found)
        assert parser.residue == octets.partition(b"1000\r\n")[2]
    assert seen[1] is seen[0]
    assert seen[2] == seen[3] == seen[0]
    assert seen[4] != seen[0]


def test_what_was_heard_elsewhere_must_keep_the_limits_here() -> None:
    """Another parser may have been given more room."""
    for limits in (ReplyLimits(lines=2), ReplyLimits(line=15), ReplyLimits(total=40)):
        generous, parser = ReplyParser(), ReplyParser(limits)
        for each in (generous, parser):
            each.receive_data(HELLO)
        assert generous.next_reply() is not None
        with pytest.raises(RemoteProtocolError):
            parser.next_reply()
    begun = ReplyParser()
    begun.receive_data(b"250-mx.example\r\n")
    assert begun.next_reply() is None
    begun.receive_data(HELLO)
    assert begun.next_reply() == Reply.of(250, *2 * ["mx.example"], "PIPELINING", "SIZE 1000")


def test_replies_alike_are_counted_as_far_as_is_asked() -> None:
    """As many as are whole and the same; a reply of several lines is not repeated by its last."""
    parser = ReplyParser()
    parser.receive_data(b"250-a\r\n250 b\r\n" + b"250 b\r\n" * 9 + b"250 b\n250 b\r")
    first = parser.next_reply()
    assert first is not None
    assert parser.repeats(first, 100) == 0
    second = parser.next_reply()
    assert second is not None
    assert [parser.repeats(second, most) for most in (0, 3, 100, 100)] == [0, 3, 5, 0]
    assert parser.residue == b"250 b\n250 b\r"


_RUNS = (
    b"250 Ok\n" * 3,
    b"250 Ok\r\n" * 3,
    b"250 Ok\n",
    b"250 Okay\n",
    b"250\r\n",
    b"250-a\r\n250 b\r\n",
    b"550 no\r\n",
    b"\r\n250 Ok\r\n",
)


@given(st.lists(st.sampled_from(_RUNS), max_size=30), st.data())
def test_replies_alike_are_read_as_any_others(lines: list[bytes], data: st.DataObject) -> None:
    """Runs of one reply, cut anywhere, between refusals, long replies and empty lines.

    So are those that are only counted.
    """
    octets = b"".join(lines)
    whole, cut = ReplyParser(), ReplyParser()
    one_by_one = []
    for line in lines:
        whole.receive_data(line)
        one_by_one += read(whole)
    at_once = []
    places = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=4)))
    for start, end in zip([0, *places], [*places, len(octets)], strict=True):
        cut.receive_data(octets[start:end])
        for reply in iter(cut.next_reply, None):
            most = data.draw(st.integers(0, 5))
            count = cut.repeats(reply, most)
            assert count <= most
            at_once += [reply] * (1 + count)
    assert at_once == one_by_one
    assert cut.residue == whole.residue
