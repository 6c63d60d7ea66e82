"""SMTPTransport: a real client and a real server, on a network in memory."""

from __future__ import annotations

from email.message import EmailMessage
from typing import Any

import pytest

from tests.transport.office import BODY, ENVELOPE, Office
from txsmtpconn import (
    AuthenticationError,
    ConfigError,
    Credentials,
    Delivery,
    Envelope,
    EnvelopeError,
    MessageError,
    NoCredentialsError,
    PoolError,
    PoolOptions,
    SendCancelled,
    SMTPTransport,
    SocketError,
)
from txsmtpconn.testing import no_result_of

LOGIN = Credentials("ann", "secret")
INSECURELY: dict[str, Any] = {"allow_insecure_auth": True}


def message(**fields: str) -> EmailMessage:
    """Make a message for somebody."""
    made = EmailMessage()
    for name, value in {"From": "Ann <ann@x.test>", "To": "bob@y.test", **fields}.items():
        made[name.replace("_", "-")] = value
    made.set_content("hello\n")
    return made


def test_without_a_pool_each_message_has_a_connection() -> None:
    """It is opened for the message, and left after it with QUIT."""
    office = Office()
    transport = office.transport()
    assert office.connections == 0
    for _ in range(2):
        result = office.result_of(transport.send(ENVELOPE, BODY))
        assert result.accepted == ["r@y.test"]
        assert office.is_over()
    assert office.connections == 2
    assert [content for _, content in office.taken] == [BODY, BODY]


def test_a_pool_does_the_work_of_many_messages_with_few_connections() -> None:
    """A hundred messages at once, two connections, everybody answered, each message once."""
    office = Office(latency=0.01)
    transport = office.transport(pool=PoolOptions(max_connections=2, max_messages=1000))
    envelopes = [Envelope("s@x.test", [f"r{at}@y.test"]) for at in range(100)]
    results = [transport.send(each, b"%d\r\n" % at) for at, each in enumerate(envelopes)]
    for at, result in enumerate(results):
        assert office.result_of(result, within=60).accepted == [f"r{at}@y.test"]
    assert office.connections == 2
    taken = {each.recipients[0].address: content for each, content in office.taken}
    assert taken == {f"r{at}@y.test": b"%d\r\n" % at for at in range(100)}
    assert len(office.taken) == 100
    closed = transport.close()
    office.result_of(closed, within=5)
    assert office.is_over()


def test_it_logs_in_by_itself() -> None:
    """With the options' credentials, on each connection."""
    office = Office(auth=True)
    transport = office.transport(auth=LOGIN, **INSECURELY)
    office.result_of(transport.send(ENVELOPE, BODY))
    assert office.users == ["ann"]
    assert office.is_over()


def test_credentials_of_a_message_go_with_that_message_only() -> None:
    """It has a connection of its own, also beside a pool; nobody else's mail goes over that."""
    office = Office(auth=True)
    transport = office.transport(auth=LOGIN, pool=True, **INSECURELY)
    office.result_of(transport.send(ENVELOPE, BODY))
    office.result_of(transport.send(ENVELOPE, BODY, auth=Credentials("bob", "secret")))
    office.result_of(transport.send(ENVELOPE, BODY))
    assert office.users == ["ann", "bob"]
    assert office.connections == 2
    office.result_of(transport.close())
    assert office.is_over()


def test_a_refused_login_is_told_to_the_message() -> None:
    """EAUTH, nothing sent, and the connection is gone."""
    office = Office(auth=True)
    for pool in (None, True):
        transport = office.transport(auth=Credentials("ann", "wrong"), pool=pool, **INSECURELY)
        error = office.failure_of(transport.send(ENVELOPE, BODY), 10)
        assert isinstance(error, AuthenticationError)
        assert error.delivery is Delivery.NOT_SENT
        assert "wrong" not in str(error)
        assert office.is_over()
    assert not office.taken


