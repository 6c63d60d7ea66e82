"""Mailboxes, paths and client names."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.vectors.mailboxes import (
    CLIENT_NAMES,
    MAILBOXES,
    NOT_CLIENT_NAMES,
    NOT_MAILBOXES,
    UTF8_MAILBOXES,
)
from txsmtpconn.wire.errors import CommandError, LocalProtocolError
from txsmtpconn.wire.parameters import MailParameters, ParameterError
from txsmtpconn.wire.path import (
    Mailbox,
    all_plain,
    client_name,
    parse_mailbox,
    parse_path,
    split_path,
)


@pytest.mark.parametrize(
    ("octets", "text"), [case[:2] for case in MAILBOXES], ids=[case[2] for case in MAILBOXES]
)
def test_a_mailbox_is_taken_as_given(octets: bytes, text: str) -> None:
    """It keeps its text, and is the same octets with SMTPUTF8 and without."""
    mailbox = parse_mailbox(text)
    assert mailbox.text == str(mailbox) == text
    assert f"{mailbox.local}@{mailbox.domain}" == text
    assert not mailbox.needs_smtputf8
    assert mailbox.encode(False) == mailbox.encode(True) == octets


@pytest.mark.parametrize(
    ("octets", "text"),
    [case[:2] for case in UTF8_MAILBOXES],
    ids=[case[2] for case in UTF8_MAILBOXES],
)
def test_an_international_local_part_needs_smtputf8(octets: bytes, text: str) -> None:
    """A10: it is UTF-8 under SMTPUTF8, and a local error otherwise."""
    mailbox = parse_mailbox(text)
    assert mailbox.needs_smtputf8
    assert mailbox.encode(True) == octets
    with pytest.raises(LocalProtocolError, match="needs SMTPUTF8"):
        mailbox.encode(False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [case[:2] for case in NOT_MAILBOXES],
    ids=[ascii(case[2]) for case in NOT_MAILBOXES],
)
def test_what_is_no_mailbox_is_refused(text: str, reason: str) -> None:
    """The error names the fault and shows the value in printable ASCII, cut to size."""
    with pytest.raises(LocalProtocolError) as caught:
        parse_mailbox(text)
    message = str(caught.value)
    assert reason in message
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 200
    assert ascii(text)[1:40] in message


@pytest.mark.parametrize(
    ("octets", "text"),
    [case[:2] for case in MAILBOXES + UTF8_MAILBOXES],
    ids=[case[2] for case in MAILBOXES + UTF8_MAILBOXES],
)
def test_a_server_reads_what_a_client_writes(octets: bytes, text: str) -> None:
    """A path is read whole, with parameters behind it, and cut nowhere but at its bracket."""
    if octets == b'""@x':
        return
    path = b"<" + octets + b">"
    mailbox, rest = parse_path(path, smtputf8=not octets.isascii())
    assert mailbox is not None
    assert mailbox.encode(True) == octets
    assert rest == b""
    assert parse_path(path + b" SIZE=1>", smtputf8=True) == (mailbox, b" SIZE=1>")
    for at in range(len(path)):
        with pytest.raises(CommandError):
            parse_path(path[:at], smtputf8=True)


@pytest.mark.parametrize(
    "text", [case[0] for case in NOT_MAILBOXES], ids=[ascii(case[2]) for case in NOT_MAILBOXES]
)
def test_a_server_refuses_what_is_no_mailbox(text: str) -> None:
    """501 for broken grammar, 553 for characters that no address may have."""
    octets = b"<" + text.encode("utf-8", "surrogatepass") + b">"
    if text == "":
        assert parse_path(octets, smtputf8=True) == (None, b"")
        return
    if text.startswith(("s@x>", "user@example.com>", "gets@ignored.none>")):
        # On the wire that is a path and something behind it, for others to refuse.
        mailbox, rest = parse_path(octets, smtputf8=True)
        assert mailbox == parse_mailbox(text.partition(">")[0])
        with pytest.raises(ParameterError):
            MailParameters.parse(rest)
        return
    with pytest.raises(CommandError) as caught:
        parse_path(octets, smtputf8=True)
    assert caught.value.reply.code in (501, 553)
    assert str(caught.value.reply.enhanced) == "5.1.3"
    assert caught.value.reply.encode().isascii()


@pytest.mark.parametrize(
    ("octets", "code", "enhanced"),
    [
        (b"", 501, "5.1.7"),
        (b"a@b", 501, "5.1.7"),
        (b"<a@b", 501, "5.1.7"),
        (b" <a@b>", 501, "5.1.7"),
        (b"<a\rX: y@b>", 501, "5.1.7"),
        (b'<""@x>', 501, "5.1.7"),
        (b"<@a:u@c>", 501, "5.1.7"),
        (b"<;cmd;>", 501, "5.1.7"),
        (b"<u>", 501, "5.1.7"),
        (b"<a\xff@b>", 553, "5.1.7"),
        ("<a\u200b@b>".encode(), 553, "5.1.7"),
        ("<a\x85@b>".encode(), 553, "5.1.7"),
        (b"<Postmaster>", 501, "5.1.7"),
    ],
)
def test_a_refused_reverse_path_has_its_own_status(octets: bytes, code: int, enhanced: str) -> None:
    """CVE-2026-23829, CVE-2020-10967, CVE-2020-7247, S8: the right reply for each."""
    with pytest.raises(CommandError) as caught:
        parse_path(octets, smtputf8=True, reverse=True)
    assert caught.value.reply.code == code
    assert str(caught.value.reply.enhanced) == enhanced


@pytest.mark.parametrize("octets", ["<ü@a.test>".encode(), "<u@bücher.test>".encode()])
def test_utf8_needs_smtputf8(octets: bytes) -> None:
    """S12: raw UTF-8 in either part without SMTPUTF8 is 553 5.6.7 (RFC 6531 section 3.5)."""
    with pytest.raises(CommandError) as caught:
        parse_path(octets, smtputf8=False)
    assert (caught.value.reply.code, str(caught.value.reply.enhanced)) == (553, "5.6.7")


def test_the_null_reverse_path_is_none() -> None:
    """``<>`` is a path without mailbox, with parameters behind it or not."""
    assert parse_path(b"<>", smtputf8=False, reverse=True) == (None, b"")
    assert parse_path(b"<> RET=HDRS", smtputf8=False) == (None, b" RET=HDRS")


@pytest.mark.parametrize("octets", [b"<Postmaster>", b"<postmaster>", b"<POSTMASTER> NOTIFY=NEVER"])
def test_postmaster_needs_no_domain(octets: bytes) -> None:
    """RFC 5321 section 4.1.1.3: in any case."""
    mailbox, _ = parse_path(octets, smtputf8=False)
    assert mailbox is not None
    assert mailbox.domain == ""
    assert mailbox.local.lower() == "postmaster"
    assert mailbox.encode() == mailbox.local.encode()


def test_a_path_ends_at_its_bracket() -> None:
    """Only a quoted local part may hide one; splitting judges nothing else."""
    assert split_path(b'<"a>b"@c> X') == (b'<"a>b"@c>', b" X")
    assert split_path(b"<> X=<>") == (b"<>", b" X=<>")
    assert split_path(b'<"\\">"@c>>') == (b'<"\\">"@c>', b">")
    for octets in (b"", b"<", b'<">', b'<"\\">', b"<<a@b>>", b'<a"b>"@c>', b"x<a@b>"):
        with pytest.raises(LocalProtocolError):
            split_path(octets)


@pytest.mark.parametrize(
    ("octets", "name"), [case[:2] for case in CLIENT_NAMES], ids=[case[2] for case in CLIENT_NAMES]
)
def test_a_client_name_is_a_domain_or_a_literal(octets: bytes, name: str) -> None:
    """A3: an international one goes as A-labels, also under SMTPUTF8."""
    assert client_name(name) == octets


@pytest.mark.parametrize(
    "name", [case[0] for case in NOT_CLIENT_NAMES], ids=[case[1] for case in NOT_CLIENT_NAMES]
)
def test_any_other_client_name_is_refused(name: str) -> None:
    """A3: nothing is stripped from it, and the error shows it escaped."""
    with pytest.raises(LocalProtocolError) as caught:
        client_name(name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "value", [None, b"a@b", 5, ["a@b"], 10**5000], ids=lambda value: type(value).__name__
)
def test_what_is_no_text_is_refused(value: Any) -> None:
    """A13, A14: it is the same error as for a text that is no mailbox or name."""
    with pytest.raises(LocalProtocolError, match="not text"):
        parse_mailbox(value)
    with pytest.raises(LocalProtocolError, match="not text"):
        client_name(value)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 10**6,
        "@" * 10**6,
        "a." * 500_000 + "@x",
        '"' * 10**6 + "@x",
        '"' + "\\" * 500_000,
        '"' + "\\" * 500_000 + '"@x',
        "a@" + "a." * 500_000,
        "a@" + "-" * 10**6,
        "a@[" + "1." * 500_000 + "]",
        "a@[IPv6:" + ":" * 10**6 + "]",
        "a@" + "ü" * 10**6,
        "".join(f"g{number}: " for number in range(100_000)) + "user@example.com;",
    ],
    ids=lambda text: text[:12],
)
def test_a_long_text_is_refused_in_linear_time(text: str) -> None:
    """GHSA-2x7j-588g-ccc2, CVE-2025-14874: a million octets; the square of it would not end."""
    with pytest.raises(LocalProtocolError):
        parse_mailbox(text)
    with pytest.raises(CommandError):
        parse_path(b"<" + text.encode(), smtputf8=True)
    with pytest.raises(CommandError):
        parse_path(b"<" + text.encode() + b">", smtputf8=True)


@given(st.lists(st.text("a0_.-@ü\n[]", max_size=12) | st.just("a.b@c.test"), min_size=1))
@example(["a@b", "c@d"])
@example(["a" * 64 + "@" + "b" * 63])
@example(["a@b\nc@d"])
@example(["a@xn--maana-pta.test"])
def test_what_looks_plain_is(texts: list[str]) -> None:
    """One look at many agrees with a look at each: they are mailboxes, and go as they are."""
    if all_plain(texts):
        for text in texts:
            assert parse_mailbox(text).encode(False) == text.encode()
    else:
        assert texts not in (["a.b@c.test"] * len(texts), ["a@b", "c@d"])


@pytest.mark.parametrize(
    "text",
    [
        "a@b.-c",
        "a@b-.c",
        "a..b@c",
        ".a@b",
        "a.@b",
        "a@.b",
        "a@b.",
        "a@-b",
        "a@b-",
        "a@b_c",
        "a",
        "",
        "a" * 65 + "@b",
        "a@" + "b" * 64,
        "a@" + ".".join("b" * 40),
        "a@b@c",
        "a@b\n",
        5,
    ],
)
def test_what_looks_odd_is_looked_at_closely(text: Any) -> None:
    """Among others that are plain, too."""
    assert not all_plain([text])
    assert not all_plain(["a@b", text, "c@d"])


def test_mailboxes_are_values() -> None:
    """Equal by text, hashable, copied and pickled."""
    mailbox = parse_mailbox("a@b")
    assert mailbox == parse_mailbox("a@b") == copy.copy(mailbox)
    assert pickle.loads(pickle.dumps(mailbox)) == mailbox
    assert mailbox != parse_mailbox("A@b")
    assert mailbox != "a@b"
    assert len({mailbox, parse_mailbox("a@b")}) == 1
    assert repr(mailbox) == "Mailbox('a@b')"
    assert isinstance(mailbox, Mailbox)
