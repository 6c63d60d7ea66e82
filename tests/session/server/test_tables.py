"""The table of legality, walked through all of it."""

from __future__ import annotations

import pytest

from tests.session.server_talk import ENVELOPE, Client
from txsmtpconn.session.server.tables import LEGALITY, VERBS, Phase
from txsmtpconn.wire.attributes import XCLIENT, XFORWARD

#: How to come into a phase.
PREFIX = {
    Phase.HELLO: b"",
    Phase.READY: b"EHLO me.test\r\n",
    Phase.MAIL: b"EHLO me.test\r\nMAIL FROM:<s@x.test>\r\n",
    Phase.RCPT: ENVELOPE,
    Phase.CHUNKS: ENVELOPE + b"BDAT 1\r\nx",
}
#: A command that is right in itself.
COMMANDS = {
    "AUTH": b"AUTH PLAIN AGEAYg==",
    "BDAT": b"BDAT 0",
    "DATA": b"DATA",
    "EHLO": b"EHLO me.test",
    "EXPN": b"EXPN list",
    "HELO": b"HELO me.test",
    "HELP": b"HELP",
    "LHLO": b"LHLO me.test",
    "MAIL": b"MAIL FROM:<a@x.test>",
    "NOOP": b"NOOP",
    "QUIT": b"QUIT",
    "RCPT": b"RCPT TO:<b@y.test>",
    "RSET": b"RSET",
    "STARTTLS": b"STARTTLS",
    "VRFY": b"VRFY b@y.test",
    "XCLIENT": b"XCLIENT NAME=c.test ADDR=192.0.2.7",
    "XFORWARD": b"XFORWARD NAME=c.test",
}


def test_the_table_knows_every_verb_in_every_phase() -> None:
    """There is no pair that nobody has thought of."""
    assert set(VERBS) == set(COMMANDS)
    assert set(LEGALITY) == {(phase, verb) for phase in Phase for verb in VERBS}


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_the_session_obeys_the_table(phase: Phase, verb: str) -> None:
    """What is illegal gets the table's reply and changes nothing; what is legal does not."""
    client = Client(
        starttls=True,
        auth_mechanisms=("PLAIN",),
        allow_insecure_auth=True,
        xclient=XCLIENT,
        xforward=XFORWARD,
    )
    client.says(PREFIX[phase])
    assert client.session.phase is phase
    heard = client.says(COMMANDS[verb] + b"\r\n")
    refusal = LEGALITY[phase, verb]
    if verb == "LHLO":
        assert heard.startswith(b"500 ")  # another dialect's, whatever the phase
    elif refusal is None:
        assert heard[:1] in (b"", b"2", b"3")
    else:
        assert heard == refusal.encode()
        # RFC 3030: a chunk that is refused makes its transaction fail.
        kept = Phase.READY if verb == "BDAT" and phase is not Phase.HELLO else phase
        assert client.session.phase is kept
