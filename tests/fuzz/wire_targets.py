"""What is fuzzed: functions of any octets that return, or say that an invariant broke.

Each states the doctrine of the wire: any octets are values or the one error that is
theirs. Whatever else comes out of a target is a bug. They are driven by atheris (``python
-m tests.fuzz wire_replies``) and, seeded and bounded, by ``test_wire_targets.py``.
"""

from __future__ import annotations

from collections.abc import Callable

from txsmtpconn.wire.commands import Mail, Rcpt, command_line, parse_command, parse_response
from txsmtpconn.wire.errors import CommandError, LocalProtocolError, RemoteProtocolError
from txsmtpconn.wire.extensions import Extensions
from txsmtpconn.wire.limits import ReplyLimits
from txsmtpconn.wire.parameters import MailParameters, RcptParameters
from txsmtpconn.wire.path import parse_mailbox, parse_path
from txsmtpconn.wire.reply import Reply, ReplyParser
from txsmtpconn.wire.text import forbidden_character
from txsmtpconn.wire.transparency import Stuffing, Unstuffing, canonical, stuffed

_LIMITS = ReplyLimits(line=128, lines=8, total=512)


def _chunks(octets: bytes) -> tuple[bytes, list[bytes]]:
    """Let the first octet say how to cut the others."""
    if not octets:
        return octets, []
    step, rest = octets[0] % 16 + 1, octets[1:]
    return rest, [rest[at : at + step] for at in range(0, len(rest), step)]


def _read_replies(chunks: list[bytes]) -> tuple[list[Reply], bytes | None]:
    parser = ReplyParser(_LIMITS)
    found = []
    for chunk in chunks:
        parser.receive_data(chunk)
        try:
            while (reply := parser.next_reply()) is not None:
                found.append(reply)
        except RemoteProtocolError as error:
            return found, error.received
        assert len(parser.residue) <= _LIMITS.total + _LIMITS.line
    return found, None


def _check_refusal(error: CommandError) -> None:
    assert error.reply.encode().isascii()


def _check_message(error: LocalProtocolError) -> None:
    assert str(error).isascii()
    assert str(error).isprintable()


def replies(octets: bytes) -> None:
    """Read replies whole and cut; look at all of each."""
    whole, chunks = _chunks(octets)
    found = _read_replies(chunks)
    assert found == _read_replies([whole] if whole else [])
    for reply in found[0]:
        assert 200 <= reply.code <= 599
        assert len(reply.octets) <= _LIMITS.lines
        str(reply), reply.text, reply.enhanced, repr(reply), Extensions.from_reply(reply)


def commands(octets: bytes) -> None:
    """Read a command line, its parameters, and an answer to a challenge."""
    try:
        command = parse_command(octets)
        if isinstance(command, Mail):
            MailParameters.parse(command.parameters)
        elif isinstance(command, Rcpt):
            RcptParameters.parse(command.parameters, smtputf8=True)
    except CommandError as error:
        _check_refusal(error)
    try:
        parse_response(octets)
    except CommandError as error:
        _check_refusal(error)


def paths(octets: bytes) -> None:
    """Read a path as a server does, and the same text as a mailbox of a caller."""
    for given in (octets, b"<" + octets + b">"):
        try:
            mailbox, rest = parse_path(given, smtputf8=True)
        except CommandError:
            continue
        assert given.endswith(rest)
        if mailbox is not None:
            assert forbidden_character(mailbox.text) is None
    try:
        mailbox = parse_mailbox(octets.decode("utf-8", "surrogateescape"))
    except LocalProtocolError as error:
        _check_message(error)
        return
    encoded = mailbox.encode(True)
    assert len(encoded) <= 254
    command_line(b"RCPT", b"TO:<" + encoded + b">", utf8=not encoded.isascii())


def mail_data(octets: bytes) -> None:
    """Read mail data whole and cut; stuff it and read it back."""
    whole, chunks = _chunks(octets)
    results = []
    for parts in (chunks, [whole]):
        reader = Unstuffing()
        content = b"".join([reader.feed(part) for part in parts])
        results.append((content, reader.finished, reader.remainder, reader.bare_cr, reader.bare_lf))
    assert results[0] == results[1]
    stuffing = Stuffing()
    wire = b"".join([stuffing.feed(chunk) for chunk in chunks]) + stuffing.finish()
    body = canonical(whole)
    assert wire == stuffed(body)
    assert (b"\r\n" + wire).find(b"\r\n.\r\n") == len(wire) - 3
    reader = Unstuffing()
    content = reader.feed(wire)
    assert reader.finished
    assert content == body or content == body + b"\r\n"


#: Each target with inputs to start from.
TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "wire_replies": (
        replies,
        [
            b"\x05250-mx.test\r\n250-SIZE 1000\r\n250-AUTH=PLAIN LOGIN\r\n250 LIMITS RCPTMAX=5\r\n",
            b"\x00220 hello\r\n\r\n550-5.1.1 no\n550 5.1.1 no\n",
        ],
    ),
    "wire_commands": (
        commands,
        [
            b"MAIL FROM:<a@b.test> SIZE=10 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb AUTH=<>",
            b"RCPT TO:<a@b> NOTIFY=SUCCESS,DELAY ORCPT=utf-8;\\x{FC}@x",
            b"MAIL FROM:<> BY=-5;NT MT-PRIORITY=3 HOLDUNTIL=2030-01-01T00:00:00Z",
            b"BDAT 100 LAST",
            b"AUTH PLAIN AHUAcA==",
            b"EHLO [IPv6:::1]",
        ],
    ),
    "wire_paths": (
        paths,
        [
            b'"a\\"b> c"@x.test',
            "ü@bücher.test".encode(),
            b"a.b@[IPv6:2001:db8::1]",
            b"<@a,@b:u@c>",
        ],
    ),
    "wire_mail_data": (
        mail_data,
        [b"\x03a\r\n.b\r\n..\n.\r\r\n.\r\nQUIT\r\n", b"\x00.\r\n", b"\x01\r\n.\r.\n."],
    ),
}
