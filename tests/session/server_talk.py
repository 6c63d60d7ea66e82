"""One server session, a hand that plays its client, and one that plays the application."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from txsmtpconn.session.server import events
from txsmtpconn.session.server.rules import ServerRules
from txsmtpconn.session.server.session import ServerSession
from txsmtpconn.wire.reply import Reply

#: What an application that has not made up its mind answers.
LATER = object()

QUESTIONS = (
    events.Connected,
    events.Secured,
    events.ClientIntroduced,
    events.MailReceived,
    events.RcptReceived,
    events.DataStarted,
    events.DataEnded,
)
AUTH_QUESTIONS = (events.AuthStarted, events.AuthContinued)

ENVELOPE = b"EHLO me.test\r\nMAIL FROM:<s@x.test>\r\nRCPT TO:<r@y.test>\r\n"
OPENING = ENVELOPE + b"DATA\r\n"


class Client:
    """Talks to a session whose application consents to all, unless told otherwise.

    Args:
        decide: Given a question, what the application answers: None, a Reply, or LATER.
        consents: Kinds of question that nobody is asked.
        **rules: Those of `ServerRules`.

    Attributes:
        events: All events so far.
        messages: The content of messages that came to their end.
        refused: Replies of `DataRefused` events.
        log: The lines that the trace saw: direction's value, line, secret.
    """

    def __init__(
        self,
        decide: Callable[[events.Event], Any] | None = None,
        *,
        tls: bool = False,
        consents: frozenset[type] = frozenset(),
        **rules: Any,
    ) -> None:
        rules.setdefault("name", "mx.test")
        self.now = 0.0
        self.events: list[events.Event] = []
        self.messages: list[bytes] = []
        self.refused: list[Reply] = []
        self.log: list[tuple[str, bytes, bool]] = []
        self._decide = decide or (lambda _: None)
        self._content = b""
        self._patience, self._armed_for = inf, -inf
        self.session = ServerSession(
            ServerRules(**rules),
            consents=consents,
            trace=lambda way, line, _: self.log.append((way.value, line, _)),
        )
        self.session.connection_made(self.now, implicit_tls=tls)
        self.hears()

    def hears(self) -> bytes:
        """Let the application act; return what the session says to the client."""
        while (event := self.session.next_event(self.now)) is not None:
            self.events.append(event)
            match event:
                case events.DataStarted():
                    self._content = b""
                case events.DataReceived():
                    self._content += event.data
                case events.DataEnded():
                    self.messages.append(self._content)
                case events.DataRefused():
                    self.refused.append(event.reply)
                case _:
                    pass
            if isinstance(event, QUESTIONS):
                answer = self._decide(event)
                if isinstance(answer, list):
                    self.session.reply_each(answer, self.now)
                elif answer is not LATER:
                    self.session.reply(answer, self.now)
        self.said = self.session.data_to_send()
        self._check_timer()
        return self.said

    def _check_timer(self) -> None:
        """A timer that is armed anew only when the session's patience falls is never late."""
        deadline = self.session.next_deadline()
        if self.session.patience < self._patience:
            self._patience, self._armed_for = self.session.patience, deadline
        assert deadline >= self._armed_for

    def says(self, octets: bytes, *, cut: int = 0) -> bytes:
        """Say something, in pieces of `cut` octets if that is not 0; return what comes back."""
        heard = b""
        step = cut or len(octets) or 1
        for start in range(0, len(octets), step):
            self.session.receive_data(octets[start : start + step], self.now)
            heard += self.hears()
        return heard

    def answers(self, reply: Reply | None) -> bytes:
        """Let the application answer the question that it put off."""
        self.session.reply(reply, self.now)
        return self.hears()

    def waits(self, seconds: float) -> bytes:
        """Let time pass, and the timer fire if it is due."""
        self.now += seconds
        if self.now >= self._armed_for:
            self._patience, self._armed_for = inf, -inf
        self.session.handle_timer(self.now)
        return self.hears()

    def seen(self, kind: type) -> list[Any]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


def codes(heard: bytes) -> list[int]:
    """Return the codes of replies, one for each reply."""
    return [int(line[:3]) for line in heard.splitlines() if line[3:4] != b"-"]
