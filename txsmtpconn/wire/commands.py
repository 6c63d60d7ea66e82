"""Commands: the one way out for command text, and a server's reading of it.

RFC 5321 section 4.1. A client writes every command through :func:`command_line`, so that
no argument can end the line or hide in it. A server reads a line into one of the frozen
classes below with :func:`parse_command`.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

from txsmtpconn.wire.errors import CommandError, LocalProtocolError
from txsmtpconn.wire.limits import AUTHENTICATION_LINE, COMMAND_LINE, DOMAIN, SIZE_DIGITS
from txsmtpconn.wire.path import Mailbox, parse_path
from txsmtpconn.wire.reply import Reply
from txsmtpconn.wire.text import forbidden_character

_PRINTABLE = re.compile(rb"[ -~]*")
_PRINTABLE_OR_UTF8 = re.compile(rb"[ -~\x80-\xff]*")
_UTF8_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PRINTABLE_OCTETS = bytes(range(0x20, 0x7F))


def command_line(*words: bytes, utf8: bool = False) -> bytes:
    """Join words by single spaces into one command line: THE exit for command text.

    One empty word makes an empty line, as some SASL exchanges need.

    Args:
        words: the verb and its arguments, which may hold spaces where the grammar lets
            them (a quoted local part).
        utf8: the transaction uses SMTPUTF8: valid UTF-8 may pass.

    Raises:
        LocalProtocolError: anything else than printable ASCII (or UTF-8 without control
            characters), an empty word among others, or a line over the limit. The
            message does not show the line, which may be secret.
    """
    line = b" ".join(words)
    if not _PRINTABLE.fullmatch(line):
        _check_utf8(line, utf8)
    if len(line) > AUTHENTICATION_LINE - 2:
        raise LocalProtocolError(f"a command line is longer than {AUTHENTICATION_LINE} octets")
    if not all(words) and len(words) > 1:
        raise LocalProtocolError("a command has an empty argument")
    return line + b"\r\n"


def commands_alike(start: str, arguments: Sequence[str], end: str) -> bytes:
    """Make a whole command of each argument, to be written together.

    Raises:
        LocalProtocolError: One of the commands is over the limit, or not printable ASCII.
    """
    end += "\r\n"
    return commands_joined(start + (end + start).join(arguments) + end, len(arguments))


def commands_joined(text: str, count: int) -> bytes:
    """Make octets of so many whole commands, each with its line end, to be written together.

    What `command_line` is for one: it looks at many at once, which costs little more than one.

    Raises:
        LocalProtocolError: They are more or fewer, or one of them is over the limit, or not
            printable ASCII.
    """
    # What is not ASCII, even half of a surrogate pair, becomes octets that are not printable.
    octets = text.encode("utf-8", "surrogatepass")
    # Each command got one CRLF. Where nothing but those is left when all that is printable is
    # taken away, no command holds a CR, a LF or anything else that could end or hide it.
    ends = octets.translate(None, _PRINTABLE_OCTETS)
    if ends != b"\r\n" * count or not text.endswith("\r\n"):
        raise LocalProtocolError("a command may hold printable ASCII only")
    whole, end = 0, len(octets)
    while end - whole > AUTHENTICATION_LINE:
        # As far as the last line end that the limit lets us reach.
        reached = octets.rfind(b"\n", whole, whole + AUTHENTICATION_LINE) + 1
        if not reached:
            raise LocalProtocolError(f"a command line is longer than {AUTHENTICATION_LINE} octets")
        whole = reached
    return octets


def _check_utf8(line: bytes, utf8: bool) -> None:
    if not utf8:
        raise LocalProtocolError("a command may hold printable ASCII only")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise LocalProtocolError("a command is not UTF-8") from None
    if _UTF8_CONTROL.search(text):
        raise LocalProtocolError("a command holds a control character")


@dataclass(frozen=True, slots=True)
class Hello:
    """EHLO, HELO or LHLO, with the name that the client gives itself."""

    verb: str
    name: str


@dataclass(frozen=True, slots=True)
class Mail:
    """MAIL.

    Whether UTF-8 may be in the path depends on the parameters behind it and on what the
    server offers, so that is for the session to judge.

    Attributes:
        path: the reverse-path; None for ``<>``.
        parameters: what stands behind it, for MailParameters.parse.
    """

    verb: ClassVar[str] = "MAIL"
    path: Mailbox | None
    parameters: bytes = b""


@dataclass(frozen=True, slots=True)
class Rcpt:
    """RCPT; on UTF-8 in the path see :class:`Mail`.

    Attributes:
        path: the forward-path. Its domain is empty for ``<Postmaster>``.
        parameters: what stands behind it, for RcptParameters.parse.
    """

    verb: ClassVar[str] = "RCPT"
    path: Mailbox
    parameters: bytes = b""


@dataclass(frozen=True, slots=True)
class Data:
    """DATA."""

    verb: ClassVar[str] = "DATA"


@dataclass(frozen=True, slots=True)
class Bdat:
    """BDAT: ``size`` octets follow the line at once, whatever the reply will be."""

    verb: ClassVar[str] = "BDAT"
    size: int
    last: bool


@dataclass(frozen=True, slots=True)
class Auth:
    """AUTH (RFC 4954).

    Attributes:
        mechanism: in upper case.
        initial: the initial response, decoded; ``b""`` where the client sent ``=``, None
            where it sent none. A secret: never shown.
    """

    verb: ClassVar[str] = "AUTH"
    mechanism: str
    initial: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class StartTLS:
    """STARTTLS (RFC 3207)."""

    verb: ClassVar[str] = "STARTTLS"


@dataclass(frozen=True, slots=True)
class Rset:
    """RSET."""

    verb: ClassVar[str] = "RSET"


@dataclass(frozen=True, slots=True)
class Noop:
    """NOOP; its argument, if it had one, means nothing."""

    verb: ClassVar[str] = "NOOP"


@dataclass(frozen=True, slots=True)
class Quit:
    """QUIT."""

    verb: ClassVar[str] = "QUIT"


@dataclass(frozen=True, slots=True)
class Vrfy:
    """VRFY, with what to verify as the client wrote it."""

    verb: ClassVar[str] = "VRFY"
    argument: str


@dataclass(frozen=True, slots=True)
class Expn:
    """EXPN, with the list to expand as the client wrote it."""

    verb: ClassVar[str] = "EXPN"
    argument: str


@dataclass(frozen=True, slots=True)
class Help:
    """HELP, with its topic or the empty string."""

    verb: ClassVar[str] = "HELP"
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A verb that is none of the above.

    Attributes:
        verb: in upper case; printable ASCII, hostile all the same.
        argument: what stands behind it, for a server with commands of its own.
    """

    verb: str
    argument: bytes = b""


