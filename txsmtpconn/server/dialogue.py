"""The SASL dialogues of one session, and the question whether to believe what they end in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from txsmtpconn.sasl import (
    SERVER_FIRST,
    SERVER_MECHANISMS,
    Challenge,
    Channel,
    Finished,
    NotProved,
    SASLError,
    SecretWanted,
    ServerMechanism,
    ServerStep,
    offers_binding,
)
from txsmtpconn.server.authentication import NotBelieved, identity_of
from txsmtpconn.server.consultation import Consultation
from txsmtpconn.server.guessing import Guessing
from txsmtpconn.server.hooks import Hooks
from txsmtpconn.server.session import Session
from txsmtpconn.session.server import replies
from txsmtpconn.session.server.events import AuthContinued, AuthStarted
from txsmtpconn.session.server.session import ServerSession
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.reply import Reply


class Dialogue:
    """Leads the mechanisms through their steps, and asks the application.

    Args:
        smtp: The session that the dialogue is part of.
        session: What hooks see of it.
        hooks: The application.
        clock: Where the time comes from.
        application: Asks it.
        guessing: Who has failed before.
    """

    def __init__(
        self,
        smtp: ServerSession,
        session: Session,
        hooks: Hooks,
        clock: IReactorTime,
        application: Consultation,
        guessing: Guessing,
    ) -> None:
        self._smtp = smtp
        self._session = session
        self._hooks = hooks
        self._clock = clock
        self._application = application
        self._guessing = guessing
        self._mechanism: ServerMechanism | None = None
        # What the application is being asked to believe.
        self._claim: Finished | None = None
        # What to reply once the client has acknowledged that it is not believed.
        self._refusal: Reply | None = None

    def begin(self, mechanism: str, initial: bytes | None) -> None:
        """Begin a dialogue; there is one at a time."""
        self.abandon()
        if self._guessing.refuses(self._session.remote_address):
            self._reply(replies.GUESSED_TOO_OFTEN)
            return
        if initial is not None and mechanism in SERVER_FIRST:
            # RFC 4954 section 4.
            self._reply(replies.AUTH_OUT_OF_TURN)
            return
        self._mechanism = stepper = SERVER_MECHANISMS[mechanism](self._channel())
        self._take(partial(stepper.step, initial))

    def go_on(self, response: bytes) -> None:
        """Take the client's answer to a challenge."""
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            self._fail(refusal)
            return
        assert self._mechanism is not None
        self._take(partial(self._mechanism.step, response))

    def abandon(self) -> None:
        """Forget the dialogue under way, if there is one."""
        self._mechanism = self._claim = self._refusal = None

    def declined(self, reply: Reply) -> bool:
        """Take note that the application refuses.

        Returns:
            Whether that is a failed authentication: its reply is then seen to here.
        """
        claim = self._claim
        self.abandon()
        if (
            not isinstance(self._smtp.question, AuthStarted | AuthContinued)
            or reply.code != replies.AUTH_FAILED.code
        ):
            return False
        if claim is None or claim.refusal is None:
            self._fail(reply)
        else:
            # The mechanism wants a challenge before the reply.
            self._refusal = reply
            self._smtp.challenge(claim.refusal, self._clock.seconds())
        return True

    # -- steps

    def _take(self, step: Callable[[], ServerStep]) -> None:
        """Take a step, and do what it comes to."""
        try:
            outcome = step()
        except SASLError:
            self._refuse(replies.AUTH_MALFORMED)
        except NotProved:
            self.abandon()
            self._fail(replies.AUTH_FAILED)
        except LocalProtocolError:
            # The application's fault: it was asked for one thing and gave another.
            self._refuse(self._application.refusal_of(Failure()))
        else:
            match outcome:
                case Challenge():
                    self._smtp.challenge(outcome.octets, self._clock.seconds())
                case SecretWanted():
                    self._ask_for_secret(outcome)
                case Finished():
                    self._ask_about(outcome)

    def _ask_for_secret(self, wanted: SecretWanted) -> None:
        mechanism, on_auth_secret = self._mechanism, self._hooks.on_auth_secret
        assert mechanism is not None
        if on_auth_secret is None:
            assert wanted.claim is not None
            self._ask_about(wanted.claim)
            return
        self._application.ask(
            on_auth_secret,
            self._session,
            wanted.authcid,
            mechanism.name.removesuffix("-PLUS"),
            then=lambda secret: self._take(partial(wanted.go_on, secret)),
        )

    def _ask_about(self, claim: Finished) -> None:
        self._claim = claim
        if self._hooks.on_auth is not None:
            self._application.ask(
                self._hooks.on_auth, self._session, claim, then=partial(self._judge, claim)
            )
        else:
            # Nobody offers a mechanism that needs to be asked about without that hook.
            self._judge(claim, claim.verified)

    def _judge(self, claim: Finished, answer: object) -> None:
        try:
            identity = identity_of(claim, answer)
        except NotBelieved as rejection:
            if not self.declined(rejection.reply):
                self._reply(rejection.reply)
            return
        self.abandon()
        if self._smtp.question is not None:
            self._smtp.authenticated(identity, self._clock.seconds())

    # -- the session

    def _channel(self) -> Channel:
        tls = self._session.tls
        if tls is None:
            return Channel()
        return Channel(
            bindings=tls.bindings,
            plus_offered=offers_binding(self._smtp.rules.auth_mechanisms),
            certificate=tls.verified,
        )

    def _fail(self, reply: Reply) -> None:
        """Refuse who could not prove who it is; the more often, the later."""
        seconds = self._guessing.failed(self._session.remote_address)
        if seconds > 0:
            pause = partial(deferLater, self._clock, seconds)
            self._application.ask(pause, then=lambda _: self._reply(reply))
        else:
            self._reply(reply)

    def _refuse(self, reply: Reply) -> None:
        self.abandon()
        self._reply(reply)

    def _reply(self, reply: Reply) -> None:
        if self._smtp.question is not None:
            self._smtp.reply(reply, self._clock.seconds())
