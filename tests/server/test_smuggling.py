"""SMTP smuggling: no sequence but CRLF.CRLF makes two messages of one (S1, F32).

The session is held to this at every octet in `tests/session`; here it is the whole server, with
hooks that see what an application would see.
"""

from __future__ import annotations

import pytest

from tests.server.hand import LMTP_OPENING, OPENING, Hand, Meeting, Recording, codes
from tests.vectors.mail_data import PRETENDERS, SMUGGLED
from txsmtpconn.wire.transparency import canonical

BEFORE = b"body"
POLICIES = ("refuse", "normalise", "allow")


def cuts(pretender: bytes) -> list[list[int]]:
    """Give sizes of segments: cut at each place in and around a sequence, and everywhere."""
    first, last = len(BEFORE) - 1, len(BEFORE) + len(pretender) + 2
    return [*([place, 65_536] for place in range(first, last)), [1] * 65_536]


def check(hooks: Recording, said: bytes, pretender: bytes, policy: str) -> None:
    """One message at most was there, with what the smuggler had hidden in it as text."""
    bare = canonical(pretender + b"m") != pretender + b"m"
    assert hooks.names().count("mail_from") == hooks.names().count("data") == 1
    [sink] = hooks.sinks
    assert len(sink.ends) == 1
    if policy == "refuse" and bare:
        assert set(codes(said)) == {550}
        assert sink.ends != ["finished"]
    else:
        assert set(codes(said)) == {250}
        assert sink.ends == ["finished"]
        assert SMUGGLED.removesuffix(b".\r\n") in sink.content
    if policy != "allow":
        assert canonical(sink.content) == sink.content


@pytest.mark.parametrize("lmtp", [False, True], ids=["SMTP", "LMTP"])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("pretender", PRETENDERS, ids=ascii)
def test_a_message_is_one_message(pretender: bytes, policy: str, lmtp: bool) -> None:
    """However it is cut: accepted as one or refused, and no bare CR or LF is handed on."""
    for sizes in cuts(pretender):
        hooks = Recording()
        meeting = Meeting(hooks, bare_line_ends=policy, lmtp=lmtp)
        hand: Hand = meeting.hand()
        meeting.says(hand, LMTP_OPENING if lmtp else OPENING)
        meeting.network.links[0].to_server.segment = sizes
        said = meeting.says(hand, BEFORE + pretender + SMUGGLED)
        check(hooks, said, pretender, policy)
        hand.transport.loseConnection()
        meeting.network.advance(1000)


def test_what_follows_the_real_end_behind_a_bare_cr_is_not_obeyed() -> None:
    """CR CR LF . CR LF does end the message; refused for its CR, nothing behind it counts."""
    hooks = Recording()
    meeting = Meeting(hooks)
    hand = meeting.hand()
    meeting.says(hand, OPENING)
    assert codes(meeting.says(hand, BEFORE + b"\r\r\n.\r\n" + SMUGGLED)) == [550]
    assert hooks.names().count("mail_from") == 1
    assert hooks.sinks[0].ends != ["finished"]
    meeting.network.advance(1000)
    assert hand.lost is not None