def test_credentials_where_no_auth_is_offered_stop_the_message() -> None:
    """Somebody who gave credentials did not mean to send without them."""
    office = Office()
    transport = office.transport(auth=LOGIN, **INSECURELY)
    assert isinstance(office.failure_of(transport.send(ENVELOPE, BODY)), AuthenticationError)
    assert not office.taken
    assert office.is_over()


def test_verify_goes_the_way_of_messages_and_sends_none() -> None:
    """Connect, log in, QUIT; True."""
    office = Office(auth=True)
    transport = office.transport(auth=LOGIN, **INSECURELY)
    assert office.result_of(transport.verify()) is True
    assert office.users == ["ann"]
    assert not office.taken
    assert office.is_over()


def test_verify_tells_what_stands_in_the_way() -> None:
    """A wrong password, a server that is not there, and no answer at all; none hangs."""
    office = Office(auth=True)
    wrong = office.transport(auth=Credentials("ann", "wrong"), **INSECURELY)
    assert isinstance(office.failure_of(wrong.verify()), AuthenticationError)
    transport = office.transport(connection_timeout=5)
    office.network.make_unreachable()
    verifying = transport.verify()
    office.network.advance(4.9)
    no_result_of(verifying)
    assert office.failure_of(verifying, within=0.1).code == "ETIMEDOUT"
    office.network.make_reachable()
    office.port.stopListening()
    assert isinstance(office.failure_of(transport.verify()), SocketError)
    assert office.is_over()


def test_verify_with_force_auth_wants_credentials_where_auth_is_offered() -> None:
    """ENOAUTH; where AUTH is not offered, nothing is missing."""
    office = Office(auth=True)
    error = office.failure_of(office.transport(force_auth=True).verify())
    assert isinstance(error, NoCredentialsError)
    assert error.code == "ENOAUTH"
    assert office.is_over()
    office = Office()
    assert office.result_of(office.transport(force_auth=True).verify()) is True


def test_verify_can_be_cancelled() -> None:
    """The connection is dropped."""
    office = Office(latency=1)
    verifying = office.transport().verify()
    office.network.advance(2.5)
    verifying.cancel()
    assert isinstance(office.failure_of(verifying), SendCancelled)
    office.network.advance(5)
    assert office.is_over()


def test_what_is_no_message_or_envelope_opens_no_connection() -> None:
    """The mistake is told at once, in the Deferred."""
    office = Office()
    for pool in (None, True):
        transport = office.transport(pool=pool)
        wrong: Any = ["r@y.test"]
        assert isinstance(office.failure_of(transport.send(ENVELOPE, b"")), MessageError)
        assert isinstance(office.failure_of(transport.send(wrong, BODY)), EnvelopeError)
        assert isinstance(office.failure_of(transport.send(ENVELOPE, 5)), MessageError)
        sending = transport.send(ENVELOPE, BODY, auth=wrong)
        assert isinstance(office.failure_of(sending), ConfigError)
        assert isinstance(office.failure_of(transport.send_message(wrong)), MessageError)
    assert office.connections == 0


def test_send_message_finds_its_envelope_and_leaves_bcc_out() -> None:
    """The blind copy is delivered and not told of; the caller's message stays as it was."""
    office = Office()
    sent = message(Bcc="secret@z.test")
    before = sent.as_bytes()
    result = office.result_of(office.transport().send_message(sent))
    assert result.accepted == ["bob@y.test", "secret@z.test"]
    [(envelope, content)] = office.taken
    assert envelope.mail_from == "ann@x.test"
    assert b"secret" not in content
    assert b"\r\nDate: " in content
    assert b"\r\nMessage-ID: <" in content
    assert sent.as_bytes() == before


