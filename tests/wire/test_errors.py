"""The errors of the wire."""

from __future__ import annotations

from txsmtpconn.wire.errors import CommandError, LocalProtocolError, RemoteProtocolError
from txsmtpconn.wire.reply import Reply


def test_a_local_error_is_a_value_error() -> None:
    """Whoever validates input catches it as such."""
    assert issubclass(LocalProtocolError, ValueError)
    assert not issubclass(RemoteProtocolError, ValueError)


def test_a_remote_error_shows_a_bounded_excerpt() -> None:
    """However much the peer sent."""
    error = RemoteProtocolError("not a reply", b"x" * 10**6)
    assert error.received == b"x" * 512
    assert str(error) == "not a reply"
    assert RemoteProtocolError("closed").received == b""


def test_a_command_error_is_its_reply() -> None:
    """The server sends it; a log shows it."""
    error = CommandError(Reply.of(501, "5.5.4 No"))
    assert error.reply == Reply.of(501, "5.5.4 No")
    assert str(error) == "501 5.5.4 No"
