"""The errors: their codes, what they tell of a reply, and that they forge and leak nothing."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsmtpconn import errors
from txsmtpconn.errors import (
    ConfigError,
    ConnectionLostError,
    DeadlineError,
    EnvelopeError,
    ProtocolError,
    SMTPError,
    means_too_many_recipients,
)
from txsmtpconn.outcome import Delivery, RecipientOutcome
from txsmtpconn.wire.reply import Reply

# Code, class, transient where no reply decides.
TREE = {
    "ESMTP": ("SMTPError", False),
    "ECONNECTION": ("ConnectionLostError", True),
    "ETIMEDOUT": ("DeadlineError", True),
    "ESOCKET": ("SocketError", True),
    "EDNS": ("DNSError", True),
    "ETLS": ("TLSError", True),
    "EREQUIRETLS": ("RequireTLSError", False),
    "EPROTOCOL": ("ProtocolError", True),
    "EENVELOPE": ("EnvelopeError", False),
    "EMESSAGE": ("MessageError", False),
    "ESTREAM": ("StreamError", True),
    "EAUTH": ("AuthenticationError", False),
    "ENOAUTH": ("NoCredentialsError", False),
    "EOAUTH2": ("OAuth2Error", True),
    "EPROXY": ("ProxyError", True),
    "ECONFIG": ("ConfigError", False),
    "EMAXLIMIT": ("PoolError", True),
}
CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, SMTPError)
}


def test_the_tree_is_complete() -> None:
    """Every class has its own code, hangs from SMTPError, and is drawn in the docstring."""
    assert {cls.code: name for name, cls in CLASSES.items()} == {
        code: name for code, (name, _) in TREE.items()
    }
    drawn = errors.__doc__ or ""
    for code, (name, _) in TREE.items():
        assert any(name in line and f" {code} " in f"{line} " for line in drawn.splitlines()), name


@pytest.mark.parametrize(
    ("code", "name", "transient"), [(code, *row) for code, row in TREE.items()]
)
def test_without_a_reply_the_class_tells_whether_to_try_later(
    code: str, name: str, transient: bool
) -> None:
    """Roads and peers may mend; envelopes, options and refusals stay as they are."""
    error = CLASSES[name]("it failed")
    assert (error.is_transient, error.is_permanent) == (transient, not transient)
    assert str(error) == "it failed"
    assert (error.reply, error.response, error.response_code) == (None, None, None)
    assert (error.enhanced_code, error.command, error.recipient) == (None, None, None)
    assert error.delivery is Delivery.NOT_SENT
    assert (error.recipients, error.accepted, error.rejected, error.rejected_errors) == (
        (), [], [], [],
    )  # fmt: skip


def test_mistakes_of_the_caller_are_value_errors() -> None:
    """What is found before anything is sent can be caught as Python's own kind of error."""
    assert {name for name, cls in CLASSES.items() if issubclass(cls, ValueError)} == {
        "EnvelopeError",
        "MessageError",
        "ConfigError",
    }


@pytest.mark.parametrize(
    ("line", "command", "transient"),
    [
        ("421 4.3.2 going down", "MAIL FROM", True),
        ("450 busy", "RCPT TO", True),
        ("452 too many", "RCPT TO", True),
        ("550 no", "RCPT TO", False),
        ("552 too many", "RCPT TO", True),
        ("552 5.5.3 too many", "RCPT TO", True),
        ("552 5.0.0 something", "RCPT TO", True),
        ("552 5.2.2 mailbox full", "RCPT TO", False),
        ("552 5.3.4 too big", "DATA", False),
        ("552 too big", "MAIL FROM", False),
        ("554 no", None, False),
    ],
)
def test_a_refusal_decides_whether_to_try_later(
    line: str, command: str | None, transient: bool
) -> None:
    """The first digit counts, whatever the class; and 552 to RCPT means what 452 means there."""
    code, _, text = line.partition(" ")
    for kind in (EnvelopeError, ConnectionLostError):
        error = kind("refused", reply=Reply.of(int(code), text), command=command)
        assert error.is_transient is transient
        assert error.is_permanent is not transient


@pytest.mark.parametrize(
    ("line", "too_many"),
    [
        ("452 many", True),
        ("452 4.5.3 many", True),
        ("552 many", True),
        ("552 5.5.3 many", True),
        ("452 4.2.2 full", False),
        ("452 4.3.1 no space", False),
        ("552 5.2.2 full", False),
        ("450 4.5.3 odd", False),
        ("550 5.5.3 odd", False),
    ],
)
def test_too_many_recipients_is_told_from_other_refusals(line: str, too_many: bool) -> None:
    """RFC 5321 section 4.5.3.1.10; an enhanced status code that says otherwise is believed."""
    code, _, text = line.partition(" ")
    assert means_too_many_recipients(Reply.of(int(code), text)) is too_many


def test_an_odd_reply_leaves_the_decision_to_the_class() -> None:
    """250 in answer to DATA says nothing about later."""
    assert ProtocolError("what?", reply=Reply.of(250, "Ok")).is_transient
    assert ConfigError("what?", reply=Reply.of(354, "go")).is_permanent


