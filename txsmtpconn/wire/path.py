"""Mailboxes and paths (RFC 5321 section 4.1.2, RFC 6531 section 3.3).

A mailbox is taken exactly as given or refused; there is no reading that looks for an
address inside another text. One regular expression takes nearly every address. What it
does not know is examined step by step, so that an error can name its cause.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from txsmtpconn.wire.domain import DOMAIN_PATTERN, ascii_domain, unicode_domain
from txsmtpconn.wire.errors import CommandError, LocalProtocolError
from txsmtpconn.wire.limits import LABEL, LOCAL_PART, PATH
from txsmtpconn.wire.reply import Reply
from txsmtpconn.wire.text import forbidden_character, shown

# atext (RFC 5322 section 3.2.3)
_ATEXT = r"-A-Za-z0-9!#$%&'*+/=?^_`{|}~"

# Dot-string "@" Domain, all ASCII. Atomic throughout: no character can be matched in two
# ways, so nothing is tried again.
_PLAIN = re.compile(rf"((?>[{_ATEXT}]++(?:\.[{_ATEXT}]++)*))@({DOMAIN_PATTERN})")
# The same of many, each in a line, where no two of "." and "-" are neighbours: so short that
# neither local part nor label nor all of it can be too long.
_SHORT = (
    rf"(?!\.)[{_ATEXT}.]{{1,{LOCAL_PART}}}+(?<!\.)@(?![.-])[A-Za-z0-9.-]{{1,{LABEL}}}+(?<![.-])"
)
_SHORT_LINES = re.compile(rf"(?>(?:{_SHORT}\n)*){_SHORT}")
_UTEXT = rf"[{_ATEXT}\u0080-\U0010ffff]++"
_DOT_STRING = re.compile(rf"{_UTEXT}(?>(?:\.{_UTEXT})*)")
# Quoted-string = DQUOTE *(qtextSMTP / quoted-pairSMTP) DQUOTE: space and printable
# ASCII, a backslash before any of them; UTF-8 only outside a quoted pair (RFC 6531).
_QUOTED_STRING = re.compile(r'"(?>(?:[ !#-\[\]-~\u0080-\U0010ffff]|\\[ -~])*)"')

# A path up to its closing bracket, with ">" allowed inside a quoted local part only.
_BRACKETED = re.compile(rb'<((?>(?:"(?>(?:[^"\\]|\\.)*)")?)[^"<>]*+)>', re.DOTALL)

# What fits between the angle brackets of a path.
_MAILBOX = PATH - 2


class Mailbox:
    """A mailbox that satisfies the grammar; made by :func:`parse_mailbox`.

    Treat it as immutable. Two are equal where their texts are: only the receiving host
    may say which local parts mean the same (RFC 5321 section 2.4).

    Attributes:
        text: the mailbox as given.
        local: its local part as given, quotes included.
        domain: its domain or address literal as given; empty for ``<Postmaster>`` alone.
    """

    __slots__ = ("domain", "local", "text")

    def __init__(self, text: str, local: str, domain: str) -> None:
        self.text = text
        self.local = local
        self.domain = domain

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only SMTPUTF8 can carry it; a domain never needs that."""
        return not self.local.isascii()

    def encode(self, smtputf8: bool = False) -> bytes:
        """Render the mailbox, without angle brackets.

        Args:
            smtputf8: the transaction uses SMTPUTF8. Then a mailbox that needs it keeps
                its U-labels; a domain in another script becomes A-labels otherwise.

        Raises:
            LocalProtocolError: the local part needs SMTPUTF8 and may not have it.
        """
        if self.text.isascii():
            return self.text.encode("ascii")
        if self.local.isascii():
            return f"{self.local}@{ascii_domain(self.domain)}".encode("ascii")
        if not smtputf8:
            raise LocalProtocolError(f"mailbox {shown(self.text)} needs SMTPUTF8")
        return f"{self.local}@{unicode_domain(self.domain)}".encode()

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Mailbox({self.text!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mailbox):
            return NotImplemented
        return self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def parse_mailbox(text: str) -> Mailbox:
    """Read a bare mailbox: ``local@domain``, ``"quoted"@domain``, ``local@[192.0.2.1]``.

    Raises:
        LocalProtocolError: it is not one; the message names the fault and shows the
            value with everything but printable ASCII escaped.
    """
    try:
        found = _PLAIN.fullmatch(text)
    except TypeError:
        raise LocalProtocolError(f"mailbox {shown(text)}: it is not text") from None
    if found is not None and len(text) <= _MAILBOX:
        local, domain = found.groups()
        if len(local) <= LOCAL_PART:
            return Mailbox(text, local, domain)
    return _examine(text)


def all_plain(mailboxes: Sequence[str]) -> bool:
    """Tell whether each of these is a mailbox such as nearly all are: dot-string and domain, ASCII.

    What is not may still be a mailbox: `parse_mailbox` knows. To look at many at once costs a
    tenth of looking at each.
    """
    try:
        lines = "\n".join(mailboxes)
    except TypeError:
        return False
    # A line feed inside of one of them would pass as the end of a mailbox.
    return (
        _SHORT_LINES.fullmatch(lines) is not None
        and lines.count("\n") == len(mailboxes) - 1
        and ".." not in lines
        and ("-" not in lines or (".-" not in lines and "-." not in lines))
    )


def _examine(text: str) -> Mailbox:
    """Read a mailbox in all its forms, or say what is wrong with it."""
    try:
        # Before anything else, so that no later step has to think of them.
        character = forbidden_character(text)
        if character is not None:
            raise LocalProtocolError(f"it contains {character}")
        local, at, domain = text.rpartition("@")
        if text.startswith("@"):
            raise LocalProtocolError("source routes are refused")
        if not at:
            raise LocalProtocolError("it has no domain")
        _check_local_part(local)
        ascii_form = ascii_domain(domain)
        # Both forms must fit: which of them is sent depends on the peer.
        longest = max(len(text.encode("utf-8")), len(f"{local}@{ascii_form}".encode()))
        if longest > _MAILBOX:
            raise LocalProtocolError(f"it is longer than {_MAILBOX} octets")
    except LocalProtocolError as error:
        raise LocalProtocolError(f"mailbox {shown(text)}: {error}") from None
    return Mailbox(text, local, domain)


def _check_local_part(local: str) -> None:
    if len(local.encode("utf-8")) > LOCAL_PART:
        raise LocalProtocolError(f"the local part is longer than {LOCAL_PART} octets")
    if local.startswith('"'):
        if not _QUOTED_STRING.fullmatch(local):
            raise LocalProtocolError("the quoted local part is malformed")
    elif not _DOT_STRING.fullmatch(local):
        raise LocalProtocolError("the local part is malformed or must be quoted")


def client_name(name: str) -> bytes:
    """Check and encode the argument of EHLO, LHLO or HELO.

    Raises:
        LocalProtocolError: ``name`` is neither a domain nor an address literal.
    """
    try:
        return ascii_domain(name).encode("ascii")
    except LocalProtocolError as error:
        raise LocalProtocolError(f"client name {shown(name)}: {error}") from None
    except (AttributeError, TypeError):
        raise LocalProtocolError(f"client name {shown(name)}: it is not text") from None


def split_path(octets: bytes) -> tuple[bytes, bytes]:
    """Split ``b"<path> PARAMETERS"`` behind the closing bracket; nothing is judged.

    Raises:
        LocalProtocolError: no path in angle brackets leads.
    """
    found = _BRACKETED.match(octets)
    if found is None:
        raise LocalProtocolError("no path in angle brackets")
    return octets[: found.end()], octets[found.end() :]


def parse_path(
    octets: bytes, *, smtputf8: bool, reverse: bool = False
) -> tuple[Mailbox | None, bytes]:
    """Read the path that leads ``octets``, as a server.

    Args:
        octets: the argument behind ``FROM:`` or ``TO:``, parameters included or not.
        smtputf8: the transaction uses SMTPUTF8.
        reverse: it is the reverse-path. Only a forward-path may be ``<Postmaster>``,
            and the enhanced status code differs.

    Returns:
        The mailbox, None for ``<>``; and what stands behind the closing bracket.

    Raises:
        CommandError: with the reply to send: 501 where the grammar is broken, 553 where
            the address has characters that it may not have here.
    """
    detail = 7 if reverse else 3  # RFC 3463: bad sender's, bad destination syntax
    try:
        path, rest = split_path(octets)
        if path == b"<>":
            return None, rest
        mailbox = parse_mailbox(path[1:-1].decode("utf-8"))
    except UnicodeDecodeError:
        raise _refusal(553, f"5.1.{detail} Address is not UTF-8") from None
    except LocalProtocolError:
        return _examine_path(octets, detail)
    if not smtputf8 and not path.isascii():
        raise _refusal(553, "5.6.7 Address needs SMTPUTF8")  # RFC 6531 section 3.5
    if mailbox.local == '""':
        # The grammar has it, but it names nobody, and it has crashed servers before.
        raise _refusal(501, f"5.1.{detail} Empty local part")
    return mailbox, rest


def _examine_path(octets: bytes, detail: int) -> tuple[Mailbox, bytes]:
    """Find out why a path holds no mailbox; let the one exception pass."""
    try:
        path, rest = split_path(octets)
    except LocalProtocolError:
        raise _refusal(501, f"5.1.{detail} Path in angle brackets needed") from None
    text = path[1:-1].decode("utf-8")
    if text.lower() == "postmaster" and detail == 3:
        return Mailbox(text, text, ""), rest  # RFC 5321 section 4.1.1.3
    if not text.isascii() and forbidden_character(text) is not None:
        raise _refusal(553, f"5.1.{detail} Forbidden character in address")
    raise _refusal(501, f"5.1.{detail} Bad address syntax")


def _refusal(code: int, text: str) -> CommandError:
    return CommandError(Reply.of(code, text))
