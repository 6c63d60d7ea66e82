"""What an application adds to the server: hooks that decide, and sinks that take messages.

Hooks are methods of any object; those it does not have count as consent::

    on_connect(session)                             a client is here; refusing is the greeting
    on_secure(session)                              TLS is up
    on_auth(session, credentials)                   None, True, or the identity; or False
    on_auth_secret(session, user, mechanism)        what SCRAM and CRAM-MD5 check a password with
    on_mail_from(session, address, parameters)      "" is the null reverse-path
    on_rcpt_to(session, address, parameters)
    on_data(session, envelope)                      returns a `MessageSink`; None drops the data
    on_close(session)                               the client is gone; the answer means nothing

`session` is a `server.session.Session`. A hook may be a plain method, a coroutine, or one that
returns a Deferred. It consents by returning, with None or with the positive `Reply` to send, and
refuses by raising `SMTPRejection`. Any other exception is logged with its traceback and shows the
client nothing but ``451 4.3.0``. The next command is not looked at before the hook has decided.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from txsmtpconn.errors import ConfigError
from txsmtpconn.wire.enhanced import EnhancedStatusCode
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.reply import Reply


class SMTPRejection(Exception):
    """Raised by a hook or a sink: what the client is told instead of "yes".

    Args:
        code: 400 to 599. After 421 the connection closes.
        enhanced: The enhanced status code, such as ``"5.7.1"``; its class is that of the code.
            None leaves it out.
        text: For a person to read; a line feed begins another line.

    Attributes:
        reply: The reply made of them.

    Raises:
        ConfigError: They do not make a refusal.
    """

    def __init__(self, code: int, enhanced: str | None = None, text: str = "Refused") -> None:
        if type(code) is not int or not 400 <= code <= 599:
            raise ConfigError(f"a rejection has a code from 400 to 599, not {code!r}")
        prefix = ""
        if enhanced is not None:
            status = EnhancedStatusCode.parse(enhanced)
            if status is None or str(status) != enhanced or status.klass != code // 100:
                raise ConfigError(f"{enhanced!r} is no enhanced status code of {code}")
            prefix = f"{enhanced} "
        self.reply = Reply.of(code, *(prefix + line for line in text.split("\n")))
        try:
            self.reply.encode()
        except LocalProtocolError as error:
            raise ConfigError(f"the text of a rejection: {error}") from None
        super().__init__(str(self.reply))

    @classmethod
    def of(cls, reply: Reply) -> SMTPRejection:
        """Make a rejection of a reply that refuses."""
        rejection = cls(reply.code)
        rejection.reply = reply
        rejection.args = (str(reply),)
        return rejection


#: One of the application's decisions.
Hook = Callable[..., Any]

#: What may end a message: consent in our words or yours, or, in LMTP, one answer per recipient.
FinalAnswer = Reply | None | Sequence[Reply | SMTPRejection | None]


class MessageSink(Protocol):
    """Takes one message. Exactly one of `finish` and `abort` is called, and nothing behind it.

    A sink that cannot take data as fast as it comes has `registerProducer` and
    `unregisterProducer` too (`twisted.internet.interfaces.IConsumer`): it is given a push producer
    before the first octet, and pauses and resumes that.
    """

    def write(self, data: bytes) -> None:
        """Take a piece of mail data, transparency undone.

        Raises:
            SMTPRejection: The message is refused; `abort` follows.
        """
        ...

    def finish(self) -> FinalAnswer | Awaitable[FinalAnswer]:
        """Take responsibility for the message: only when this is done is the client told so.

        Raises:
            SMTPRejection: Nobody takes it.
        """
        ...

    def abort(self, reason: Exception) -> None:
        """Forget the message: it is incomplete or refused, and nobody was told otherwise."""
        ...


@dataclass(frozen=True, slots=True)
class Hooks:
    """An application's hooks, each of them callable or None."""

    on_connect: Hook | None = None
    on_secure: Hook | None = None
    on_auth: Hook | None = None
    on_auth_secret: Hook | None = None
    on_mail_from: Hook | None = None
    on_rcpt_to: Hook | None = None
    on_data: Hook | None = None
    on_close: Hook | None = None

    @classmethod
    def of(cls, application: object) -> Hooks:
        """Find the hooks that an object has.

        Raises:
            ConfigError: It has one that cannot be called.
        """
        if isinstance(application, Hooks):
            return application
        found = {each.name: getattr(application, each.name, None) for each in fields(cls)}
        for name, hook in found.items():
            if hook is not None and not callable(hook):
                raise ConfigError(f"the hook {name} of {application!r} cannot be called")
        return cls(**found)


class DiscardingSink:
    """Drops a message and says that it was taken."""

    def write(self, data: bytes) -> None:
        """Drop it."""

    def finish(self) -> None:
        """Consent."""

    def abort(self, reason: Exception) -> None:
        """Have nothing to forget."""


def as_reply(answer: object) -> Reply | None:
    """Return what the application answers as a reply that can be sent; None for our own words.

    Raises:
        TypeError: It is no answer.
        LocalProtocolError: Its text would end the line.
    """
    if answer is None or answer is True:
        return None
    reply = answer.reply if isinstance(answer, SMTPRejection) else answer
    if not isinstance(reply, Reply):
        raise TypeError(f"the application answers with None or a Reply, not a {type(answer)}")
    reply.encode()
    return reply


def deferred_of(result: Any) -> Deferred[Any] | None:
    """Return what is to be awaited as a Deferred; None where the result is there already."""
    if not hasattr(result, "__await__"):
        return None
    return result if isinstance(result, Deferred) else Deferred.fromCoroutine(_awaited(result))


def settled(result: Any) -> Any:
    """Return a plain result as it is, and anything that is awaited as a Deferred."""
    return deferred_of(result) or result


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result