def test_the_words_of_the_server_are_told() -> None:
    """Message, response, code and enhanced code, as the original has them."""
    reply = Reply.of(550, "5.1.1 Unknown", "5.1.1 Really")
    error = EnvelopeError("refused", reply=reply, command="RCPT TO", recipient="b@x")
    assert error.response == "550-5.1.1 Unknown\n550 5.1.1 Really"
    assert (error.response_code, error.enhanced_code) == (550, "5.1.1")
    assert error.message == "refused"
    assert str(error) == "refused: 550-5.1.1 Unknown\n550 5.1.1 Really"


@pytest.mark.parametrize(
    ("fragment", "code"), [("421 going do", 421), ("25", None), ("5500 x", None), ("hello", None)]
)
def test_a_fragment_of_a_reply_is_told_but_decides_nothing(fragment: str, code: int | None) -> None:
    """A peer that dies within its reply is quoted; whether to try later stays with the class."""
    error = ConnectionLostError("lost", response=fragment)
    assert (error.response, error.response_code) == (fragment, code)
    assert str(error) == f"lost: {fragment}"
    assert ConnectionLostError("lost", response="550 no").is_transient


def test_a_server_cannot_steer_a_terminal_or_forge_a_log_line() -> None:
    """ESC, NUL, CR, C1 and bidirectional overrides come out escaped; `response` keeps them."""
    hostile = "\x1b[2J\0\r\x9b\u202eevil"
    error = EnvelopeError("refused", reply=Reply.of(550, hostile, "ünï ok"))
    assert str(error) == "refused: 550-\\x1b[2J\\x00\\r\\x9b\\u202eevil\n550 ünï ok"
    assert hostile in (error.response or "")
    fragment = ConnectionLostError("lost", response="25\n2026-01-01 root logged in")
    assert "\n" not in str(fragment)
    assert "\n" not in repr(fragment)


@given(st.text())
def test_no_fragment_gets_a_control_character_through(text: str) -> None:
    """Whatever the peer says, the text of an error is printable."""
    assert str(ConnectionLostError("lost", response=text)).isprintable()


def test_an_error_without_a_message_tells_the_response_or_nothing() -> None:
    """No stray colon."""
    assert str(SMTPError(reply=Reply.of(250, "Ok"))) == "250 Ok"
    assert str(SMTPError()) == ""
    bare = SMTPError("x")
    bare.args = ()
    assert bare.message == ""


def test_what_became_of_each_recipient_is_told() -> None:
    """The lists of a result are the lists of an error."""
    refusal = EnvelopeError("no", recipient="b@x", delivery=Delivery.REJECTED)
    outcomes = [
        RecipientOutcome("a@x", None, Delivery.IN_DOUBT),
        RecipientOutcome("b@x", None, Delivery.REJECTED, refusal),
        RecipientOutcome("c@x", None, Delivery.ACCEPTED),
    ]
    error = DeadlineError("late", delivery=Delivery.IN_DOUBT, recipients=outcomes)
    assert error.delivery is Delivery.IN_DOUBT
    assert error.recipients == tuple(outcomes)
    assert error.accepted == ["c@x"]
    assert error.rejected == ["b@x"]
    assert error.rejected_errors == [refusal]


def test_an_error_shows_what_it_concerns() -> None:
    """The repr names command, recipient and delivery where there are any."""
    assert repr(DeadlineError("late")) == "DeadlineError('late', delivery=NOT_SENT)"
    error = EnvelopeError("no", command="RCPT TO", recipient="b@x", delivery=Delivery.REJECTED)
    assert repr(error) == (
        "EnvelopeError('no', command='RCPT TO', recipient='b@x', delivery=REJECTED)"
    )


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_error_survives_pickle_and_copy(name: str) -> None:
    """An error goes to another process whole, also one that its own recipients refer to."""
    error = CLASSES[name](
        "lost", reply=Reply.of(421, "4.3.2 down"), response="421 4.3.2 down", command="DATA",
        recipient="a@x", delivery=Delivery.IN_DOUBT,
    )  # fmt: skip
    error.recipients = (RecipientOutcome("a@x", None, Delivery.IN_DOUBT, error),)
    for back in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(back) is type(error)
        assert str(back) == str(error)
        assert back.delivery is Delivery.IN_DOUBT
        assert back.reply == error.reply
        assert (back.command, back.recipient) == ("DATA", "a@x")
        assert back.recipients[0].address == "a@x"
    assert pickle.loads(pickle.dumps(error)).recipients[0].error.command == "DATA"


@pytest.mark.parametrize(
    ("status", "transient"), [("4.4.3", True), ("5.1.2", False), ("5.1.10", False)]
)
@pytest.mark.parametrize("name", ["DNSError", "EnvelopeError"])
def test_a_status_of_our_own_decides_where_no_server_has_spoken(
    name: str, status: str, transient: bool
) -> None:
    """A domain that does not exist will not exist tomorrow; a reply outweighs it."""
    kind = getattr(errors, name)
    error = kind("nowhere", status=status)
    assert (error.enhanced_code, error.is_transient) == (status, transient)
    assert pickle.loads(pickle.dumps(error)).enhanced_code == status
    told = kind("nowhere", status=status, reply=Reply.of(450, "4.7.1 later"))
    assert (told.enhanced_code, told.is_transient) == ("4.7.1", True)
