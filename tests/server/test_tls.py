"""TLS in the server: STARTTLS, implicit TLS, and what must not get past either."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.ssl import CertificateOptions

from tests.server.hand import OPENING, Meeting, Recording, codes
from txsmtpconn.errors import ConfigError
from txsmtpconn.net.tls import TLSOptions
from txsmtpconn.server import ServerTimeouts, SMTPRejection
from txsmtpconn.testing import CertificateZoo

HELLO = b"EHLO me.test\r\n"


def meeting_with_tls(zoo: CertificateZoo, hooks: Any = None, **options: Any) -> Meeting:
    """Return a server with a certificate."""
    return Meeting(hooks, tls=zoo.server_options(), **options)


def start_tls(meeting: Meeting, hand: Any) -> None:
    """Let the client begin its handshake."""
    hand.transport.startTLS(CertificateOptions())
    meeting.network.settle()


def test_starttls(certificate_zoo: CertificateZoo) -> None:
    """Mail comes in TLS, and hooks see what was negotiated."""
    hooks = Recording()
    meeting = meeting_with_tls(certificate_zoo, hooks)
    hand = meeting.hand()
    assert b"250-STARTTLS\r\n" in meeting.says(hand, HELLO)
    assert codes(meeting.says(hand, b"STARTTLS\r\n")) == [220]
    start_tls(meeting, hand)
    assert hand.secured
    assert codes(meeting.says(hand, OPENING + b"x\r\n.\r\n")) == [250, 250, 250, 354, 250]
    (session,) = hooks.sessions
    assert session.protocol == "ESMTPS"
    assert session.tls.version == "TLSv1.3"
    assert session.tls.cipher
    assert session.tls.peer_certificate is None
    assert hooks.names()[:2] == ["connect", "secure"]
    meeting.ends()


def test_implicit_tls(certificate_zoo: CertificateZoo) -> None:
    """The greeting comes behind the handshake; STARTTLS is not offered."""
    hooks = Recording()
    meeting = meeting_with_tls(certificate_zoo, hooks, implicit_tls=True)
    hand = meeting.hand()
    assert hand.heard == b""
    start_tls(meeting, hand)
    assert codes(hand.heard) == [220]
    assert b"STARTTLS" not in meeting.says(hand, HELLO)
    assert hooks.names() == ["connect", "secure"]
    assert hooks.sessions[0].secure
    assert codes(meeting.says(hand, b"STARTTLS\r\nQUIT\r\n")) == [503, 221]
    assert hand.lost is not None


@pytest.mark.parametrize(
    "injected",
    [
        [b"STARTTLS\r\nRSET\r\n"],
        [b"STARTTLS\r\nMAIL FROM:<evil@x.test>\r\nRC"],
        [b"STARTTLS\r\n", b"MAIL FROM:<evil@x.test>\r\n"],
        [b"STARTTLS\r\n", b"EH"],
        [b"STARTTLS\r\nE"],
    ],
    ids=repr,
)
def test_nothing_in_clear_behind_starttls_is_ever_obeyed(
    certificate_zoo: CertificateZoo, injected: list[bytes]
) -> None:
    """S3: one segment, two segments, a partial line. The session does not survive it."""
    hooks = Recording()
    meeting = meeting_with_tls(certificate_zoo, hooks)
    hand = meeting.hand()
    meeting.says(hand, HELLO)
    for segment in injected:
        meeting.says(hand, segment)
    if hand.lost is None:
        start_tls(meeting, hand)
    assert not hand.secured
    assert "mail_from" not in hooks.names()
    assert meeting.factory.connections == 0
    meeting.ends()


def test_a_client_that_is_silent_behind_220_is_dropped(certificate_zoo: CertificateZoo) -> None:
    """S5: the handshake has its deadline."""
    meeting = meeting_with_tls(certificate_zoo, timeouts=ServerTimeouts(tls=10))
    hand = meeting.hand()
    meeting.says(hand, HELLO + b"STARTTLS\r\n")
    meeting.waits(10)
    assert meeting.factory.connections == 0
    assert hand.lost is not None
    meeting.ends()


def test_clear_text_behind_220_ends_the_connection(certificate_zoo: CertificateZoo) -> None:
    """S5: it is no handshake, and there is no way back."""
    hooks = Recording()
    meeting = meeting_with_tls(certificate_zoo, hooks)
    hand = meeting.hand()
    meeting.says(hand, HELLO + b"STARTTLS\r\n")
    meeting.says(hand, OPENING * 20)
    assert meeting.factory.connections == 0
    assert hooks.names() == ["connect", "close"]


def test_nothing_but_tls_where_it_is_required(certificate_zoo: CertificateZoo) -> None:
    """530 for mail, 538 for AUTH."""
    meeting = meeting_with_tls(certificate_zoo, tls_required=True)
    hand = meeting.hand()
    meeting.says(hand, HELLO)
    assert codes(meeting.says(hand, b"MAIL FROM:<s@x.test>\r\n")) == [530]
    meeting.says(hand, b"STARTTLS\r\n")
    start_tls(meeting, hand)
    assert codes(meeting.says(hand, HELLO + b"MAIL FROM:<s@x.test>\r\n")) == [250, 250]
    meeting.ends()


def test_on_secure_may_refuse(certificate_zoo: CertificateZoo) -> None:
    """With implicit TLS in the greeting, else at the next command."""
    hooks = Recording(secure=SMTPRejection(554, "5.7.1", "No"))
    meeting = meeting_with_tls(certificate_zoo, hooks, implicit_tls=True)
    hand = meeting.hand()
    start_tls(meeting, hand)
    assert hand.heard == b"554 5.7.1 No\r\n"

    meeting = meeting_with_tls(certificate_zoo, hooks)
    hand = meeting.hand()
    meeting.says(hand, HELLO + b"STARTTLS\r\n")
    start_tls(meeting, hand)
    assert meeting.says(hand, HELLO) == b"554 5.7.1 No\r\n"
    assert meeting.factory.connections == 0


def test_a_handshake_of_somebody_elses_is_not_ours(certificate_zoo: CertificateZoo) -> None:
    """Nothing becomes secure by a call that we did not cause."""
    meeting = meeting_with_tls(certificate_zoo)
    hand = meeting.hand()
    (link,) = meeting.network.links
    link.server.protocol.handshakeCompleted()
    assert not link.server.protocol.session.secure
    assert codes(meeting.says(hand, HELLO)) == [250]
    meeting.ends()


def test_implicit_tls_without_certificate_or_listener(logged_failures: list[Any]) -> None:
    """A mistake of the operator's is dropped and logged, not served in clear."""
    meeting = Meeting(None, implicit_tls=True)
    hand = meeting.hand()
    assert hand.heard == b""
    assert meeting.factory.connections == 0


