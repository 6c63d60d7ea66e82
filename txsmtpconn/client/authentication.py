"""`login()`: which SASL mechanism, the dialogue, and what its end means.

Credentials are guarded twice.  They never leave over a connection that is not under TLS, unless the
caller insists, the loopback included: who listens on a port of this machine is anybody's guess.
And they are offered once: another mechanism is tried only where the server refused the mechanism
itself (504, 534), before the dialogue has begun.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

from twisted.internet.defer import Deferred

from txsmtpconn.client.calls import restated
from txsmtpconn.client.credentials import SECRETLESS, Credentials
from txsmtpconn.client.line import Line
from txsmtpconn.errors import (
    AuthenticationError,
    ConnectionLostError,
    NoCredentialsError,
    ProtocolError,
    SMTPError,
    printable,
)
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.net.channel import channel_bindings, has_own_certificate
from txsmtpconn.sasl import (
    Channel,
    ClientMechanism,
    Mechanism,
    SASLError,
    Secret,
    choose,
    may_try_another,
    offers_binding,
)
from txsmtpconn.session.client.transaction import Authenticate
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.reply import Reply

#: RFC 4954 section 4: an initial response goes with AUTH only if the command stays within the
#: length of RFC 5321 section 4.5.3.1.4; a longer one waits for the empty challenge.
_COMMAND_OCTETS = 512


class Login:
    """One call of `login()`.

    Args:
        line: The connection.
        credentials: What to log in with, if anything.
        preferred: The mechanism that the caller wants.
        force: Log in even if the server offers no AUTH.
        allow_insecure: Log in even in clear.
        host: The server's name, and its port: some mechanisms tell whom they talk to.
        port: 0 where there is none.

    Attributes:
        deferred: Fires with the reply, 235.
    """

    deferred: Deferred[Reply] | None
    _operation: Authenticate | None = None
    _stepper: ClientMechanism | None = None
    _violation: str | None = None

    def __init__(
        self,
        line: Line,
        credentials: Credentials | None,
        *,
        preferred: str | None,
        force: bool,
        allow_insecure: bool,
        host: str = "",
        port: int = 0,
    ) -> None:
        self._line = line
        self._host = host
        self._port = port
        self._credentials = credentials
        self._preferred = preferred
        self._force = force
        self._allow_insecure = allow_insecure
        self._refused: set[str] = set()
        self.deferred = Deferred(self._cancel)

    # -- its turn

    def start(self) -> bool:
        """Begin the dialogue; what was called after `login()` waits for its end."""
        objection = self._objection()
        if objection is not None:
            self.fail(objection)
            return True
        self._try_mechanism(None)
        return self.deferred is None

    def fail(self, cause: SMTPError) -> None:
        """End the call without success."""
        deferred, self.deferred = self.deferred, None
        if deferred is not None:
            deferred.errback(restated(cause))

    def _objection(self) -> SMTPError | None:
        credentials, session = self._credentials, self._line.session
        if credentials is None:
            return NoCredentialsError("there are no credentials to log in with", command="API")
        if not self._is_complete(credentials):
            return AuthenticationError("the credentials are not complete", command="API")
        if self._line.over:
            return ConnectionLostError("the connection is closed", command="API")
        if session.authenticated:
            return AuthenticationError("this connection is authenticated already", command="API")
        if not session.secure and not self._allow_insecure:
            return AuthenticationError(
                "credentials are not sent over a connection without TLS"
                " (the option allow_insecure_auth allows it)",
                command="API",
            )
        if not session.extensions.auth and not self._force:
            return AuthenticationError("the server does not offer authentication", command="API")
        return None

    def _is_complete(self, credentials: Credentials) -> bool:
        """Tell whether there is all that a mechanism may need, be it only a TLS certificate."""
        if credentials.complete or _secret_of(credentials) is not Secret.NONE:
            return credentials.complete
        named = credentials.mechanism or self._preferred
        if named is not None:
            return named in SECRETLESS
        return self._line.session.secure and has_own_certificate(self._line.transport)

    def _channel(self) -> Channel:
        session, transport = self._line.session, self._line.transport
        return Channel(
            self._host,
            self._port,
            channel_bindings(transport, server=False) if session.secure else {},
            plus_offered=offers_binding(session.extensions.auth),
            certificate=session.secure and has_own_certificate(transport),
        )

    # -- the dialogue

    def _try_mechanism(self, refusal: Reply | None) -> None:
        """Begin a dialogue with the best mechanism that the server has not refused yet."""
        credentials = self._credentials
        assert credentials is not None
        offered, channel = self._line.session.extensions.auth, self._channel()
        try:
            mechanism = choose(
                offered,
                _secret_of(credentials),
                preferred=credentials.mechanism or self._preferred,
                authzid=bool(credentials.authzid),
                refused=self._refused,
                channel=channel,
            )
            if mechanism is None:
                self._end(self._nothing_fits(offered, refusal))
                return
            stepper, initial = self._step_in(mechanism, channel)
        except LocalProtocolError as reason:
            # Their texts name a part of the credentials and never show it.
            self._end(AuthenticationError(str(reason), command="API"))
            return
        self._stepper = stepper
        secrets = (credentials.password, credentials.access_token)
        self._operation = Authenticate(
            mechanism.name,
            initial,
            secrets=tuple(secret.encode() for secret in secrets if secret),
        )
        self._operation.tag = self
        self._line.take(self._line.session.submit(self._operation))

    def _step_in(
        self, mechanism: Mechanism, channel: Channel
    ) -> tuple[ClientMechanism, bytes | None]:
        """Return a stepper, and what it says with the AUTH command."""
        credentials = self._credentials
        assert credentials is not None
        secret = credentials.access_token or credentials.password or ""
        given = credentials.user or "", secret, credentials.authzid, channel
        stepper = mechanism.start(*given)
        initial = stepper.initial()
        if initial is not None:
            octets = len("AUTH  \r\n") + len(mechanism.name) + len(b64encode(initial))
            if octets > _COMMAND_OCTETS:
                return mechanism.start(*given), None
        return stepper, initial

    def challenged(self, challenge: bytes) -> None:
        """Answer a challenge, or give the dialogue up where it breaks the mechanism's rules."""
        assert self._stepper is not None
        response: bytes | None = None
        try:
            response = self._stepper.step(challenge)
        except SASLError as reason:
            self._violation = str(reason)
        self._line.take(self._line.session.respond(response))

    def operation_ended(self, reply: Reply | None, error: SMTPError | None) -> None:
        """Take the end of a dialogue: a success, another mechanism, or a failure."""
        operation, stepper = self._operation, self._stepper
        self._operation = self._stepper = None
        if self.deferred is None or operation is None or stepper is None:
            return
        command = f"AUTH {operation.mechanism}"
        if error is not None or reply is None:
            self._end(error or AuthenticationError("there was no reply", command=command))
        elif reply.code == 235:
            self._succeed(reply, stepper, command)
        elif self._violation is not None:
            self._end(AuthenticationError(self._violation, reply=reply, command=command))
        elif operation.rounds == 0 and may_try_another(reply.code):
            self._refused.add(operation.mechanism)
            self._try_mechanism(reply)
        else:
            text = "the server refused the credentials"
            if stepper.failure:
                text += f" ({printable(stepper.failure)})"
            self._end(AuthenticationError(text, reply=reply, command=command))

    def _succeed(self, reply: Reply, stepper: ClientMechanism, command: str) -> None:
        if not _is_over(stepper, reply):
            # Whoever calls this a success did not look at the credentials, or is not the server.
            text = "the server reported success before the dialogue was complete"
            error = ProtocolError(text, reply=reply, command=command)
            self._end(error)
            self._line.end(error)
            return
        deferred, self.deferred = self.deferred, None
        self._line.leave(self)
        if deferred is not None:
            deferred.callback(reply)

    def _nothing_fits(self, offered: tuple[str, ...], refusal: Reply | None) -> SMTPError:
        if refusal is not None:
            return AuthenticationError(
                "the server refused the authentication mechanism", reply=refusal, command="AUTH"
            )
        names = printable(", ".join(offered)[:200])
        return AuthenticationError(
            f"none of the server's mechanisms fits the credentials: {names}", command="API"
        )

    # -- its end

    def _end(self, error: SMTPError) -> None:
        self.fail(error)
        self._line.leave(self)

    def _cancel(self, _: Deferred[Any]) -> None:
        cause = SendCancelled("the login was cancelled", command="API")
        operation = self._operation
        self.fail(cause)
        if operation is not None and not operation.ended:
            self._line.take(self._line.session.withdraw(operation, cause))
        self._line.leave(self)


def _secret_of(credentials: Credentials) -> Secret:
    if credentials.access_token is not None:
        return Secret.TOKEN
    return Secret.NONE if credentials.password is None else Secret.PASSWORD


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
        except (SASLError, ValueError):
            return False
    return stepper.done and stepper.failure is None
