"""TLS on a connection: who is trusted, what may be said before, and what a failure leaves."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import classImplements

from tests.client.dial import BODY, ENVELOPE, NAME, Dial, delivery, greeted, hello_again
from txsmtpconn import (
    ConfigError,
    ConnectionLostError,
    DeadlineError,
    ProtocolError,
    SendCancelled,
    TLSError,
    TLSOptions,
    connect,
)
from txsmtpconn.testing import (
    CertificateZoo,
    MemoryNetwork,
    ScriptedPeer,
    failure_result_of,
    success_result_of,
)
from txsmtpconn.testing.script import (
    close,
    expect,
    expect_close,
    expect_octets,
    expect_silence,
    pause,
    send,
    start_tls,
)

GOOD = ["server", "server-rsa", "wildcard"]
#: Bad certificates, and what is said of them.
BAD = {
    "wronghost": "does not name 'localhost'",
    "expired": "it has expired",
    "notyet": "it is not valid yet",
    "selfsigned": "it is self-signed",
    "otherissuer": "its issuer is not known",
    "noeku": "it is not for servers",
    "cnonly": "does not name 'localhost'",
    "nosan-evil": "does not name 'localhost'",
}


@pytest.fixture
def tls(certificate_zoo: CertificateZoo) -> TLSOptions:
    """Trust in the zoo's authority."""
    return TLSOptions(ca_file=certificate_zoo.ca)


def starttls(zoo: CertificateZoo, name: str = "server", *offers: str) -> tuple[Any, ...]:
    """The steps of a server up to the TLS handshake that STARTTLS asks for."""
    return (
        *greeted("STARTTLS", *offers),
        expect("STARTTLS"),
        send("220 go ahead"),
        start_tls(zoo.server_options(name)),
    )


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "implicit"])
def test_a_good_certificate_makes_a_secure_connection(
    certificate_zoo: CertificateZoo, tls: TLSOptions, name: str, implicit: bool
) -> None:
    """C45: `secure` only now, and only the extensions offered under TLS count."""
    if implicit:
        steps = (start_tls(certificate_zoo.server_options(name)), *greeted("PIPELINING"))
    else:
        steps = (*starttls(certificate_zoo, name, "CHUNKING"), *hello_again("PIPELINING"))
    dial = Dial(*steps, *delivery(), host="localhost", tls=tls, secure=implicit)
    connection = dial.ready
    assert connection.secure
    assert connection.extensions.pipelining
    assert not connection.extensions.chunking
    assert dial.result_of(connection.send(ENVELOPE, BODY)).accepted
    connection.close()
    assert dial.is_over()


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "implicit"])
def test_a_bad_certificate_is_refused_before_an_octet_is_said(
    certificate_zoo: CertificateZoo,
    tls: TLSOptions,
    name: str,
    implicit: bool,
    logged_failures: list[object],
) -> None:
    """C43: ETLS, promptly, and the server has read nothing under TLS."""
    if implicit:
        steps: tuple[Any, ...] = (start_tls(certificate_zoo.server_options(name)), expect_close())
    else:
        steps = (*starttls(certificate_zoo, name), expect_close())
    dial = Dial(*steps, host="localhost", tls=tls, secure=implicit, interrupted=True)
    error = dial.refusal
    assert isinstance(error, TLSError)
    assert error.code == "ETLS"
    assert BAD[name] in str(error)
    spoken = b"" if implicit else f"EHLO {NAME}\r\nSTARTTLS\r\n".encode()
    assert dial.peer.received == spoken
    assert dial.is_over()
    logged_failures.clear()


def test_a_wildcard_is_good_for_one_label(certificate_zoo: CertificateZoo, tls: TLSOptions) -> None:
    """`*.wild.test` is mx.wild.test and never a.b.wild.test."""
    steps = (start_tls(certificate_zoo.server_options("wildcard")), *greeted())
    good = Dial(*steps, host="MX.wild.test.", tls=tls, secure=True)
    assert good.ready.secure
    good.ready.close()
    bad = Dial(*steps, host="a.b.wild.test", tls=tls, secure=True, interrupted=True)
    assert isinstance(bad.refusal, TLSError)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "::1%lo"])
def test_an_address_is_looked_for_as_an_address(
    certificate_zoo: CertificateZoo, tls: TLSOptions, host: str
) -> None:
    """RFC 9525: iPAddress in subjectAltName, with brackets and zone removed."""
    steps = (start_tls(certificate_zoo.server_options()), *greeted())
    dial = Dial(*steps, host=host, tls=tls, secure=True)
    assert dial.ready.secure
    dial.ready.close()


