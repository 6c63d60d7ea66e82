"""The limits keep what their RFCs promise to everybody."""

from __future__ import annotations

from txsmtpconn.wire import limits


def test_no_limit_is_below_what_everybody_must_take() -> None:
    """RFC 5321 section 4.5.3.1 and RFC 4954 section 4 are minimums."""
    assert limits.REPLY_LINE >= 512
    assert limits.COMMAND_LINE >= 512 + 26 + 628  # RFC 1870, RFC 3461
    assert limits.AUTHENTICATION_LINE == 12288
    assert (limits.LOCAL_PART, limits.DOMAIN, limits.PATH) == (64, 255, 256)


def test_a_reply_fits_its_own_limits() -> None:
    """One line is less than a reply, and the defaults are the named ones."""
    defaults = limits.ReplyLimits()
    assert defaults.line < defaults.total
    assert (defaults.line, defaults.lines, defaults.total) == (
        limits.REPLY_LINE,
        limits.REPLY_LINES,
        limits.REPLY_TOTAL,
    )