def test_defaults_are_set_where_a_message_has_none() -> None:
    """A default sender and a header field for all; what a message says itself counts."""
    office = Office()
    transport = office.transport(defaults={"From": "default@x.test", "X-Via": "us", "To": "no@x"})
    sent = message(X_Via="me")
    del sent["From"]
    office.result_of(transport.send_message(sent))
    [(envelope, content)] = office.taken
    assert envelope.mail_from == "default@x.test"
    assert b"X-Via: me\r\n" in content
    assert b"X-Via: us" not in content
    assert b"To: bob@y.test\r\n" in content
    for defaults in ({"X y": "z"}, {"X": "a\r\nBcc: evil@x.test"}, {"": "x"}, {"X": 1}):
        with pytest.raises(ConfigError, match="defaults"):
            office.transport(defaults=defaults)


def test_an_envelope_may_be_given_beside_a_message() -> None:
    """Such as the null reverse-path; the header then need not name anybody."""
    office = Office()
    sent = message()
    del sent["From"], sent["To"]
    transport = office.transport()
    office.result_of(transport.send_message(sent, envelope=Envelope("", ["r@y.test"])))
    assert office.taken[0][0].mail_from == ""
    assert isinstance(office.failure_of(transport.send_message(sent)), EnvelopeError)


def test_a_prepared_message_sent_again_is_the_same_message() -> None:
    """Its Message-ID is known before it is sent, and does not change."""
    office = Office()
    transport = office.transport(pool=True)
    prepared = transport.prepare_message(message())
    for _ in range(2):
        office.result_of(transport.send_message(prepared))
    assert office.taken[0][1] == office.taken[1][1]
    assert f"Message-ID: {prepared.message_id}\r\n".encode() in office.taken[0][1]
    office.result_of(transport.close())


@pytest.mark.parametrize("pool", [None, True])
def test_eight_bits_are_encoded_where_the_server_takes_seven(pool: bool | None) -> None:
    """RFC 6152 section 3: without 8BITMIME no octet above 127 may leave."""
    office = Office(disabled=["8BITMIME", "SMTPUTF8"])
    sent = message()
    sent.set_content("Grüße\n.\n", cte="8bit")
    transport = office.transport(pool=pool)
    office.result_of(transport.send_message(sent))
    content = office.taken[0][1]
    assert content.isascii()
    assert b"Gr=C3=BC=C3=9Fe\r\n" in content
    office.result_of(transport.close())
    office = Office()
    office.result_of(office.transport().send_message(sent))
    assert "Grüße\r\n".encode() in office.taken[0][1]


@pytest.mark.parametrize("pool", [None, True])
def test_what_cannot_be_encoded_for_a_server_costs_no_connection(pool: bool | None) -> None:
    """A signed message of eight bits: refused before MAIL, and the others go on."""
    office = Office(disabled=["8BITMIME", "SMTPUTF8"])
    signed = message()
    signed.make_mixed()
    signed.replace_header("Content-Type", "multipart/signed")
    part = EmailMessage()
    part.set_content("Grüße\n", cte="8bit")
    signed.attach(part)
    transport = office.transport(pool=pool)
    error = office.failure_of(transport.send_message(signed))
    assert isinstance(error, MessageError)
    assert error.delivery is Delivery.NOT_SENT
    office.result_of(transport.send_message(message()))
    assert len(office.taken) == 1
    office.result_of(transport.close())
    assert office.is_over()


def test_international_addresses_ask_for_smtputf8() -> None:
    """Decided from the header; a server without it is told nothing."""
    sent = message(Cc="jürgen@y.test")
    office = Office()
    office.result_of(office.transport().send_message(sent))
    envelope, content = office.taken[0]
    assert envelope.smtputf8
    assert "jürgen@y.test".encode() in content
    office = Office(disabled=["SMTPUTF8"])
    error = office.failure_of(office.transport().send_message(sent))
    assert isinstance(error, EnvelopeError)
    assert error.delivery is Delivery.NOT_SENT


