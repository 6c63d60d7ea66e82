"""An envelope as commands for one peer: what its service extensions make of it.

A parameter is written only where the peer offers its extension. Where leaving it out would
change what the caller asked for, the message is refused here, before MAIL.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import datetime
from itertools import accumulate

from txsmtpconn.envelope import Envelope, Recipient
from txsmtpconn.errors import EnvelopeError, MessageError, RequireTLSError, SMTPError
from txsmtpconn.wire.commands import command_line, commands_alike, commands_joined
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.extensions import Extensions
from txsmtpconn.wire.parameters import MailParameters


def objection(
    envelope: Envelope, extensions: Extensions, size: int | None, *, secure: bool, verified: bool
) -> SMTPError | None:
    """Return why this message cannot go to this peer, or None.

    Args:
        envelope: The envelope; all of it is valid in itself.
        extensions: What the peer offers now.
        size: Octets of the mail data, if known.
        secure: Whether the connection is under TLS.
        verified: Whether it is, and the peer is who it should be.
    """
    limit = extensions.size
    if limit is not None:
        if envelope.size is not None:
            size = max(size or 0, envelope.size)
        if size is not None and size > limit:
            return MessageError(
                f"the message has {size} octets, the server takes {limit}", command="MAIL FROM"
            )
    if envelope.needs_smtputf8 and not extensions.smtputf8:
        return EnvelopeError(
            "an internationalized address needs SMTPUTF8, which the server does not offer",
            command="MAIL FROM",
        )
    if envelope.plain:
        return None
    if envelope.requiretls and envelope.mail_from and not (verified and extensions.requiretls):
        # RFC 8689 section 5: a report is not lost for want of it; section 4.2.1 has the codes.
        status = "5.7.30" if verified else "5.7.10"
        if verified:
            wanting = "the server does not offer it"
        elif secure:
            wanting = "it was not verified who the server is"
        else:
            wanting = "the connection is not under TLS"
        text = f"REQUIRETLS was asked for, but {wanting}"
        return RequireTLSError(text, command="MAIL FROM", status=status)
    if envelope.body == "BINARYMIME" and not (extensions.binarymime and extensions.chunking):
        return _unoffered("BODY=BINARYMIME", "BINARYMIME and CHUNKING")
    return _objection_to_times(envelope, extensions)


def _objection_to_times(envelope: Envelope, extensions: Extensions) -> SMTPError | None:
    """Return why a message cannot be delivered by then, or held until then; or None."""
    if envelope.deliver_by is not None:
        if not extensions.deliverby:
            return _unoffered("BY", "DELIVERBY")
        seconds, mode, _ = envelope.deliver_by
        least = extensions.deliverby_minimum
        if mode == "R" and least is not None and seconds < least:
            # RFC 2852 section 4.1.4: as if the time were over.
            text = f"delivery was asked for in {seconds} s, the server wants {least} or more"
            return EnvelopeError(text, command="MAIL FROM", status="5.4.7")
    seconds_held, until = envelope.hold_for, envelope.hold_until
    if seconds_held is None and until is None:
        return None
    if not envelope.mail_from:
        # RFC 4865 sections 5.1.1 and 5.3.1; and nothing else has it (RFC 5321 section 4.5.5).
        text = "a notification (one with the null reverse-path) may not be held back"
        return EnvelopeError(text, command="MAIL FROM")
    if not extensions.futurerelease:
        return _unoffered("HOLDFOR or HOLDUNTIL", "FUTURERELEASE")
    most, latest = extensions.futurerelease_interval, extensions.futurerelease_until
    if most is not None and seconds_held is not None and seconds_held > most:
        text = f"the message is to be held for {seconds_held} s, the server holds it for {most}"
        return EnvelopeError(text, command="MAIL FROM")
    if latest is not None and until is not None and datetime.fromisoformat(until) > latest:
        text = f"the message is to be held until {until}, the server holds it until {latest}"
        return EnvelopeError(text, command="MAIL FROM")
    return None


def _unoffered(parameter: str, extension: str) -> SMTPError:
    return EnvelopeError(
        f"{parameter} was asked for, but the server does not offer {extension}",
        command="MAIL FROM",
    )


def mail_command(
    envelope: Envelope,
    extensions: Extensions,
    *,
    size: int | None,
    eight_bit: bool,
    verified: bool = False,
    prdr: bool = False,
) -> bytes:
    """Return MAIL with all the parameters that the peer understands (RFC 5321 section 4.1.1.2).

    Args:
        envelope: One without objections.
        extensions: What the peer offers now.
        size: Octets of the mail data, if known (RFC 1870); it is declared where the caller expected
            less.
        eight_bit: Whether the mail data is known to hold octets above 127 (RFC 6152).
        verified: Whether the peer is who it should be: else REQUIRETLS may not be said (RFC 8689
            section 2).
        prdr: Whether to ask for a reply for each recipient.
    """
    utf8 = envelope.needs_smtputf8
    if envelope.plain and envelope.verbatim:
        return commands_joined(_plain_mail(envelope, extensions, size, eight_bit), 1)
    path = b"" if envelope.reverse_path is None else envelope.reverse_path.encode(utf8)
    words = b"FROM:<" + path + b">"
    if envelope.size is not None:
        size = max(envelope.size, size or 0)
    if not extensions.offers_size:
        size = None
    eight_bit = eight_bit and extensions.eight_bit_mime
    dsn = envelope.dsn if extensions.dsn else None
    body = envelope.body or ("8BITMIME" if eight_bit else None)
    parameters = MailParameters(
        size=size,
        body=body if extensions.eight_bit_mime or body == "BINARYMIME" else None,
        smtputf8=utf8,
        ret=None if dsn is None else dsn.ret,
        envid=None if dsn is None else dsn.envid,
        auth=envelope.auth if extensions.auth else None,
        requiretls=envelope.requiretls and extensions.requiretls and verified,
        deliver_by=envelope.deliver_by,
        mt_priority=envelope.mt_priority if extensions.mt_priority else None,
        hold_for=envelope.hold_for,
        hold_until=envelope.hold_until,
        prdr=prdr,
    )
    return command_line(b"MAIL", words + parameters.encode(), utf8=utf8)


def _plain_mail(
    envelope: Envelope, extensions: Extensions, size: int | None, eight_bit: bool
) -> str:
    parameters = " BODY=8BITMIME" if eight_bit and extensions.eight_bit_mime else ""
    if size is not None and extensions.offers_size:
        parameters += f" SIZE={size}"
    return f"MAIL FROM:<{envelope.mail_from}>{parameters}\r\n"


def short_flight(
    envelope: Envelope,
    extensions: Extensions,
    *,
    size: int | None,
    eight_bit: bool,
    reset: bool,
    ending: str,
) -> bytes:
    """Return MAIL and RCPT, and what comes with them, of an envelope such as most messages have.

    Args:
        envelope: A plain one with a single recipient, whose addresses go as they are.
        extensions: What the peer offers now.
        size: Octets of the mail data, if known.
        eight_bit: Whether the mail data is known to hold octets above 127.
        reset: Whether RSET is to go first.
        ending: DATA or BDAT with its line end, or nothing.
    """
    mail = _plain_mail(envelope, extensions, size, eight_bit)
    rcpt = envelope.addresses[0]
    if reset:
        mail = "RSET\r\n" + mail
    return commands_joined(f"{mail}RCPT TO:<{rcpt}>\r\n{ending}", 2 + reset + (ending != ""))


def rcpt_commands(
    envelope: Envelope, recipients: slice, extensions: Extensions, room: int
) -> tuple[bytes, list[int]]:
    """Return RCPT for the first of these recipients, until ``room`` octets are used up.

    Returns:
        The commands in one piece, and the octets of each.
    """
    if envelope.plain and envelope.verbatim:
        addresses = envelope.addresses[recipients]
        sizes = [_RCPT_WITHOUT_PATH + len(address) for address in addresses]
        if sum(sizes) > room:
            sizes = sizes[: bisect_left(list(accumulate(sizes)), room) + 1]
        return commands_alike("RCPT TO:<", addresses[: len(sizes)], ">"), sizes
    lines, sizes = [], []
    for recipient in envelope.recipients[recipients]:
        if room <= 0:
            break
        line = rcpt_command(envelope, recipient, extensions)
        lines.append(line)
        sizes.append(len(line))
        room -= len(line)
    return b"".join(lines), sizes


_RCPT_WITHOUT_PATH = len(b"RCPT TO:<>\r\n")


def rcpt_command(envelope: Envelope, recipient: Recipient, extensions: Extensions) -> bytes:
    """Return RCPT for one recipient (RFC 5321 section 4.1.1.3, RFC 3461 section 4)."""
    utf8 = envelope.needs_smtputf8
    words = b"TO:<" + recipient.mailbox.encode(utf8) + b">"
    if extensions.dsn and (envelope.dsn is not None or recipient.dsn is not None):
        words += envelope.rcpt_parameters(recipient).encode()
    return command_line(b"RCPT", words, utf8=utf8)


def client_greeting(verb: bytes, name: bytes) -> bytes:
    """Return EHLO, LHLO or HELO with our name.

    Raises:
        LocalProtocolError: The name holds something else than a domain or address literal.
    """
    if not name or b" " in name:
        raise LocalProtocolError(f"not a domain or address literal: {name!r}")
    return command_line(verb, name)