def client_tls(zoo: CertificateZoo, own: str | None) -> Any:
    """Return what a client brings to the handshake: trust, and perhaps a certificate."""
    mine = {} if own is None else {"cert_file": zoo[own].certificate, "key_file": zoo[own].key}
    return TLSOptions(ca_file=zoo.ca, **mine).client_connections("localhost")


def shown_certificate(
    zoo: CertificateZoo, hooks: Any, own: str | None, **options: Any
) -> tuple[Meeting, Any]:
    """A server that takes certificates for EXTERNAL, and a client in TLS that shows one."""
    files = zoo["server"]
    meeting = Meeting(
        hooks,
        tls_cert_file=files.chain,
        tls_key_file=files.key,
        tls_client_ca_file=zoo.ca,
        auth_mechanisms=["EXTERNAL"],
        **options,
    )
    hand = meeting.hand()
    meeting.says(hand, HELLO + b"STARTTLS\r\n")
    hand.transport.startTLS(client_tls(zoo, own))
    meeting.network.settle()
    return meeting, hand


def test_whose_certificate_it_is(certificate_zoo: CertificateZoo) -> None:
    """EXTERNAL: the hook finds the identity in a certificate that an authority of ours signed."""

    class Certified(Recording):
        def on_auth(self, session: Any, credentials: Any) -> Any:
            assert credentials.mechanism == "EXTERNAL"
            return session.tls.names.emails[0]

    hooks = Certified()
    meeting, hand = shown_certificate(certificate_zoo, hooks, "client")
    assert b"AUTH EXTERNAL\r\n" in meeting.says(hand, HELLO)
    assert codes(meeting.says(hand, b"AUTH EXTERNAL =\r\n")) == [235]
    session = hooks.sessions[-1]
    assert session.identity == "alice@a.test"
    assert session.tls.verified
    assert session.tls.server_name == "localhost"
    meeting.ends()


def test_a_certificate_is_not_that_of_whom_its_owner_speaks_for(
    certificate_zoo: CertificateZoo,
) -> None:
    """Who comes by way of a proxy does not authenticate as that proxy."""

    class Trusting(Recording):
        def on_auth(self, session: Any, credentials: Any) -> str:
            return "anybody"

    hooks = Trusting()
    meeting, hand = shown_certificate(
        certificate_zoo, hooks, "client", xclient_networks=["127.0.0.1"]
    )
    assert hooks.sessions[-1].tls.verified
    meeting.says(hand, HELLO + b"XCLIENT ADDR=192.0.2.7\r\n")
    assert codes(meeting.says(hand, HELLO + b"AUTH EXTERNAL =\r\n")) == [250, 535]
    tls = hooks.sessions[-1].tls
    assert (tls.peer_certificate, tls.verified, tls.names) == (None, False, None)
    assert tls.version
    meeting.ends()


@pytest.mark.parametrize("own", [None, "otherclient"])
def test_a_certificate_that_proves_nothing(
    certificate_zoo: CertificateZoo, own: str | None
) -> None:
    """None, and EXTERNAL is refused; a stranger's, and there is no session at all."""

    class Trusting(Recording):
        def on_auth(self, session: Any, credentials: Any) -> str:
            return "anybody"

    meeting, hand = shown_certificate(certificate_zoo, Trusting(), own)
    if own is None:
        assert codes(meeting.says(hand, HELLO + b"AUTH EXTERNAL =\r\n")) == [250, 535]
        meeting.ends()
    else:
        assert hand.lost is not None


def test_certificates_are_read_again(certificate_zoo: CertificateZoo) -> None:
    """By a call, where they are ours to read."""
    files = certificate_zoo["server"]
    meeting = Meeting(None, tls_cert_file=files.chain, tls_key_file=files.key)
    meeting.factory.reload_certificates()
    for options in ({}, {"tls": certificate_zoo.server_options()}):
        with pytest.raises(ConfigError):
            Meeting(None, **options).factory.reload_certificates()