Command = (
    Hello
    | Mail
    | Rcpt
    | Data
    | Bdat
    | Auth
    | StartTLS
    | Rset
    | Noop
    | Quit
    | Vrfy
    | Expn
    | Help
    | Unknown
)


# ehlo = "EHLO" SP ( Domain / address-literal ). An underscore is let through, since hosts
# of that name are many and the name is only shown; nothing is that a trace field would
# have to quote.
_NAME = re.compile(rb"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,253}[A-Za-z0-9_.])?|\[[A-Za-z0-9.:-]+\]")
_BDAT = re.compile(rb"([0-9]{1,%d})( LAST)?" % SIZE_DIGITS, re.IGNORECASE)
# sasl-mech (RFC 4422 section 3.1), in any case as a keyword of SMTP
_AUTH = re.compile(rb"([A-Za-z0-9_-]{1,20})(?: ([!-~]+))?")
# String = Atom / Quoted-string (RFC 5321 section 4.1.2), several of them tolerated
_STRINGS = re.compile(rb'(?>(?:[^"\\]|"(?>(?:[^"\\]|\\.)*)")*)')

# Commands that are remembered once they were read, if they were right and not too long: commands
# that may come again, never what might be a secret.
_RECURRENT = frozenset((b"MAIL", b"RCPT", b"DATA", b"mail", b"rcpt", b"data"))
_KNOWN_LINE_OCTETS = 256
_KNOWN_LINES = 1024

# Commands that RFC 5321 and its predecessors know and we do not do.
_NOT_IMPLEMENTED = frozenset((b"ATRN", b"ETRN", b"SAML", b"SEND", b"SOML", b"TURN"))


def parse_command(line: bytes) -> Command:
    """Read one command line, as a server.

    Verbs are known in any case. White space at the end is tolerated (RFC 5321 section
    4.1.1), control characters never are.

    Args:
        line: without its CRLF. A CR or LF inside is refused like any other control
            character; it is the caller who must not take a bare LF for a line end.

    Raises:
        CommandError: with the reply to send. After a refused BDAT nobody knows how many
            octets follow, so the connection must close behind the reply.
    """
    if line[:4] in _RECURRENT and len(line) <= _KNOWN_LINE_OCTETS:
        return _parse_recurrent(line)
    return _parse(line)


def _parse(line: bytes) -> Command:
    if not _PRINTABLE_OR_UTF8.fullmatch(line):
        raise _refusal(501, "5.5.2 Control character in command")
    word, _, argument = line.rstrip(b" ").partition(b" ")
    verb = word.upper()
    if len(line) > (AUTHENTICATION_LINE if verb == b"AUTH" else COMMAND_LINE) - 2:
        raise _refusal(500, "5.5.6 Line too long" if verb == b"AUTH" else "5.5.2 Line too long")
    if not line.isascii() and verb not in _MAY_HOLD_UTF8:
        raise _refusal(501, "5.5.2 Command is not ASCII")
    read = _READERS.get(verb)
    if read is not None:
        return read(verb, argument)
    if verb in _NOT_IMPLEMENTED:
        raise _refusal(502, "5.5.1 Command not implemented")
    if not verb:
        raise _refusal(500, "5.5.2 Command expected")
    return Unknown(verb.decode("ascii"), argument)