def test_servername_is_the_name_that_counts(
    certificate_zoo: CertificateZoo, tls: TLSOptions
) -> None:
    """`host` says where to connect, `servername` whom to expect."""
    steps = (start_tls(certificate_zoo.server_options()), *greeted())
    dial = Dial(*steps, host="192.0.2.1", servername="mx.test", tls=tls, secure=True)
    assert dial.ready.secure
    dial.ready.close()
    dial = Dial(*steps, host="mx.test", servername="x.test", tls=tls, secure=True, interrupted=True)
    assert isinstance(dial.refusal, TLSError)


def test_verify_false_takes_any_certificate(certificate_zoo: CertificateZoo) -> None:
    """Off only by its explicit name."""
    steps = (start_tls(certificate_zoo.server_options("selfsigned")), *greeted())
    dial = Dial(*steps, host="nowhere.test", tls=TLSOptions(verify=False), secure=True)
    assert dial.ready.secure
    dial.ready.close()


def test_a_connection_creator_is_used_and_the_identity_verified_all_the_same(
    certificate_zoo: CertificateZoo,
) -> None:
    """A creator that expects another name than we do does not get through."""
    from twisted.internet.ssl import CertificateOptions

    from txsmtpconn.net.tls import _ClientConnections

    context = CertificateOptions(verify=False).getContext()
    creator = _ClientConnections(context, "localhost")
    steps = (start_tls(certificate_zoo.server_options("wronghost")), *greeted())
    dial = Dial(
        *steps,
        host="localhost",
        tls=TLSOptions(connection_creator=creator),
        secure=True,
        interrupted=True,
    )
    error = dial.refusal
    assert isinstance(error, TLSError)
    assert "localhost" in str(error)


def test_a_client_certificate_is_shown(certificate_zoo: CertificateZoo) -> None:
    """`cert_file` and `key_file`; without them the server refuses us, which is ETLS."""
    server = certificate_zoo.server_options(client_ca=certificate_zoo.ca)
    own = certificate_zoo["client"]
    tls = TLSOptions(ca_file=certificate_zoo.ca, cert_file=own.certificate, key_file=own.key)
    dial = Dial(start_tls(server), *greeted(), host="localhost", tls=tls, secure=True)
    assert dial.ready.secure
    dial.ready.close()
    bare = Dial(
        start_tls(server),
        *greeted(),
        host="localhost",
        tls=TLSOptions(ca_file=certificate_zoo.ca),
        secure=True,
        interrupted=True,
    )
    assert isinstance(bare.refusal, TLSError)
    assert bare.is_over()


def test_a_bad_file_is_told_by_name(certificate_zoo: CertificateZoo, tmp_path: Any) -> None:
    """ECONFIG, before anything leaves under TLS."""
    dial = Dial(
        expect_close(), secure=True, tls=TLSOptions(ca_file=tmp_path / "none.pem"), interrupted=True
    )
    error = dial.refusal
    assert isinstance(error, ConfigError)
    assert "none.pem" in str(error)
    assert dial.is_over()


def test_leaving_under_tls_takes_no_time(certificate_zoo: CertificateZoo, tls: TLSOptions) -> None:
    """After QUIT both closure alerts pass and the connection is gone."""
    dial = Dial(
        start_tls(certificate_zoo.server_options()),
        *greeted(),
        expect("QUIT"),
        send("221 bye"),
        expect_close(),
        host="localhost",
        tls=tls,
        secure=True,
    )
    connection = dial.ready
    assert dial.result_of(connection.quit()) is None
    assert dial.result_of(connection.when_closed()) is None
    assert dial.is_over()


def test_a_peer_that_never_takes_leave_is_left(
    certificate_zoo: CertificateZoo, tls: TLSOptions
) -> None:
    """C5: TLS would wait for its closure alert for ever; the connection is aborted."""
    dial = Dial(
        start_tls(certificate_zoo.server_options()),
        *greeted(),
        expect("QUIT"),
        pause(3),
        send("221 bye"),
        pause(1000),
        host="localhost",
        tls=tls,
        secure=True,
        interrupted=True,
    )
    connection = dial.ready
    connection.quit().addCallback(lambda _: dial.network.links[0].vanish())
    closed = connection.when_closed()
    dial.network.advance(3 + 4)
    assert not closed.called
    dial.network.advance(1)
    assert success_result_of(closed) is None


# -- STARTTLS: what may come, and what may not


