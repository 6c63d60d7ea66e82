"""Commands: the exit of a client and the entrance of a server."""

from __future__ import annotations

import pytest

from tests.vectors.commands import COMMANDS, REFUSED
from tests.vectors.mailboxes import MAILBOXES, UTF8_MAILBOXES
from txsmtpconn.wire.commands import (
    Auth,
    Bdat,
    Command,
    command_line,
    commands_joined,
    parse_command,
    parse_response,
)
from txsmtpconn.wire.errors import CommandError, LocalProtocolError
from txsmtpconn.wire.limits import AUTHENTICATION_LINE

_commands = pytest.mark.parametrize(
    ("line", "command"),
    [case[:2] for case in COMMANDS],
    ids=[repr(case[0])[:60] for case in COMMANDS],
)


def test_words_become_a_line() -> None:
    """Single spaces between them, CRLF behind; words may hold spaces of their own."""
    assert command_line(b"QUIT") == b"QUIT\r\n"
    assert command_line(b"EHLO", b"mx.test") == b"EHLO mx.test\r\n"
    assert command_line(b"MAIL", b'FROM:<"a b"@c> SIZE=1') == b'MAIL FROM:<"a b"@c> SIZE=1\r\n'
    assert command_line(b"") == b"\r\n"


@pytest.mark.parametrize("octet", [*range(0x20), *range(0x7F, 0x100)])
def test_nothing_but_printable_ascii_leaves(octet: int) -> None:
    """Rule 4: not one control character or 8-bit octet in any word, at any place."""
    for word in (b"%c", b"a%c", b"%ca", b"a%cb"):
        with pytest.raises(LocalProtocolError):
            command_line(b"MAIL", word % octet)
        with pytest.raises(LocalProtocolError):
            command_line(word % octet)


@pytest.mark.parametrize(
    "word",
    [
        b"legit.host\r\nMAIL FROM:<a@e>\r\nRCPT TO:<v@t>",
        b"SIZE=100\r\nRCPT TO:<attacker@evil.com>",
        b"a\rb",
        b"a\nb",
        b"a\0b",
    ],
)
@pytest.mark.parametrize("utf8", [False, True])
def test_a_command_cannot_be_split(word: bytes, utf8: bool) -> None:
    """GHSA-c7w3-x93f-qmm8, GHSA-vvjj-xcjg-gr5g: no argument ends the line, whoever let it by."""
    with pytest.raises(LocalProtocolError) as caught:
        command_line(b"EHLO", word, utf8=utf8)
    assert "evil" not in str(caught.value)


def test_several_commands_pass_the_same_exit_at_once() -> None:
    """Each of them is held to what one alone is held to, and no more of them leave than meant."""
    assert commands_joined("MAIL FROM:<>\r\nDATA\r\n", 2) == b"MAIL FROM:<>\r\nDATA\r\n"
    longest = "x" * (AUTHENTICATION_LINE - 2)
    assert commands_joined(f"RSET\r\n{longest}\r\n", 2) == f"RSET\r\n{longest}\r\n".encode()
    with pytest.raises(LocalProtocolError):
        commands_joined("RSET\r\nDATA", 1)
    refused = [longest + "x", "ü", "\ud800", "a\r\nRCPT TO:<v@t>", "a\r\n", "\r\na"]
    for line in refused + [f"a{chr(octet)}b" for octet in [*range(0x20), *range(0x7F, 0x100)]]:
        for lines in ([line], ["RSET", line], [line, "RSET"]):
            with pytest.raises(LocalProtocolError):
                commands_joined("".join(f"{each}\r\n" for each in lines), len(lines))


def test_utf8_leaves_under_smtputf8_only() -> None:
    """Valid UTF-8 without control characters, where the transaction has SMTPUTF8."""
    assert command_line("ü".encode(), utf8=True) == "ü\r\n".encode()
    with pytest.raises(LocalProtocolError):
        command_line("ü".encode())
    for octets in (b"\xff", b"\xc3", "\x85".encode(), b"\xc0\x8d\xc0\x8a", b"\xed\xa0\x80"):
        with pytest.raises(LocalProtocolError):
            command_line(octets, utf8=True)


@pytest.mark.parametrize("words", [(b"AUTH", b""), (b"", b"x"), (b"", b"")])
def test_an_argument_is_not_empty(words: tuple[bytes, ...]) -> None:
    """An empty word would shift the ones behind it."""
    with pytest.raises(LocalProtocolError):
        command_line(*words)


