"""Replies: any octets, cut anywhere, are replies or one remote error."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from txsmtpconn.wire.enhanced import EnhancedStatusCode
from txsmtpconn.wire.errors import RemoteProtocolError
from txsmtpconn.wire.extensions import Extensions
from txsmtpconn.wire.limits import ReplyLimits
from txsmtpconn.wire.reply import Reply, ReplyParser

SMALL = ReplyLimits(line=40, lines=5, total=100)

# Pieces that make replies, nearly make them, or break them.
pieces = st.sampled_from(b"250|250 |250-|550-|2|\r|\n|\r\n| |5.1.1 |xxxxxxxxxxxxxxx|\0".split(b"|"))
wire = st.one_of(st.lists(pieces, max_size=40).map(b"".join), st.binary(max_size=200))
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=30)
replies = st.builds(Reply.of, st.integers(200, 599), texts, *[texts] * 3)


@st.composite
def cut(draw: st.DrawFn, octets: st.SearchStrategy[bytes]) -> tuple[bytes, list[bytes]]:
    """Draw octets and the same octets in chunks."""
    whole = draw(octets)
    places = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=10)))
    ends = [*places, len(whole)]
    return whole, [whole[a:b] for a, b in zip([0, *places], ends, strict=True)]


def read(chunks: list[bytes], limits: ReplyLimits) -> tuple[list[Reply], bytes | None]:
    """Give all replies and what the error shows, if there was one."""
    parser = ReplyParser(limits)
    found: list[Reply] = []
    for chunk in chunks:
        parser.receive_data(chunk)
        try:
            while (reply := parser.next_reply()) is not None:
                found.append(reply)
        except RemoteProtocolError as error:
            return found, error.received
        assert len(parser.residue) <= limits.total + limits.line
    return found, None


@given(cut(wire))
def test_cutting_changes_nothing(case: tuple[bytes, list[bytes]]) -> None:
    """P1, P2: the same replies and the same error, however the octets come."""
    whole, chunks = case
    assert read(chunks, SMALL) == read([whole], SMALL)
    assert read([whole[at : at + 1] for at in range(len(whole))], SMALL) == read([whole], SMALL)


@given(st.lists(replies, max_size=5))
def test_replies_are_read_as_they_were_written(written: list[Reply]) -> None:
    """A server's replies reach the client one by one, text and all."""
    found, error = read([b"".join(reply.encode() for reply in written)], ReplyLimits())
    assert error is None
    assert found == written
    assert [reply.lines for reply in found] == [reply.lines for reply in written]


@given(st.lists(st.binary(max_size=30), max_size=6), st.integers(200, 599))
def test_any_reply_can_be_looked_at(lines: list[bytes], code: int) -> None:
    """No octets make a property of a reply, or the extensions read from it, raise."""
    reply = Reply(code, tuple(lines))
    assert isinstance(reply.text, str)
    assert isinstance(str(reply), str)
    assert reply.enhanced is None or reply.enhanced.klass == code // 100
    assert hash(reply) == hash(Reply(code, tuple(lines)))
    extensions = Extensions.from_reply(reply)
    assert extensions.size is None or extensions.size > 0
    assert all(mechanism == mechanism.upper() for mechanism in extensions.auth)


keywords = st.sampled_from(
    ["SIZE", "AUTH", "AUTH=", "LIMITS", "FUTURERELEASE", "DELIVERBY", "MT-PRIORITY", "X"]
)
words = st.one_of(st.text(max_size=10), st.sampled_from(["RCPTMAX=5", "PLAIN", "9" * 5000, "0"]))


@given(st.lists(st.tuples(keywords, st.lists(words, max_size=3)), max_size=6))
def test_any_keyword_line_can_be_read(lines: list[tuple[str, list[str]]]) -> None:
    """C36: garbage behind a keyword is no parameter, never an error."""
    octets = [" ".join([key, *rest]).encode("utf-8", "replace") for key, rest in lines]
    extensions = Extensions.from_reply(Reply(250, (b"mx", *octets)))
    assert len(extensions.lines) == len(lines)


@given(st.text())
def test_any_text_can_be_asked_for_its_status_code(text: str) -> None:
    """CVE-2026-43964: the parser is total."""
    code = EnhancedStatusCode.parse(text)
    assert code is None or text.startswith(f"{text[0]}.")