def test_a_domain_beyond_ascii_needs_no_smtputf8() -> None:
    """In the header as in the envelope it is sent in its ASCII form."""
    office = Office(disabled=["SMTPUTF8"])
    office.result_of(office.transport().send_message(message(Cc="J. <j@bücher.test>")))
    envelope, content = office.taken[0]
    assert envelope.recipients[1].address == "j@xn--bcher-kva.test"
    assert b'Cc: "J." <j@xn--bcher-kva.test>\r\n' in content


@pytest.mark.parametrize("pool", [None, True])
def test_close_sends_what_there_is_and_takes_no_more(pool: bool | None) -> None:
    """Draining; it fires when the last connection is gone."""
    office = Office(latency=0.1)
    transport = office.transport(pool=pool)
    sending = transport.send(ENVELOPE, BODY)
    office.network.advance(0.3)
    closing = transport.close()
    assert isinstance(office.failure_of(transport.send(ENVELOPE, BODY)), PoolError)
    no_result_of(closing)
    assert office.result_of(sending, within=5).accepted == ["r@y.test"]
    office.result_of(closing, within=5)
    assert office.is_over()
    office.result_of(transport.close())


@pytest.mark.parametrize("pool", [None, True])
def test_close_has_a_deadline(pool: bool | None) -> None:
    """Then connections are dropped, also one on which nothing moves."""
    office = Office()
    transport = office.transport(pool=pool, greeting_timeout=100)
    office.network.make_unreachable()
    waiting = transport.send(ENVELOPE, BODY)
    office.network.settle()
    closing = transport.close(timeout=3)
    office.network.advance(2.9)
    no_result_of(closing)
    office.network.advance(0.1)
    office.result_of(closing)
    assert office.failure_of(waiting).delivery is Delivery.NOT_SENT
    assert office.is_over()


def test_a_message_can_be_cancelled_without_a_pool() -> None:
    """While connecting, and when it is under way."""
    office = Office(latency=0.1)
    transport = office.transport()
    for moment in (0.1, 0.5):
        sending = transport.send(ENVELOPE, BODY)
        office.network.advance(moment)
        sending.cancel()
        assert isinstance(office.failure_of(sending), SendCancelled)
    office.network.advance(10)
    assert office.is_over()


def test_nothing_is_read_by_path_or_url() -> None:
    """`disableFileAccess` and `disableUrlAccess` are true by construction.

    What looks like a path or URL is a message like any other, wherever it stands.
    """
    office = Office()
    url = "smtp://localhost/?disableFileAccess=true&disableUrlAccess=true&disable_url_access=1"
    with pytest.raises(ConfigError, match="twice"):
        SMTPTransport(office.clock, url)
    url = "smtp://localhost/?disableFileAccess=true&disableUrlAccess=true"
    transport = SMTPTransport(office.clock, url)
    assert transport.options.host == "localhost"
    for wrong in ("disableFileAccess=false", "disable_url_access=false"):
        with pytest.raises(ConfigError, match="nothing is ever read"):
            SMTPTransport(office.clock, f"smtp://localhost/?{wrong}")
    with pytest.raises(ConfigError, match="nothing is ever read"):
        office.transport(disable_file_access=False)
    transport = office.transport(disable_file_access=True, disable_url_access=True)
    for text in ("/etc/passwd", "file:///etc/passwd", "http://x.test/"):
        office.result_of(transport.send(ENVELOPE, text))
        sent = message(Subject=text)
        sent.set_content(text)
        office.result_of(transport.send_message(sent))
    for _, content in office.taken:
        assert b"root:" not in content
    assert office.taken[0][1] == b"/etc/passwd\r\n"


def test_repr_shows_where_and_no_secret() -> None:
    """For logs."""
    office = Office()
    transport = SMTPTransport(office.clock, "smtps://ann:hunter2@mail.test/?pool=true")
    assert repr(transport) == "<SMTPTransport to mail.test:465, pooled>"
    assert repr(office.transport()) == "<SMTPTransport to an endpoint>"
    assert "/run/lmtp" in repr(SMTPTransport(office.clock, "lmtp+unix:///run/lmtp"))