# One sender's messages come in a row, and many clients send to the same few recipients.
_parse_recurrent = lru_cache(maxsize=_KNOWN_LINES)(_parse)


def parse_response(line: bytes) -> bytes | None:
    """Read the client's answer to a challenge of AUTH (RFC 4954 section 4).

    Args:
        line: without its CRLF.

    Returns:
        The response, decoded; None where the client cancels with ``*``.

    Raises:
        CommandError: with the reply that ends the exchange.
    """
    if line == b"*":
        return None
    if len(line) > AUTHENTICATION_LINE - 2:
        raise _refusal(500, "5.5.6 Line too long")
    return _decode_base64(line)


def _refusal(code: int, text: str) -> CommandError:
    return CommandError(Reply.of(code, text))


def _decode_base64(encoded: bytes) -> bytes:
    try:
        return binascii.a2b_base64(encoded, strict_mode=True)
    except ValueError:
        raise _refusal(501, "5.5.2 That is not base64") from None


def _read_hello(verb: bytes, argument: bytes) -> Hello:
    name = argument.strip(b" ")
    if len(name) > DOMAIN or not _NAME.fullmatch(name) or b".." in name:
        raise _refusal(501, "5.5.4 Domain or address literal needed")
    return Hello(verb.decode("ascii"), name.decode("ascii"))


def _path_argument(argument: bytes, keyword: bytes) -> bytes:
    """Give what stands behind ``FROM:`` or ``TO:``; spaces there are common and harmless."""
    if argument[: len(keyword)].upper() != keyword:
        raise _refusal(501, f"5.5.4 {keyword.decode('ascii')}<path> needed")
    return argument[len(keyword) :].lstrip(b" ")


def _read_mail(_verb: bytes, argument: bytes) -> Mail:
    path, parameters = parse_path(_path_argument(argument, b"FROM:"), smtputf8=True, reverse=True)
    return Mail(path, parameters)


def _read_rcpt(_verb: bytes, argument: bytes) -> Rcpt:
    path, parameters = parse_path(_path_argument(argument, b"TO:"), smtputf8=True)
    if path is None:
        raise _refusal(501, "5.1.3 A forward-path cannot be null")
    return Rcpt(path, parameters)


def _read_bdat(_verb: bytes, argument: bytes) -> Bdat:
    found = _BDAT.fullmatch(argument)
    if found is None:
        raise _refusal(501, "5.5.4 BDAT <size> [LAST] needed")
    return Bdat(int(found[1]), found[2] is not None)


def _read_auth(_verb: bytes, argument: bytes) -> Auth:
    found = _AUTH.fullmatch(argument)
    if found is None:
        raise _refusal(501, "5.5.4 AUTH <mechanism> [<initial response>] needed")
    mechanism, initial = found[1].decode("ascii").upper(), found[2]
    if initial is None:
        return Auth(mechanism)
    # "=" is how an empty initial response is told from none (RFC 4954 section 4).
    return Auth(mechanism, b"" if initial == b"=" else _decode_base64(initial))


def _read_noop(_verb: bytes, argument: bytes) -> Noop:
    if not _STRINGS.fullmatch(argument):
        raise _refusal(501, "5.5.4 Malformed argument")
    return Noop()


def _text_argument(argument: bytes) -> str:
    try:
        text = argument.decode("utf-8")
    except UnicodeDecodeError:
        raise _refusal(501, "5.5.4 Argument is not UTF-8") from None
    if forbidden_character(text) is not None:
        raise _refusal(501, "5.5.4 Forbidden character in argument")
    return text


def _needed(argument: bytes) -> str:
    if not argument:
        raise _refusal(501, "5.5.4 Argument needed")
    return _text_argument(argument)


def _alone(command: Command) -> Callable[[bytes, bytes], Command]:
    """Make the reader of a command that takes no argument."""

    def read(_verb: bytes, argument: bytes) -> Command:
        if argument:
            raise _refusal(501, "5.5.4 No argument allowed")
        return command

    return read


_MAY_HOLD_UTF8 = frozenset((b"MAIL", b"RCPT", b"VRFY", b"EXPN"))
_READERS: dict[bytes, Callable[[bytes, bytes], Command]] = {
    b"EHLO": _read_hello,
    b"HELO": _read_hello,
    b"LHLO": _read_hello,
    b"MAIL": _read_mail,
    b"RCPT": _read_rcpt,
    b"DATA": _alone(Data()),
    b"BDAT": _read_bdat,
    b"AUTH": _read_auth,
    b"STARTTLS": _alone(StartTLS()),
    b"RSET": _alone(Rset()),
    b"NOOP": _read_noop,
    b"QUIT": _alone(Quit()),
    b"VRFY": lambda _, argument: Vrfy(_needed(argument)),
    b"EXPN": lambda _, argument: Expn(_needed(argument)),
    b"HELP": lambda _, argument: Help(_text_argument(argument)),
}
