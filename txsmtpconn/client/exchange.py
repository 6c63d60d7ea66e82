"""One try to authenticate, by a mechanism: from AUTH to what the server makes of it."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred, DeferredQueue
from twisted.internet.threads import deferToThreadPool

from txsmtpconn.client.line import Line
from txsmtpconn.errors import (
    AuthenticationError,
    ConfigError,
    ProtocolError,
    SMTPError,
    printable,
)
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.sasl import (
    Claim,
    ClientMechanism,
    LibraryMissing,
    Mechanism,
    SASLError,
    may_try_another,
)
from txsmtpconn.session.client.events import ChallengeReceived
from txsmtpconn.session.client.transaction import Authenticate, Operation
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.reply import Reply

#: RFC 4954 section 4: an initial response goes with AUTH only if the command stays within the
#: length of RFC 5321 section 4.5.3.1.4; a longer one waits for the empty challenge.
_COMMAND_OCTETS = 512

_T = TypeVar("_T")


class MechanismRefused(Exception):
    """The server does not want this mechanism, and has not looked at the credentials.

    Args:
        reply: What it said.
    """

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.code)
        self.reply = reply


class Exchange(Protocol):
    """One way to authenticate, while it lasts.

    Attributes:
        name: The mechanism's.
        refused: Whether the server has looked at the credentials and does not believe them.
        deceived: Whether it claimed a success that cannot be one.
    """

    name: str
    deceived: bool

    @property
    def refused(self) -> bool: ...

    async def run(self) -> Reply:
        """Authenticate.

        Returns:
            The reply that says success.

        Raises:
            SMTPError: There is none.
            MechanismRefused: There is none, and another mechanism may be tried.
        """


class MechanismExchange:
    """An exchange by a mechanism whose stepper knows what to say.

    Args:
        line: The connection.
        mechanism: What makes the stepper.
        claim: Of what.
        secrets: What no reply may quote, besides what is said.
        reactor: Has the threads for a stepper that may block.
    """

    refused = False
    deceived = False
    _violation: str | None = None
    _cause: Exception | None = None

    def __init__(
        self,
        line: Line,
        mechanism: Mechanism,
        claim: Claim,
        *,
        secrets: tuple[bytes, ...],
        reactor: Any,
    ) -> None:
        self.name = mechanism.name
        self._line = line
        self._mechanism = mechanism
        self._claim = claim
        self._secrets = secrets
        self._reactor = reactor
        self._heard: DeferredQueue[bytes | tuple[Reply | None, SMTPError | None]] = DeferredQueue()

    async def run(self) -> Reply:
        """Step until the server has decided."""
        stepper, initial = await self._begin()
        operation = Authenticate(self.name, initial, secrets=self._secrets)
        operation.tag = self
        line, session = self._line, self._line.session
        try:
            line.take(session.submit(operation))
            heard = await self._heard.get()
            while isinstance(heard, bytes):
                response = await self._answer(stepper, heard)
                line.take(session.respond(response))
                heard = await self._heard.get()
        finally:
            withdraw(line, operation)
        return self._judged(stepper, operation, *heard)

    # -- what the line tells

    def dialogue_event(self, event: ChallengeReceived) -> None:
        """Take a challenge."""
        self._heard.put(event.data)

    def operation_ended(self, reply: Reply | None, error: SMTPError | None) -> None:
        """Take the end."""
        self._heard.put((reply, error))

    # -- the stepper

    async def _begin(self) -> tuple[ClientMechanism, bytes | None]:
        """Make the stepper, and what it says with the AUTH command."""
        try:
            return await self._where_it_may_block(self._step_in)
        except LibraryMissing as reason:
            raise ConfigError(str(reason), command="API") from None
        except LocalProtocolError as reason:
            # Their texts name a part of the credentials and never show it.
            raise AuthenticationError(str(reason), command="API") from None
        except CancelledError:
            raise
        except Exception as reason:
            raise AuthenticationError(self._failure_of(reason), command="API") from reason

    def _step_in(self) -> tuple[ClientMechanism, bytes | None]:
        stepper = self._mechanism.start(self._claim)
        initial = stepper.initial()
        if initial is not None:
            octets = len("AUTH  \r\n") + len(self.name) + len(b64encode(initial))
            if octets > _COMMAND_OCTETS:
                return self._mechanism.start(self._claim), None
        return stepper, initial

    async def _answer(self, stepper: ClientMechanism, challenge: bytes) -> bytes | None:
        """Return the response; None gives up, where the challenge breaks the mechanism's rules."""
        try:
            return bytes(await self._where_it_may_block(lambda: stepper.step(challenge)))
        except SASLError as reason:
            self._violation = str(reason)
        except CancelledError:
            raise
        except Exception as reason:  # noqa: BLE001 - a mechanism of the caller's may raise anything
            self._violation, self._cause = self._failure_of(reason), reason
        return None

    def _failure_of(self, reason: Exception) -> str:
        return f"the mechanism {self.name} failed: {type(reason).__name__}"

    async def _where_it_may_block(self, work: Callable[[], _T]) -> _T:
        if not self._mechanism.blocks:
            return work()
        waiting: Deferred[_T] = deferToThreadPool(
            self._reactor, self._reactor.getThreadPool(), work
        )
        return await waiting

    # -- the verdict

    def _judged(
        self,
        stepper: ClientMechanism,
        operation: Authenticate,
        reply: Reply | None,
        error: SMTPError | None,
    ) -> Reply:
        command = f"AUTH {self.name}"
        if error is not None or reply is None:
            raise error or AuthenticationError("there was no reply", command=command)
        if reply.code == 235:
            if _is_over(stepper, reply):
                return reply
            # Whoever calls this a success did not look at the credentials, or is not the server.
            self.deceived = True
            text = "the server reported success before the dialogue was complete"
            raise ProtocolError(text, reply=reply, command=command)
        if self._violation is not None:
            violated = AuthenticationError(self._violation, reply=reply, command=command)
            raise violated from self._cause
        if operation.rounds == 0 and may_try_another(reply.code):
            raise MechanismRefused(reply)
        self.refused = reply.code == 535 or stepper.failure is not None
        text = "the server refused the credentials"
        if stepper.failure:
            text += f" ({printable(stepper.failure)})"
        raise AuthenticationError(text, reply=reply, command=command)


def withdraw(line: Line, operation: Operation) -> None:
    """Let go of an operation whose end nobody waits for any more; the session ends with it."""
    operation.tag = None
    if not operation.ended:
        cause = SendCancelled("the login was cancelled", command="API")
        line.take(line.session.withdraw(operation, cause))


def _is_over(stepper: ClientMechanism, reply: Reply) -> bool:
    """Tell whether a mechanism has come to its end, and a good one, with this success.

    RFC 4954 section 4 has a server that speaks last do so in a challenge. Some put it behind the
    235 instead, as other protocols do (RFC 4422 section 3.1): that is the same, but for our empty
    response to it.
    """
    if not stepper.done and stepper.failure is None:
        try:
            said = b64decode(reply.octets[-1].rpartition(b" ")[2], validate=True)
            if stepper.step(said):
                return False
        except Exception:  # noqa: BLE001 - whatever is wrong with it, it is no proof
            return False
    return stepper.done and stepper.failure is None
