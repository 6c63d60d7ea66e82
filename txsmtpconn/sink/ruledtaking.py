"""One message on its way through the rules to whoever takes it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from txsmtpconn.envelope import Envelope
from txsmtpconn.server import Session, SMTPRejection
from txsmtpconn.server.hooks import MessageSink, settled
from txsmtpconn.sink.ruledsession import Dropped, RuledProtocol
from txsmtpconn.sink.rules import Delay, Drop, Effect, Reject


class RuledTaking:
    """A message sink that asks the rules about CONTENT and MESSAGE before another takes all.

    Where the other has `finish_for`, that is called in place of `finish` with the recipients that
    no rule has refused: in LMTP those are not always all of the envelope's.

    Args:
        protocol: Carries out the rules.
        session: Whose message it is.
        envelope: Its envelope.
        taker: Takes the message.
    """

    def __init__(
        self, protocol: RuledProtocol, session: Session, envelope: Envelope, taker: MessageSink
    ) -> None:
        self._protocol = protocol
        self._taker = taker
        self._rcpt_to = [each.address for each in envelope.recipients]
        self._who = concerned(session, envelope)
        self._octets = 0
        self._producer: Any = None
        self._pause: Deferred[None] | None = None
        self._over = False
        struck = protocol.struck("CONTENT", self._who)
        self._ahead = sorted(
            ((rule.after, effect) for rule, effect in struck), key=lambda each: each[0]
        )
        if not self._ahead:
            self.write = taker.write  # type: ignore[method-assign]  # nothing stands in between

    # -- the mail data

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Know what to pause, and let the other know."""
        self._producer = producer
        register = getattr(self._taker, "registerProducer", None)
        if register is not None:
            register(producer, streaming)

    def unregisterProducer(self) -> None:
        """Pause nothing any more."""
        self._producer = None
        unregister = getattr(self._taker, "unregisterProducer", None)
        if unregister is not None:
            unregister()

    def write(self, data: bytes) -> None:
        """Hand on octets, until a rule says otherwise."""
        if self._over:
            return
        self._octets += len(data)
        self._taker.write(data)
        if self._pause is None:
            self._proceed()

    def _proceed(self) -> None:
        """Let the rules have their way whose time has come."""
        while self._ahead and self._ahead[0][0] <= self._octets:
            _, effect = self._ahead.pop(0)
            match effect:
                case Delay():
                    self._hold(effect.seconds)
                    return
                case Reject():
                    self._over = True
                    self._protocol.interrupt(effect.reply)
                    return
                case Drop():
                    self._over = True
                    self._protocol.drop(reset=effect.reset)
                    return

    def _hold(self, seconds: float) -> None:
        self._producer.pauseProducing()
        pause = self._pause = self._protocol.factory.pause(seconds)
        pause.addCallbacks(self._released, lambda failure: failure.trap(CancelledError))

    def _released(self, result: None) -> None:
        del result
        self._pause = None
        self._proceed()
        if self._pause is None and self._producer is not None:
            self._producer.resumeProducing()

    def abort(self, reason: Exception) -> None:
        """Forget the message."""
        if self._pause is not None:
            self._pause.cancel()
        self._over = True
        self._taker.abort(reason)

    # -- its end

    def finish(self) -> Any:
        """Have the message taken, unless a rule says otherwise; in LMTP, for each recipient."""
        if self._over:
            # The end had come already when a rule broke off the connection before it.
            self._taker.abort(Dropped())
            raise Dropped
        if self._protocol.factory.options.lmtp:
            return self._ended(self._finish_for_each())
        effects = self._protocol.strike("MESSAGE", self._who)
        return self._ended(self._finish(effects)) if effects else self._take(self._rcpt_to)

    async def _ended(self, finishing: Any) -> Any:
        """Have the message forgotten where nobody takes it."""
        try:
            return await finishing
        except (SMTPRejection, CancelledError) as reason:
            if not self._over:
                self._taker.abort(reason)
            raise

    async def _finish(self, effects: Sequence[Effect]) -> Any:
        await self._carry_out(effects)
        return await answer_of(self._take(self._rcpt_to))

    async def _finish_for_each(self) -> Any:
        common = {role: names for role, names in self._who.items() if role != "rcpt"}
        await self._carry_out(self._protocol.strike("MESSAGE", common))
        refusals: list[SMTPRejection | None] = []
        for address in self._rcpt_to:
            who = {**common, "rcpt": [address]}
            try:
                await self._carry_out(self._protocol.strike("MESSAGE", who, for_each=True))
            except Dropped:
                raise
            except SMTPRejection as refusal:
                refusals.append(refusal)
            else:
                refusals.append(None)
        taken = [
            address
            for address, refusal in zip(self._rcpt_to, refusals, strict=True)
            if refusal is None
        ]
        if not taken:
            self._taker.abort(SMTPRejection(554, "5.7.1", "refused for every recipient"))
            return refusals
        answer = await answer_of(self._take(taken))
        if not isinstance(answer, Sequence):
            answer = [answer] * len(taken)
        if len(answer) == len(taken) < len(refusals):
            # It knows of those only who were left to it.
            left = iter(answer)
            answer = [next(left) if refusal is None else None for refusal in refusals]
        if len(answer) != len(refusals):
            return answer  # the server objects to it
        return [mine or its for mine, its in zip(refusals, answer, strict=True)]

    async def _carry_out(self, effects: Sequence[Effect]) -> None:
        last = effects[-1] if effects else None
        if isinstance(last, Drop) and last.taken:
            await self._protocol.carry_out(effects[:-1])
            await answer_of(self._take(self._rcpt_to))
            effects = effects[-1:]
        await self._protocol.carry_out(effects)

    def _take(self, rcpt_to: Sequence[str]) -> Any:
        self._over = True
        finish_for = getattr(self._taker, "finish_for", None)
        return self._taker.finish() if finish_for is None else finish_for(rcpt_to)


def concerned(session: Session, envelope: Envelope) -> dict[str, Collection[str]]:
    """Name those whom a message concerns, as rules know them."""
    who: dict[str, Collection[str]] = {
        "mail_from": [envelope.mail_from],
        "rcpt": [each.address for each in envelope.recipients],
    }
    if session.identity is not None:
        who["user"] = [session.identity]
    return who


async def answer_of(result: Any) -> Any:
    """Return what an application says, now or later."""
    result = settled(result)
    return await result if isinstance(result, Deferred) else result
