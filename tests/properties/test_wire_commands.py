"""Commands, paths and parameters: values, or the one error that is right."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from txsmtpconn.wire.commands import Mail, Rcpt, command_line, parse_command, parse_response
from txsmtpconn.wire.errors import CommandError, LocalProtocolError
from txsmtpconn.wire.parameters import (
    DeliverBy,
    MailParameters,
    ParameterError,
    RcptParameters,
)
from txsmtpconn.wire.path import client_name, parse_mailbox, parse_path
from txsmtpconn.wire.text import forbidden_character

nasty = st.sampled_from(
    [*'@@@"\\<>[]:;,. +=-%', *"aü\0\u200b\u760d。＠", "\r\n", "IPv6:", "x.test"]
)
texts = st.one_of(st.lists(nasty, max_size=12).map("".join), st.text(max_size=40))
# Pieces that make commands, paths and parameters, nearly make them, or break them.
pieces = st.sampled_from(
    b'MAIL|RCPT| |FROM:|TO:|<|>|a@b|"|\\|SIZE=|1|BODY=|8BITMIME|BDAT|LAST|AUTH |=|+0D|\r|\xc3\xbc'
    b"|EHLO|ORCPT=|utf-8;|\\x{A}|NOTIFY=|NEVER|,|BY=|-5;R|ENVID=".split(b"|")
)
octets = st.one_of(st.binary(max_size=60), st.lists(pieces, max_size=14).map(b"".join))
printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=30)
atoms = st.text("abcXYZ019!#$%&'*+-/=?^_`{|}~", min_size=1, max_size=10)
quoted = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=10).map(
    lambda text: '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
)
local_parts = st.one_of(st.lists(atoms, min_size=1, max_size=3).map(".".join), quoted)
domains = st.sampled_from(
    ["x", "x.test", "bücher.test", "[127.0.0.1]", "[IPv6:::1]", "例え.テスト"]
)
mailboxes = st.builds("{}@{}".format, local_parts, domains)


def check_message(error: LocalProtocolError) -> None:
    """Hold an error message to what a log may show."""
    assert str(error).isascii()
    assert str(error).isprintable()


def check_refusal(error: CommandError, *codes: int) -> None:
    """Hold a refusal to a reply that can be sent, with one of the codes."""
    assert error.reply.code in codes
    assert error.reply.encode().isascii()


@given(texts)
def test_any_text_is_a_mailbox_or_refused(text: str) -> None:
    """P4: either an error, or octets on the wire that are read back as the same mailbox."""
    try:
        mailbox = parse_mailbox(text)
    except LocalProtocolError as error:
        check_message(error)
        return
    encoded = mailbox.encode(True)
    line = command_line(b"MAIL", b"FROM:<" + encoded + b">", utf8=not encoded.isascii())
    assert len(line) <= len(b"MAIL FROM:\r\n") + 256
    if mailbox.local == '""':
        return
    command = parse_command(line[:-2])
    assert isinstance(command, Mail)
    assert command.path is not None
    assert command.path.local == mailbox.local
    assert command.path.encode(True) == encoded
    assert command.parameters == b""


@given(mailboxes)
def test_every_grammatical_mailbox_is_taken(text: str) -> None:
    """A8: quoted or not, as given, and with one at sign that counts."""
    mailbox = parse_mailbox(text)
    assert mailbox.text == text
    assert text.endswith("@" + mailbox.domain)
    assert not mailbox.needs_smtputf8


@given(texts)
def test_any_name_is_encoded_or_refused(name: str) -> None:
    """A3: an EHLO argument is printable ASCII without spaces, or nothing leaves."""
    try:
        encoded = client_name(name)
    except LocalProtocolError as error:
        check_message(error)
        return
    assert re.fullmatch(rb"[!-~]{1,255}", encoded)
    assert command_line(b"EHLO", encoded)


@given(
    st.lists(st.one_of(st.binary(max_size=30), printable.map(str.encode)), max_size=4),
    st.booleans(),
)
def test_a_command_line_is_one_line(words: list[bytes], utf8: bool) -> None:
    """Rule 4: whatever the words, one CRLF at the end and no control character, or an error."""
    try:
        line = command_line(*words, utf8=utf8)
    except LocalProtocolError:
        return
    assert line.endswith(b"\r\n")
    text = line[:-2].decode("utf-8" if utf8 else "ascii")
    assert not re.search("[\x00-\x1f\x7f-\x9f]", text)


@given(octets)
def test_any_line_is_a_command_or_refused(line: bytes) -> None:
    """A server has a value or a reply for everything, and the reply can be sent."""
    try:
        command = parse_command(line)
    except CommandError as error:
        check_refusal(error, 500, 501, 502, 553)
        return
    assert command.verb.isprintable()
    if isinstance(command, Mail | Rcpt):
        kind = MailParameters if isinstance(command, Mail) else RcptParameters
        try:
            kind.parse(command.parameters)
        except ParameterError as error:
            check_refusal(error, 501, 552, 555)


@given(octets, st.booleans(), st.booleans())
def test_any_octets_are_a_path_or_refused(path: bytes, smtputf8: bool, reverse: bool) -> None:
    """A path never holds what a trace field, a log or a next hop could trip over."""
    for given_octets in (path, b"<" + path + b">"):
        try:
            mailbox, rest = parse_path(given_octets, smtputf8=smtputf8, reverse=reverse)
        except CommandError as error:
            check_refusal(error, 501, 553)
            continue
        assert given_octets.endswith(rest)
        if mailbox is not None:
            assert forbidden_character(mailbox.text) is None
            assert smtputf8 or mailbox.text.isascii()


@given(octets, st.booleans())
def test_any_octets_are_parameters_or_refused(given_octets: bytes, smtputf8: bool) -> None:
    """What was read can be written again, and is read as the same value."""
    for prefixed in (given_octets, b" " + given_octets, b" ENVID=" + given_octets):
        try:
            value = MailParameters.parse(prefixed)
        except ParameterError as error:
            check_refusal(error, 501, 552, 555)
        else:
            assert MailParameters.parse(value.encode()) == value
    for prefixed in (given_octets, b" " + given_octets, b" ORCPT=" + given_octets):
        try:
            rcpt = RcptParameters.parse(prefixed, smtputf8=smtputf8)
        except ParameterError as error:
            check_refusal(error, 501, 555)
        else:
            assert RcptParameters.parse(rcpt.encode()) == rcpt


@given(st.binary(max_size=40))
def test_any_octets_are_a_response_or_refused(line: bytes) -> None:
    """AUTH: base64, a cancellation, or 501."""
    try:
        parse_response(line)
    except CommandError as error:
        check_refusal(error, 501)


seconds = st.integers(1, 999999999)
by = st.builds(DeliverBy, st.integers(1, 999999999), st.sampled_from("RN"), st.booleans())
# No message is held beyond the time to deliver it by.
times = st.fixed_dictionaries({"deliver_by": st.none() | by}) | st.fixed_dictionaries(
    {"hold_for": seconds}
)
parameters = st.builds(
    lambda times, **others: MailParameters(**others, **times),
    times,
    size=st.none() | st.integers(0, 2**63 - 1),
    body=st.sampled_from([None, "7BIT", "8BITMIME", "BINARYMIME"]),
    smtputf8=st.booleans(),
    ret=st.sampled_from([None, "FULL", "HDRS"]),
    envid=st.none() | printable,
    auth=st.none() | st.just("") | mailboxes.filter(str.isascii),
    requiretls=st.booleans(),
    mt_priority=st.none() | st.integers(-9, 9),
)


@given(parameters)
def test_mail_parameters_survive(value: MailParameters) -> None:
    """A client's parameters are command text and reach the server as they were."""
    encoded = value.encode()
    assert MailParameters.parse(encoded) == value
    if encoded:
        assert command_line(b"MAIL", b"FROM:<>" + encoded)


@given(st.none() | printable.map("rfc822;{}".format) | mailboxes.map("utf-8;{}".format))
def test_original_recipients_survive(orcpt: str | None) -> None:
    """So does ORCPT, in ASCII whatever it holds."""
    value = RcptParameters(orcpt=orcpt)
    assert value.encode().isascii()
    assert RcptParameters.parse(value.encode()) == value
