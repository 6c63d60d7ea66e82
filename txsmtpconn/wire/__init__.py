"""Octets to values and back: the grammar of SMTP, without a conversation.

Nothing here waits, remembers a session or imports Twisted. Import from the modules:
:mod:`~txsmtpconn.wire.reply`, :mod:`~txsmtpconn.wire.enhanced`,
:mod:`~txsmtpconn.wire.extensions`, :mod:`~txsmtpconn.wire.path`,
:mod:`~txsmtpconn.wire.parameters`, :mod:`~txsmtpconn.wire.commands`,
:mod:`~txsmtpconn.wire.transparency`, :mod:`~txsmtpconn.wire.chunking`,
:mod:`~txsmtpconn.wire.limits` and :mod:`~txsmtpconn.wire.errors`.
"""
