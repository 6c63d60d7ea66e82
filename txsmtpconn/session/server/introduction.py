"""XCLIENT and XFORWARD: a trusted client speaks for one of its own.

XCLIENT says "take me for this one": everything starts anew, down to the greeting, and what is
allowed from then on is what *that* client may. XFORWARD says "the next message comes from this
one": it changes nothing but what is known. Postfix describes both in READMEs of their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from txsmtpconn.session.server import replies
from txsmtpconn.session.server.dialogue import Answered, refuses
from txsmtpconn.session.server.events import ClientIntroduced, Connected
from txsmtpconn.session.server.intake import MailDataIntake
from txsmtpconn.session.server.tables import Phase, Reading
from txsmtpconn.wire.attributes import parse_attributes
from txsmtpconn.wire.errors import CommandError
from txsmtpconn.wire.reply import Reply


class Introductions(MailDataIntake):
    """What a session is told of clients that it does not see."""

    __slots__ = ()

    def _xclient(self, argument: bytes, now: float) -> None:
        try:
            told = parse_attributes(argument, self.rules.xclient)
        except CommandError as error:
            self._refuse(error.reply)
        else:
            self._ask(ClientIntroduced({**self.introduced, **told}))

    def _introduced(self, question: ClientIntroduced, reply: Reply | None, now: float) -> None:
        if reply is not None and refuses(reply):
            self._refuse(reply)
            return
        self._end_transaction()
        self.introduced = question.attributes
        self.phase = Phase.HELLO
        self.identity = question.attributes.get("LOGIN")
        self.hello_name, self.extended = "", False
        self._greeted, self._greet_at = False, now
        self.reading = Reading.GREETING
        self._ask(Connected())

    def _xforward(self, argument: bytes, now: float) -> None:
        try:
            told = parse_attributes(argument, self.rules.xforward)
        except CommandError as error:
            self._refuse(error.reply)
        else:
            self.forwarded = {**self.forwarded, **told}
            self._say(replies.OK)

    ANSWERED: ClassVar[Answered] = {**MailDataIntake.ANSWERED, ClientIntroduced: _introduced}

    #: The verbs, and who carries them out. They are no SMTP, so the parser does not know them.
    _PRIVATE: ClassVar[Mapping[str, Callable[[Any, bytes, float], None]]] = {
        "XCLIENT": _xclient,
        "XFORWARD": _xforward,
    }