def test_a_line_is_bounded() -> None:
    """RFC 4954 section 4: the longest of all lines has 12288 octets with its CRLF."""
    assert len(command_line(b"x" * 12286)) == 12288
    with pytest.raises(LocalProtocolError):
        command_line(b"x" * 12287)


@_commands
def test_a_command_is_read(line: bytes, command: Command) -> None:
    """Each vector gives its value, verb included."""
    assert parse_command(line) == command
    assert command.verb == command.verb.upper()


@pytest.mark.parametrize(
    ("line", "code", "status"),
    [case[:3] for case in REFUSED],
    ids=[ascii(case[0])[:60] for case in REFUSED],
)
def test_a_broken_command_gets_its_reply(line: bytes, code: int, status: str) -> None:
    """The code and enhanced status code of the vector, and nothing of what the client wrote."""
    with pytest.raises(CommandError) as caught:
        parse_command(line)
    reply = caught.value.reply
    assert (reply.code, str(reply.enhanced)) == (code, status)
    assert reply.encode().isascii()
    assert len(reply.encode()) < 80
    assert str(caught.value) == str(reply)


@_commands
def test_a_control_character_is_refused_in_every_command(line: bytes, command: Command) -> None:
    """S8: wherever it stands."""
    for control in (b"\0", b"\r", b"\n", b"\x1b", b"\x7f"):
        for at in range(0, len(line) + 1, max(1, len(line) // 8)):
            with pytest.raises(CommandError):
                parse_command(line[:at] + control + line[at:])


@pytest.mark.parametrize("octets", [case[0] for case in MAILBOXES + UTF8_MAILBOXES])
def test_a_server_reads_the_mailbox_that_a_client_meant(octets: bytes) -> None:
    """P4: what leaves through the one exit is read back as the same mailbox."""
    if octets == b'""@x':
        return
    line = command_line(b"RCPT", b"TO:<" + octets + b">", utf8=not octets.isascii())
    command = parse_command(line[:-2])
    assert command.path.encode(True) == octets  # type: ignore[union-attr]


def test_a_long_auth_line_is_read() -> None:
    """S7: up to 12288 octets with CRLF; 4096 for all others."""
    assert parse_command(b"AUTH X " + b"A" * 12276) is not None
    with pytest.raises(CommandError):
        parse_command(b"NOOP " + b"x" * 4090)


def test_a_response_is_decoded() -> None:
    """RFC 4954 section 4: base64, an empty line, or a cancellation."""
    assert parse_response(b"AHUAcA==") == b"\0u\0p"
    assert parse_response(b"") == b""
    assert parse_response(b"*") is None


@pytest.mark.parametrize(
    ("line", "code", "status"),
    [
        (b"!", 501, "5.5.2"),
        (b"AHUAcA", 501, "5.5.2"),
        (b"AHUA cA==", 501, "5.5.2"),
        (b"=", 501, "5.5.2"),
        (b"**", 501, "5.5.2"),
        (b"\xff", 501, "5.5.2"),
        (b"AHUA\r", 501, "5.5.2"),
        (b"A" * 12288, 500, "5.5.6"),
    ],
)
def test_a_broken_response_ends_the_exchange(line: bytes, code: int, status: str) -> None:
    """S7, S26: with the reply of RFC 4954."""
    with pytest.raises(CommandError) as caught:
        parse_response(line)
    assert (caught.value.reply.code, str(caught.value.reply.enhanced)) == (code, status)


def test_a_response_of_the_longest_line_is_taken() -> None:
    """S7: 12288 octets with CRLF."""
    assert parse_response(b"A" * 12284) == b"\0" * (12284 * 3 // 4)


def test_a_secret_is_not_shown() -> None:
    """The initial response is in no repr, and broken base64 in no error."""
    assert "p4ssw0rd" not in repr(Auth("PLAIN", b"p4ssw0rd"))
    with pytest.raises(CommandError) as caught:
        parse_command(b"AUTH PLAIN p4ssw0rd!")
    assert "p4ssw0rd" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_only_what_is_no_secret_is_remembered() -> None:
    """MAIL and RCPT come again; a password that a confused client says out of turn may not stay."""
    again = b"RCPT TO:<again@example.org>"
    assert parse_command(again) is parse_command(again)
    secrets = (b"AUTH PLAIN AHUAcHc=", b"c2VjcmV0", b"MAIL FROM:<a@b.example> " + b"x" * 250)
    for line in secrets:
        assert parse_command(line) is not parse_command(line)


def test_commands_are_values() -> None:
    """Frozen and comparable."""
    assert Bdat(1, True) == Bdat(1, True) != Bdat(1, False)
    with pytest.raises(AttributeError):
        Bdat(1, True).size = 2  # type: ignore[misc]
