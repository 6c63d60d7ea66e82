"""Holds what a session said against what the model server took."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from tests.session.model_server import ModelServer, Taken
from tests.session.model_setting import Message, Setting
from txsmtpconn.errors import SMTPError
from txsmtpconn.outcome import Delivery, RecipientOutcome
from txsmtpconn.session.client.events import SessionEnded
from txsmtpconn.session.client.transaction import Operation

_CHUNK = re.compile(rb"BDAT \d+( LAST)?\r\n")
_SERIAL = re.compile(r"id=(\d+)")


class Judgment:
    """The questions that are asked when a run is over.

    Args:
        setting: What the run was like.
        server: The server, which knows what it took.
        messages: What was sent, and what was said of it.
        written: All that the client handed over.
    """

    def __init__(
        self, setting: Setting, server: ModelServer, messages: list[Message], written: bytes
    ) -> None:
        self.setting, self.server, self.messages = setting, server, messages
        self.written = written
        self.complaints: list[str] = []

    def on_session(self, over: SessionEnded | None, ended: dict[Operation, int]) -> None:
        """Every operation ended once, and the session did."""
        complain = self.complaints.append
        if over is None:
            complain("the session did not end")
        for operation, times in ended.items():
            if times != 1:
                complain(f"{operation} ended {times} times")

    def on_mail(self) -> None:
        """Hold what was taken, and what was said of it, against what was sent."""
        complain = self.complaints.append
        if not self.server.lied:
            self.complaints += self.server.breaches
        by_sender = {message.sender: message for message in self.messages}
        for taken in self.server.taken:
            owner = by_sender.get(taken.sender or "")
            if owner is None and taken.sender is not None:
                complain(f"taken under a sender unknown: {taken}")
            elif owner is not None and taken.recipient not in owner.recipients:
                complain(f"taken under another sender: {taken}")
            elif owner is not None and not self.may_be_taken(owner, taken):
                complain(f"taken with another content: {taken}")
            elif owner is None and not _CHUNK.search(self.written):
                complain(f"an end mark in answer to 354 where MAIL was refused: {taken}")
        for message in self.messages:
            if message.outcomes is not None:
                self.on_message(message, message.outcomes)

    def may_be_taken(self, owner: Message, taken: Taken) -> bool:
        """Whether the content is the message's, or lacks only what the server refused."""
        claims = {outcome.delivery for outcome in owner.outcomes or ()}
        return self.is_whole(owner, taken) or (
            self.setting.manners.forgets_refused_chunks
            and (self.server.lied or Delivery.ACCEPTED not in claims)
        )

    def is_whole(self, owner: Message, taken: Taken) -> bool:
        """Whether all of the message was taken, and under its sender."""
        return taken.sender == owner.sender and taken.content.rstrip(b"\r\n") == owner.canonical

    def on_message(self, message: Message, outcomes: list[RecipientOutcome]) -> None:
        """Hold what was said of one message against the truth."""
        if [outcome.address for outcome in outcomes] != message.recipients:
            self.complaints.append(f"{message.sender}: recipients out of order")
        properly = Counter(
            each.recipient for each in self.server.taken if each.sender == message.sender
        )
        # An odd server may have taken what it refused, under no sender or without a part. Who
        # hears only the refusal believes it; who hears more must doubt.
        believed = {each.address for each in outcomes if _of_all(each.error)}
        if message.contradicted:
            believed = set()
        taken = Counter(
            each.recipient
            for each in self.server.taken
            if message.last_line in each.content or each.sender == message.sender
            if self.is_whole(message, each) or each.recipient not in believed
        )
        claims = Counter(
            outcome.address for outcome in outcomes if outcome.delivery is Delivery.ACCEPTED
        )
        doubts = Counter(
            outcome.address for outcome in outcomes if outcome.delivery is Delivery.IN_DOUBT
        )
        if not self.server.lied:
            for address in set(message.recipients):
                if claims[address] > properly[address]:
                    self.complaints.append(f"{address} ACCEPTED, and was not taken")
                if claims[address] + doubts[address] < taken[address]:
                    self.complaints.append(f"{address} was taken, and the session denies it")
            for outcome in outcomes:
                self.on_reply(message, outcome)
        if doubts and message.last_line not in _CHUNK.sub(b"", self.written):
            self.complaints.append(f"{message.sender} IN_DOUBT, and its end never left")
        for outcome in outcomes:
            if (outcome.error is None) != (outcome.delivery is Delivery.ACCEPTED):
                self.complaints.append(f"{outcome}: error and delivery disagree")
        if self.setting.tame:
            self.on_calm(message, outcomes)
        self.on_neighbour(message, outcomes)

    def on_reply(self, message: Message, outcome: RecipientOutcome) -> None:
        """A reply that decided must have been about this message, and this recipient."""
        if outcome.delivery not in (Delivery.ACCEPTED, Delivery.REJECTED):
            return
        found = _SERIAL.search(str(outcome.reply))
        said = self.server.said[int(found[1])] if found else None
        if said is None:
            self.complaints.append(f"{outcome.address}: {outcome.delivery} without a reply")
        elif said.sender not in (None, message.sender) or said.recipient not in (
            None,
            outcome.address,
        ):
            self.complaints.append(f"{outcome.address} of {message.sender}: told by {said}")

    def on_calm(self, message: Message, outcomes: Iterable[RecipientOutcome]) -> None:
        """Where only refusals happen, every recipient has a verdict, if a session came about."""
        begun = b"MAIL FROM:<" + message.sender.encode() in self.written
        for outcome in outcomes:
            if (
                begun
                and not self.server.struck
                and outcome.delivery
                not in (
                    Delivery.ACCEPTED,
                    Delivery.REJECTED,
                )
            ):
                self.complaints.append(f"{outcome.address} {outcome.delivery} in calm weather")
            if outcome.delivery is not Delivery.ACCEPTED and not self.setting.manners.refusals:
                self.complaints.append(f"{outcome.address} {outcome.delivery} for no reason")

    def on_neighbour(self, message: Message, outcomes: Iterable[RecipientOutcome]) -> None:
        """Taking one message back harms none that was before it."""
        setting = self.setting
        others = (
            setting.manners.faults, setting.manners.refusals, setting.deaths, setting.lateness,
            setting.interruptions, setting.bad_sources,
        )  # fmt: skip
        narrow = setting.manners.size < 1000
        if any(others) or narrow or (setting.row.lmtp and setting.manners.goes_ahead_alone):
            return
        before = self.messages[: self.messages.index(message) + 1]
        if any(each.withdrawn for each in before):
            return
        for outcome in outcomes:
            if outcome.delivery is not Delivery.ACCEPTED:
                self.complaints.append(f"{outcome.address} {outcome.delivery}: a later one's fault")


def _of_all(error: SMTPError | None) -> bool:
    """Whether an error is a refusal of the sender or of mail data, and so of every recipient."""
    if error is None or error.delivery is not Delivery.REJECTED:
        return False
    return error.command in ("MAIL FROM", "BDAT")
