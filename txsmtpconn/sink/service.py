"""The sink as a Twisted service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from txsmtpconn.server import ServerOptions, Session
from txsmtpconn.server.listening import ListeningService
from txsmtpconn.sink.mailbox import TemporaryMailbag
from txsmtpconn.sink.rulebook import RuleBook
from txsmtpconn.sink.ruled import RuledFactory
from txsmtpconn.sink.ruletext import rule_text
from txsmtpconn.sink.shelf import Shelf
from txsmtpconn.sink.taking import Sink

#: Seconds that messages under way have to come to their end when the sink stops.
FAREWELL = 5.0


class SinkService(MultiService):
    """A sink that runs, and what belongs to it.

    Args:
        reactor: The reactor; it is stopped where the sink is to end by itself.
        options: The server's.
        endpoints: Where to listen.
        book: The rules to follow.
        users: Passwords by user name; None lets everybody in.
        shelf: Where to keep messages; None drops them.
        records: Whether to keep what is said in each session with its messages.
        max_messages: Stop once so many messages were taken.
        max_sessions: Stop once so many sessions have ended.

    Attributes:
        sink: Takes the messages.
        factory: Serves the clients.
        book, shelf: Those above.
        sessions: How many sessions have ended.

    Raises:
        ConfigError: An endpoint makes no sense.
    """

    log = Logger(namespace="txsmtpconn.sink")

    def __init__(
        self,
        reactor: Any,
        options: ServerOptions,
        endpoints: Sequence[str],
        *,
        book: RuleBook,
        users: dict[str, str] | None = None,
        shelf: Shelf | None = None,
        records: bool = False,
        max_messages: int | None = None,
        max_sessions: int | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.book = book
        self.shelf = shelf
        self.sessions = 0
        self._reactor = reactor
        self._most = (max_messages, max_sessions)
        self._ending = False
        self.sink = _CountedSink(self, users, shelf)
        self.factory = RuledFactory(reactor, self.sink, options, book, records=records)
        self.listening = ListeningService(
            reactor, self.factory, endpoints, farewell=FAREWELL, reloads=True
        )
        self.listening.setServiceParent(self)  # type: ignore[no-untyped-call]

    @property
    def _temporary(self) -> TemporaryMailbag | None:
        mailbag = None if self.shelf is None else self.shelf.mailbag
        return mailbag if isinstance(mailbag, TemporaryMailbag) else None

    def startService(self) -> None:
        """Begin."""
        if self._temporary is not None:
            self._temporary.make()
        for rule in self.book:
            self.log.info("rule: {rule}", rule=rule_text(rule))
        if self.book.by_chance:
            self.log.info("what chance decides is repeated with --seed {seed}", seed=self.book.seed)
        super().startService()  # type: ignore[no-untyped-call]

    def stopService(self) -> Deferred[None]:
        """End, and tell how much there was."""
        stopping = maybeDeferred(super().stopService)
        return stopping.addCallback(self._stopped)

    def _stopped(self, result: object) -> None:
        del result
        self.factory.cancel_pauses()
        self.log.info(
            "took {messages} messages, {octets} octets, in {sessions} sessions",
            messages=self.sink.taken,
            octets=self.sink.octets,
            sessions=self.sessions,
        )
        if self._temporary is not None:
            self._temporary.discard()

    def counted(self) -> None:
        """Stop the reactor if it is enough."""
        counts = (self.sink.taken, self.sessions)
        enough = any(
            most is not None and count >= most
            for count, most in zip(counts, self._most, strict=True)
        )
        if enough and not self._ending:
            self._ending = True
            # The reply to the last message is written first.
            self._reactor.callLater(0, self._reactor.stop)


class _CountedSink(Sink):
    """A sink that tells its service of messages and of sessions that end."""

    def __init__(
        self, service: SinkService, users: dict[str, str] | None, shelf: Shelf | None
    ) -> None:
        super().__init__(None if shelf is None else shelf.mailbag, users, shelf=shelf)
        self._service = service

    def took(self, taking: Any) -> None:
        """Count a message."""
        super().took(taking)
        self._service.counted()

    def on_close(self, session: Session) -> None:
        """Count a session."""
        del session
        self._service.sessions += 1
        self._service.counted()
