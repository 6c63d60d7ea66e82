"""XCLIENT and XFORWARD as operations of a session, or the reason why they cannot be said."""

from __future__ import annotations

from txsmtpconn.errors import ConfigError
from txsmtpconn.session.client.transaction import Forward, Introduction
from txsmtpconn.wire.attributes import Attributes, encode_attributes
from txsmtpconn.wire.commands import command_line
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.extensions import Extensions


def introducing(
    verb: str, attributes: Attributes, extensions: Extensions
) -> Introduction | Forward:
    """Return the operation that says such a command.

    Args:
        verb: XCLIENT or XFORWARD.
        attributes: Names in any case with their values; None for what is not known.
        extensions: What the server offers now.

    Raises:
        ConfigError: The server does not offer the command, or not one of the attributes, or a value
            is not what it should be.
    """
    offered = extensions.get(verb)
    if offered is None:
        raise ConfigError(f"the server does not offer {verb}", command=verb)
    try:
        words = encode_attributes(attributes, tuple(word.upper() for word in offered))
        line = command_line(verb.encode("ascii"), *words)
    except LocalProtocolError as error:
        raise ConfigError(f"{verb}: {error}", command=verb) from None
    return Introduction(line) if verb == "XCLIENT" else Forward(line)