@pytest.mark.parametrize(
    "extra", ["250 ok", b"250-mx.test\r\n250 AUTH LOGIN\r\n", b"250-SMTP", b"\n"]
)
def test_octets_behind_the_220_are_fatal(certificate_zoo: CertificateZoo, extra: Any) -> None:
    """C44, RFC 3207 section 4.2: nothing injected in clear is ever obeyed."""
    dial = Dial(*greeted("STARTTLS"), expect("STARTTLS"), send("220 go", extra), expect_close())
    error = dial.refusal
    assert isinstance(error, ProtocolError)
    assert error.command == "STARTTLS"
    assert dial.is_over()


@pytest.mark.parametrize(
    "reply", ["454 not now", "501 what", "502 no", "221 bye", "354 go", "250 ok"]
)
@pytest.mark.parametrize("options", [{}, {"require_tls": True}], ids=["offered", "required"])
def test_only_220_starts_tls(reply: str, options: dict[str, Any]) -> None:
    """C41: any other reply is ETLS, and nothing more is said in clear."""
    dial = Dial(*greeted("STARTTLS"), expect("STARTTLS"), send(reply), expect_close(), **options)
    error = dial.refusal
    assert isinstance(error, TLSError)
    assert str(error.response_code) == reply[:3]
    assert dial.is_over()


def test_a_421_to_starttls_is_the_end_of_the_session() -> None:
    """C20: the server goes, whatever it was asked."""
    dial = Dial(*greeted("STARTTLS"), expect("STARTTLS"), send("421 bye"), expect_close())
    assert isinstance(dial.refusal, ConnectionLostError)


def test_opportunistic_tls_goes_on_in_clear_with_what_was_offered() -> None:
    """The EHLO data is kept, so SIZE and AUTH are still known."""
    dial = Dial(
        *greeted("STARTTLS", "PIPELINING", "SIZE 1000"),
        expect("STARTTLS"),
        send("454 no certificate"),
        *delivery_with_size(),
        opportunistic_tls=True,
    )
    connection = dial.ready
    assert not connection.secure
    assert connection.max_size == 1000
    assert dial.result_of(connection.send(ENVELOPE, BODY)).accepted
    connection.close()


def delivery_with_size() -> tuple[Any, ...]:
    """One message to a server with SIZE."""
    return (
        expect(f"MAIL FROM:<a@example.org> SIZE={len(BODY)}", "RCPT TO:<b@example.net>", "DATA"),
        send("250 ok", "250 ok", "354 go"),
        expect(BODY + b".\r\n"),
        send("250 ok"),
    )


def test_a_failed_handshake_is_fatal_even_if_opportunistic(
    certificate_zoo: CertificateZoo, tls: TLSOptions
) -> None:
    """The connection on which TLS failed is never used again."""
    dial = Dial(
        *starttls(certificate_zoo, "otherissuer"),
        expect_close(),
        host="localhost",
        tls=tls,
        opportunistic_tls=True,
        interrupted=True,
    )
    assert isinstance(dial.refusal, TLSError)
    assert dial.is_over()


def test_required_tls_is_asked_for_even_where_it_is_not_offered() -> None:
    """A man in the middle may have taken the offer away."""
    dial = Dial(
        *greeted("PIPELINING"),
        expect("STARTTLS"),
        send("502 not implemented"),
        expect_close(),
        require_tls=True,
    )
    assert isinstance(dial.refusal, TLSError)


def test_required_tls_needs_ehlo() -> None:
    """C32: HELO cannot lead to STARTTLS."""
    dial = Dial(
        send("220 mx"),
        expect(f"EHLO {NAME}"),
        send("502 what?"),
        expect_close(),
        require_tls=True,
    )
    assert isinstance(dial.refusal, ConnectionLostError)


def test_ignore_tls_does_not_ask() -> None:
    """The offer is left alone."""
    dial = Dial(*greeted("STARTTLS"), expect_silence(1), ignore_tls=True)
    assert not dial.ready.secure
    dial.network.advance(1)
    dial.ready.close()


def test_starttls_offered_again_under_tls_is_ignored(
    certificate_zoo: CertificateZoo, tls: TLSOptions
) -> None:
    """C46."""
    dial = Dial(
        *starttls(certificate_zoo),
        *hello_again("STARTTLS"),
        expect_silence(1),
        host="localhost",
        tls=tls,
    )
    assert dial.ready.secure
    dial.network.advance(1)
    dial.ready.close()


def test_a_handshake_has_its_own_deadline() -> None:
    """C42: silence behind the 220."""
    dial = Dial(
        *greeted("STARTTLS"),
        expect("STARTTLS"),
        send("220 go"),
        pause(1000),
        tls_timeout=10,
        interrupted=True,
    )
    dial.network.advance(9)
    assert not dial.connecting.called
    dial.network.advance(1)
    error = dial.refusal
    assert isinstance(error, DeadlineError)
    assert "handshake" in str(error)
    assert dial.is_over()


@pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "implicit"])
def test_something_else_than_tls_is_a_tls_error(implicit: bool) -> None:
    """C42: plaintext where a ServerHello should be."""
    opening = () if implicit else (*greeted("STARTTLS"), expect("STARTTLS"), send("220 go"))
    dial = Dial(
        *opening,
        expect_octets(5),
        send("220 this is no TLS at all"),
        pause(100),
        secure=implicit,
        interrupted=True,
    )
    assert isinstance(dial.refusal, TLSError)
    assert dial.is_over()


@pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "implicit"])
def test_a_connection_lost_in_the_handshake_is_a_tls_error(implicit: bool) -> None:
    """FIN instead of a ServerHello."""
    opening = () if implicit else (*greeted("STARTTLS"), expect("STARTTLS"), send("220 go"))
    dial = Dial(*opening, expect_octets(5), close(), secure=implicit, interrupted=True)
    error = dial.refusal
    assert isinstance(error, TLSError)
    assert dial.is_over()


@pytest.mark.parametrize("moment", [3.4, 3.6, 4.1])
def test_cancelling_in_the_handshake_leaves_nothing(
    certificate_zoo: CertificateZoo, tls: TLSOptions, moment: float
) -> None:
    """C61: before the 220, behind it, and while the server's hello is on its way."""
    dial = Dial(
        *starttls(certificate_zoo),
        *hello_again(),
        latency=0.5,
        tls=tls,
        host="localhost",
        interrupted=True,
    )
    dial.network.advance(moment)
    assert not dial.connecting.called
    dial.connecting.cancel()
    assert isinstance(dial.refusal, SendCancelled)
    dial.network.advance(5)
    assert dial.is_over()


def test_a_transport_without_tls_is_not_mistaken_for_one() -> None:
    """A caller's transport that cannot do TLS, with `secure`: ETLS, and no octet is written."""
    transport = StringTransport()
    connecting = connect(Clock(), transport=transport, secure=True, name=NAME)
    assert isinstance(failure_result_of(connecting), TLSError)
    assert transport.value() == b""


class _TLSEndpoint:
    """What `wrapClientTLS` does, on the clock of a network in memory."""

    def __init__(self, network: MemoryNetwork, creator: Any) -> None:
        self._network = network
        self._creator = creator

    def connect(self, factory: Any) -> Any:
        wrapped = TLSMemoryBIOFactory(self._creator, True, factory, clock=self._network.clock)
        connected = self._network.connect(wrapped)
        return connected.addCallback(lambda protocol: protocol.wrappedProtocol)


classImplements(_TLSEndpoint, IStreamClientEndpoint)


def test_tls_beneath_a_session_that_is_meant_to_be_clear_is_refused(
    certificate_zoo: CertificateZoo, tls: TLSOptions
) -> None:
    """Twisted would start the second TLS beneath the first; we do not let it."""
    network = MemoryNetwork()
    network.serve(
        ScriptedPeer(
            start_tls(certificate_zoo.server_options()),
            *greeted("STARTTLS"),
            expect("STARTTLS"),
            send("220 go"),
            expect_close(),
        )
    )
    endpoint = _TLSEndpoint(network, tls.client_connections("localhost"))
    connecting = connect(network.clock, endpoint=endpoint, name=NAME)
    network.settle()
    assert isinstance(failure_result_of(connecting), TLSError)
    assert not network.clock.getDelayedCalls()


@pytest.mark.parametrize(("host", "good"), [("localhost", True), ("other.test", False)])
def test_a_callers_tls_endpoint_is_verified_by_us(
    certificate_zoo: CertificateZoo, host: str, good: bool
) -> None:
    """With `secure`, its handshake is awaited and the certificate must name the host."""
    network = MemoryNetwork()
    steps = greeted() if good else (expect_close(),)
    network.serve(ScriptedPeer(start_tls(certificate_zoo.server_options()), *steps))
    anything = TLSOptions(verify=False).client_connections("localhost")
    endpoint = _TLSEndpoint(network, anything)
    connecting = connect(network.clock, endpoint=endpoint, host=host, secure=True, name=NAME)
    network.settle()
    if good:
        connection = success_result_of(connecting)
        assert connection.secure
        connection.close()
        network.settle()
    else:
        assert isinstance(failure_result_of(connecting), TLSError)
    assert not network.clock.getDelayedCalls()
