"""The envelope: everything is checked when it is made, and nothing changes afterwards."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsmtpconn.envelope import DSN, Envelope, Recipient, variant
from txsmtpconn.errors import EnvelopeError
from txsmtpconn.wire.parameters import DeliverBy, RcptParameters
from txsmtpconn.wire.path import parse_mailbox

MIDNIGHT = datetime(2027, 1, 1, tzinfo=UTC)


def test_a_plain_envelope_is_addresses_and_nothing_else() -> None:
    """Addresses are kept as given and parsed once."""
    envelope = Envelope("a@example.org", ["b@example.net", "B@example.net"])
    assert envelope.mail_from == "a@example.org"
    assert envelope.reverse_path == parse_mailbox("a@example.org")
    assert [each.address for each in envelope.recipients] == ["b@example.net", "B@example.net"]
    assert envelope.recipients[0].mailbox.domain == "example.net"
    assert envelope.plain
    assert not envelope.needs_smtputf8
    assert (envelope.size, envelope.body, envelope.dsn, envelope.auth) == (None, None, None, None)


def test_the_null_reverse_path_is_the_empty_text() -> None:
    """MAIL FROM:<>, for reports that must not be answered."""
    envelope = Envelope("", "b@x.test")
    assert (envelope.mail_from, envelope.reverse_path) == ("", None)
    assert envelope.plain


@pytest.mark.parametrize(
    "rcpt_to",
    [
        "b@x.test",
        ["b@x.test"],
        ("b@x.test",),
        Recipient("b@x.test"),
        [Recipient("b@x.test")],
        {"b@x.test": 1},
        iter(["b@x.test"]),
    ],
)
def test_recipients_come_in_many_forms(rcpt_to: Any) -> None:
    """One address, one Recipient, or any iterable of both."""
    assert Envelope("a@x.test", rcpt_to) == Envelope("a@x.test", "b@x.test")


def test_order_and_duplicates_are_kept() -> None:
    """What the server answers by position must not be moved."""
    given_: list[str | Recipient] = ["c@x.test", Recipient("b@x.test"), "c@x.test"]
    envelope = Envelope("a@x.test", given_)
    assert [each.address for each in envelope.recipients] == ["c@x.test", "b@x.test", "c@x.test"]
    given_.clear()
    assert len(envelope.recipients) == 3


UNFIT = [
    "",
    "<>",
    "<b@x.test>",
    "Name <b@x.test>",
    "b@x.test,c@x.test",
    "b@x.test;",
    " b@x.test",
    "b@x.test ",
    "b@x.test\r\nRCPT TO:<evil@e.test>",
    "b@x.test\n",
    "b\0@x.test",
    "b\t@x.test",
    "b\x7f@x.test",
    "b\x85@x.test",
    "b@x.test> AUTH=<e@e.test",
    "b@x.test SIZE=1",
    '"b\r\nRCPT TO:<evil@e.test>\r\n"@x.test',
    "a..b@x.test",
    ".b@x.test",
    "b",
    "@x.test",
    "@relay.test:b@x.test",
    "b@x_y.test ",
    "\ud800@x.test",
    "a\u760d\u760aRCPT@x.test\n",
    "l" * 65 + "@x.test",
]


@pytest.mark.parametrize("address", UNFIT)
def test_what_is_no_bare_mailbox_is_refused(address: str) -> None:
    """A line end, a bracket, a list, a name, a space: refused as it is, never repaired."""
    for make in (
        lambda: Envelope("a@x.test", address),
        lambda: Envelope("a@x.test", ["ok@x.test", address]),
        lambda: Recipient(address),
    ):
        with pytest.raises(EnvelopeError, match="recipient") as caught:
            make()
        assert isinstance(caught.value, ValueError)
        assert caught.value.recipient == address
        assert caught.value.command == "API"
        assert caught.value.reply is None
        assert str(caught.value).isprintable()
    if address:
        with pytest.raises(EnvelopeError, match="sender") as caught:
            Envelope(address, "b@x.test")
        assert caught.value.recipient is None
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("address", [None, b"b@x.test", 5, ["b@x.test"], object()])
def test_what_is_no_text_is_refused(address: Any) -> None:
    """None is no null reverse-path, and bytes are not guessed at."""
    with pytest.raises(EnvelopeError, match=r"sender: .* not text"):
        Envelope(address, "b@x.test")
    with pytest.raises(EnvelopeError, match=r"recipient: .* not text"):
        Envelope("a@x.test", ["b@x.test", address])


@pytest.mark.parametrize("rcpt_to", [[], (), None, 5, b"b@x.test", bytearray(b"b@x.test")])
def test_an_envelope_needs_a_recipient(rcpt_to: Any) -> None:
    """An error before anything is sent, and not RCPT TO:<>."""
    with pytest.raises(EnvelopeError, match=r"recipient|rcpt_to"):
        Envelope("a@x.test", rcpt_to)


def test_a_quoted_local_part_stays_with_its_domain() -> None:
    """An address inside the quotes is no address."""
    envelope = Envelope("", '"user@attacker.test"@legitimate.test')
    assert envelope.recipients[0].mailbox.domain == "legitimate.test"


@pytest.mark.parametrize(
    ("mail_from", "rcpt_to", "smtputf8", "needed"),
    [
        ("a@x.test", "b@x.test", None, False),
        ("ü@x.test", "b@x.test", None, True),
        ("a@x.test", ["b@x.test", "ü@x.test"], None, True),
        ("a@bücher.test", "b@bücher.test", None, False),
        ("a@x.test", "b@x.test", True, True),
        ("a@x.test", "b@x.test", False, False),
    ],
)
def test_smtputf8_is_needed_where_a_local_part_or_the_caller_says_so(
    mail_from: str, rcpt_to: Any, smtputf8: bool | None, needed: bool
) -> None:
    """A domain in another script has A-labels and needs nothing (RFC 6531 section 3.2)."""
    assert Envelope(mail_from, rcpt_to, smtputf8=smtputf8).needs_smtputf8 is needed


def test_smtputf8_cannot_be_denied_to_an_address_that_needs_it() -> None:
    """There would be no way to write it."""
    with pytest.raises(EnvelopeError, match="SMTPUTF8"):
        Envelope("ü@x.test", "b@x.test", smtputf8=False)


@pytest.mark.parametrize(
    "conditions",
    [
        {"size": 0},
        {"size": 10**20 - 1},
        {"body": "8BITMIME"},
        {"smtputf8": True},
        {"smtputf8": False},
        {"dsn": DSN(ret="FULL")},
        {"requiretls": True},
        {"deliver_by": DeliverBy(120, "R")},
        {"mt_priority": -9},
        {"hold_for": 60},
        {"hold_until": "2027-01-01T00:00:00Z"},
        {"auth": ""},
        {"auth": "e+3D@x.test"},
    ],
)
def test_conditions_are_kept_and_make_an_envelope_less_than_plain(
    conditions: dict[str, Any],
) -> None:
    """Each is found under its own name."""
    envelope = Envelope("a@x.test", "b@x.test", **conditions)
    assert not envelope.plain
    [(name, value)] = conditions.items()
    assert getattr(envelope, name) == value
    assert envelope != Envelope("a@x.test", "b@x.test")


@pytest.mark.parametrize(
    "conditions",
    [
        {"size": -1},
        {"size": 1.5},
        {"size": True},
        {"size": "12"},
        {"size": "1\r\nRCPT TO:<attacker@evil.test>"},
        {"size": float("inf")},
        {"size": float("nan")},
        {"size": 10**20},
        {"body": "9BIT"},
        {"body": True},
        {"body": "8BITMIME\r\n"},
        {"smtputf8": "yes"},
        {"requiretls": 1},
        {"requiretls": None},
        {"dsn": {"ret": "FULL"}},
        {"deliver_by": "120;R"},
        {"deliver_by": DeliverBy(0, "R")},
        {"deliver_by": DeliverBy(10, "X")},
        {"deliver_by": (10,)},
        {"deliver_by": (10, "R", True, 1)},
        {"deliver_by": ("10", "R")},
        {"mt_priority": 10},
        {"hold_for": 0},
        {"hold_for": "60"},
        {"hold_until": "tomorrow"},
        {"hold_until": datetime(2027, 1, 1)},  # noqa: DTZ001 - no zone is the point
        {"hold_until": MIDNIGHT, "hold_for": 60},
        {"hold_until": 5},
        {"hold_until": "2027-01-01T00:00:00+01:00"},
        {"hold_for": 61, "deliver_by": (60, "R")},
        {"auth": 5},
        {"auth": b"e@x.test"},
        {"auth": "no mailbox"},
        {"auth": "ü@x.test"},
        {"auth": "e@x.test\r\n"},
    ],
)
def test_a_condition_that_its_rfc_does_not_know_is_refused(conditions: dict[str, Any]) -> None:
    """Nothing gets to the wire through a field that is no address."""
    with pytest.raises(EnvelopeError) as caught:
        Envelope("a@x.test", "b@x.test", **conditions)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value).isprintable()


def test_a_body_type_is_known_in_any_case() -> None:
    """Keywords of SMTP are not case-sensitive; ours are kept in one spelling."""
    assert Envelope("a@x.test", "b@x.test", body="binaryMIME").body == "BINARYMIME"


def test_a_moment_and_a_time_limit_are_held_in_one_form() -> None:
    """A datetime becomes RFC 3339 text in UTC, and a tuple a DeliverBy."""
    cet = timezone(timedelta(hours=1))
    envelope = Envelope(
        "", "b@x.test", hold_until=datetime(2027, 1, 1, 1, tzinfo=cet), deliver_by=(9, "N")
    )
    assert envelope.hold_until == "2027-01-01T00:00:00Z"
    assert envelope.deliver_by == DeliverBy(9, "N", trace=False)


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ({}, DSN()),
        ({"ret": "hdrs"}, DSN(ret="HDRS")),
        ({"ret": "HEADERS"}, DSN(ret="HDRS")),
        ({"ret": "full"}, DSN(ret="FULL")),
        ({"notify": "success, failure"}, DSN(notify=("SUCCESS", "FAILURE"))),
        ({"notify": ["Delay"]}, DSN(notify=("DELAY",))),
        ({"notify": "never"}, DSN(notify=("NEVER",))),
        ({"orcpt": "o@x.test"}, DSN(orcpt="rfc822;o@x.test")),
        ({"orcpt": "ö@x.test"}, DSN(orcpt="utf-8;ö@x.test")),
        ({"orcpt": "x400;whatever"}, DSN(orcpt="x400;whatever")),
    ],
)
def test_dsn_is_held_in_one_form(given_: dict[str, Any], kept: DSN) -> None:
    """Case, commas and a missing address type are made alike."""
    assert DSN(**given_) == kept
    assert hash(DSN(**given_)) == hash(kept)


@pytest.mark.parametrize(
    "given_",
    [
        {"ret": "BODY"},
        {"ret": ""},
        {"ret": 5},
        {"notify": "NEVER,SUCCESS"},
        {"notify": "ALWAYS"},
        {"notify": ""},
        {"notify": []},
        {"notify": [5]},
        {"notify": 5},
        {"notify": b"NEVER"},
        {"envid": "a\r\nb"},
        {"envid": "x" * 101},
        {"envid": "ü"},
        {"envid": 5},
        {"orcpt": "o@x.test\r\nDATA"},
        {"orcpt": ";o@x.test"},
        {"orcpt": "rfc822;"},
        {"orcpt": "o" * 501},
        {"orcpt": 5},
    ],
)
def test_dsn_refuses_what_rfc_3461_does_not_know(given_: dict[str, Any]) -> None:
    """Each wrong value is named, before anything is sent."""
    with pytest.raises(EnvelopeError) as caught:
        DSN(**given_)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("dsn", [DSN(ret="FULL"), DSN(envid="x"), {"notify": "NEVER"}, "NEVER"])
def test_a_recipient_takes_only_what_concerns_a_recipient(dsn: Any) -> None:
    """RET and ENVID are parameters of MAIL: one of RCPT would be lost in silence."""
    with pytest.raises(EnvelopeError, match="notify and orcpt"):
        Recipient("b@x.test", dsn)


def test_a_recipients_own_notifications_come_before_the_envelopes() -> None:
    """Field by field: what it does not say, the envelope says."""
    envelope = Envelope(
        "a@x.test",
        [
            "b@x.test",
            Recipient("c@x.test", DSN(notify="NEVER")),
            Recipient("d@x.test", DSN(orcpt="o@x.test")),
        ],
        dsn=DSN(ret="HDRS", envid="id", notify="DELAY"),
    )
    assert [envelope.rcpt_parameters(each) for each in envelope.recipients] == [
        RcptParameters(notify=("DELAY",)),
        RcptParameters(notify=("NEVER",)),
        RcptParameters(notify=("DELAY",), orcpt="rfc822;o@x.test"),
    ]


def test_a_recipient_with_notifications_makes_an_envelope_less_than_plain() -> None:
    """The quick way to write RCPT is for recipients that are only addresses."""
    envelope = Envelope("a@x.test", [Recipient("b@x.test", DSN(notify="NEVER"))])
    assert not envelope.plain
    assert envelope.rcpt_parameters(envelope.recipients[0]) == RcptParameters(notify=("NEVER",))


FULL = Envelope(
    "ü@x.test",
    ["b@x.test", Recipient("c@x.test", DSN(notify="NEVER"))],
    size=10,
    body="8BITMIME",
    dsn=DSN(ret="HDRS", envid="id"),
    requiretls=True,
    hold_until=MIDNIGHT,
)


@pytest.mark.parametrize("value", [FULL, Envelope("", "b@x.test"), *FULL.recipients, FULL.dsn])
def test_values_cannot_be_changed_and_survive_pickle_and_copy(value: Any) -> None:
    """A session, a queue and a caller may share one without fear of each other."""
    for name in ("mail_from", "address", "ret", "new"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(value, name, "x")
        with pytest.raises((AttributeError, TypeError)):
            delattr(value, name)
    for back in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
        assert back == value
        assert hash(back) == hash(value)
        assert repr(back) == repr(value)
    assert value != "b@x.test"


def test_a_copy_is_as_ready_as_the_original() -> None:
    """What was found from the fields goes with them."""
    back = pickle.loads(pickle.dumps(FULL))
    assert (back.plain, back.needs_smtputf8) == (False, True)
    assert back.reverse_path == FULL.reverse_path
    assert back.recipients[0].mailbox == FULL.recipients[0].mailbox


@pytest.mark.parametrize("mail_from", ["", "s@x.test", '"a b"@[192.0.2.1]'])
def test_an_envelope_of_parsed_paths_is_the_same_envelope(mail_from: str) -> None:
    """All that is left out is to look at the addresses once more."""
    addresses = ["r@y.test", '"c d"@y.test', "r@y.test"]
    parsed, looked_at = Envelope.of_parsed(mail_from, addresses), Envelope(mail_from, addresses)
    assert parsed == looked_at
    assert hash(parsed) == hash(looked_at)
    assert repr(parsed) == repr(looked_at)
    for name in ("plain", "verbatim", "needs_smtputf8", "recipients", "reverse_path", "own_dsn"):
        assert getattr(parsed, name) == getattr(looked_at, name)
    assert pickle.loads(pickle.dumps(parsed)) == looked_at


def test_values_show_what_was_given() -> None:
    """The repr is a call, without what was left out."""
    assert repr(Envelope("a@x.test", "b@x.test")) == "Envelope('a@x.test', ['b@x.test'])"
    assert repr(Envelope("", [Recipient("b@x.test", DSN(notify="NEVER"))], size=3)) == (
        "Envelope('', [Recipient('b@x.test', dsn=DSN(notify=('NEVER',)))], size=3)"
    )
    assert repr(Recipient("b@x.test")) == "Recipient('b@x.test')"


@given(st.text() | st.from_regex(r"[^@]{1,8}@[^@]{1,8}"))
def test_any_text_is_an_address_or_an_envelope_error(text: str) -> None:
    """No other exception gets out, and what gets in can be written in one line."""
    refusal = ""
    try:
        envelope = Envelope(text, [text])
    except EnvelopeError as error:
        refusal, envelope = str(error), FULL
    assert refusal.isprintable()
    written = envelope.recipients[0].mailbox.encode(envelope.needs_smtputf8)
    assert not set(written) & set(b"\r\n\0 <>") or written.startswith(b'"')
    assert not set(written) & set(b"\r\n\0")


def test_a_variant_differs_in_what_is_asked_for_alone() -> None:
    """All else is carried over, whatever an envelope may have."""
    envelope = Envelope(
        "s@x.test",
        ["a@y.test", Recipient("b@y.test", DSN(notify=("NEVER",)))],
        size=5,
        body="8BITMIME",
        dsn=DSN(ret="HDRS"),
        requiretls=True,
        deliver_by=(60, "R"),
        mt_priority=3,
        hold_for=60,
        auth="s@x.test",
        prdr=True,
    )
    assert variant(envelope) == envelope
    narrow = variant(envelope, envelope.recipients[1:], smtputf8=True)
    assert narrow.recipients == envelope.recipients[1:]
    assert narrow.needs_smtputf8
    names = [field.name for field in dataclasses.fields(Envelope)]
    others = [name for name in names if name not in ("addresses", "own_dsn", "smtputf8")]
    assert all(getattr(narrow, name) == getattr(envelope, name) for name in others)
