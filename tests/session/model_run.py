"""Runs of a client session against the model server, and what is asked of each.

A network lies between the two: it cuts what it carries anywhere, carries it at any time, and
fails. Besides, operations are withdrawn, sources of mail data fail, and deadlines pass. At the end
of a run every claim of the session is held against what the server took.

``python -m tests.session.model_run 20000`` plays that many runs of each row. A complaint names row
and seed, and ``python -m tests.session.model_run --show ROW SEED`` plays that run with its talk.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.session.model_server import Manners, ModelServer, Taken
from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import ConnectionLostError, SMTPError, StreamError
from txsmtpconn.outcome import Delivery, RecipientOutcome
from txsmtpconn.session.client import ClientSession
from txsmtpconn.session.dialect import LMTP, SMTP
from txsmtpconn.session.events import (
    BodyUnwanted,
    BodyWanted,
    Event,
    MarkDue,
    OperationEnded,
    SessionEnded,
    TransactionEnded,
)
from txsmtpconn.session.policy import Chunking, Pipelining, Security, Window
from txsmtpconn.session.transaction import (
    Noop,
    Operation,
    Phase,
    Quit,
    Reset,
    Transaction,
)

_CHUNK = re.compile(rb"BDAT \d+( LAST)?\r\n")
_SERIAL = re.compile(r"id=(\d+)")
_MOST_STEPS = 5_000


@dataclass(frozen=True)
class Row:
    """One way for a client to send mail."""

    lmtp: bool
    chunking: Chunking
    pipelining: Pipelining


ROWS = {
    f"{'lmtp' if lmtp else 'smtp'}-{name}": Row(lmtp, chunking, pipelining)
    for lmtp in (False, True)
    for name, chunking, pipelining in (
        ("data-off", Chunking.OFF, Pipelining.OFF),
        ("data-transaction", Chunking.OFF, Pipelining.TRANSACTION),
        ("data-full", Chunking.OFF, Pipelining.FULL),
        ("bdat-off", Chunking.ALWAYS, Pipelining.OFF),
        ("bdat-full", Chunking.ALWAYS, Pipelining.FULL),
        ("auto", Chunking.AUTO, Pipelining.FULL),
    )
}


@dataclass(frozen=True)
class Setting:
    """What a run is like: the server, the client, and how likely each step is a mishap."""

    row: Row
    manners: Manners
    window: Window
    messages: int
    deaths: float = 0.0
    withdrawals: float = 0.0
    lateness: float = 0.0
    interruptions: float = 0.0
    bad_sources: float = 0.0

    @property
    def tame(self) -> bool:
        """Whether nothing but refusals can happen, of which a sound server is capable."""
        mishaps = (self.manners.faults, self.deaths, self.withdrawals, self.lateness)
        oddities = (
            self.manners.forgets_refused_sender,
            self.manners.forgets_refused_chunks,
            self.manners.goes_ahead_alone and self.row.lmtp,
            self.manners.size < 1000,
        )
        return not any((*mishaps, self.interruptions, self.bad_sources, *oddities))

    @classmethod
    def random(cls, row: Row, rng: Random) -> Setting:
        """Throw the dice for one run: calm seas, or one trouble, or all of them."""

        def perhaps(chance: float, most: float) -> float:
            return rng.random() * most if rng.random() < chance else 0.0

        manners = Manners(
            lmtp=row.lmtp,
            pipelining=rng.random() < 0.85,
            chunking=row.chunking is not Chunking.OFF,
            ahead=row.pipelining.value,
            keeps_failed_chunks=rng.random() < 0.7,
            goes_ahead_alone=rng.random() < 0.3,
            forgets_refused_sender=rng.random() < 0.15,
            forgets_refused_chunks=rng.random() < 0.15,
            size=rng.choice((100_000, 100_000, 100)),
            archaic=not row.lmtp and rng.random() < 0.05,
            refusals=perhaps(0.7, 0.5),
            faults=perhaps(0.5, 0.15),
        )
        return cls(
            row,
            manners,
            Window(rng.choice((1, 2, 3, 16)), rng.choice((50, 300, 2_000, 500_000))),
            messages=rng.randint(1, 6) if rng.random() < 0.9 else 14,
            deaths=perhaps(0.3, 0.03),
            withdrawals=perhaps(0.3, 0.05),
            lateness=perhaps(0.2, 0.02),
            interruptions=perhaps(0.1, 0.1),
            bad_sources=perhaps(0.2, 0.5),
        )


@dataclass
class Message:
    """One message of a run, and what was said of it."""

    sender: str
    recipients: list[str]
    content: bytes
    transaction: Transaction
    chunks: list[bytes] = field(default_factory=list)
    fails: bool = False
    withdrawn: bool = False
    contradicted: bool = False  # the session heard that it was taken, after a refusal perhaps
    outcomes: list[RecipientOutcome] | None = None

    @property
    def canonical(self) -> bytes:
        """The content as it must arrive, but for a line end at its end."""
        lines = self.content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return lines.replace(b"\n", b"\r\n").rstrip(b"\r\n")

    @property
    def last_line(self) -> bytes:
        """What stands at the end of this content and nowhere else."""
        return b"end of " + self.sender.encode()


class Run:
    """One session, one server, and the network between them."""

    def __init__(self, setting: Setting, rng: Random, *, show: bool = False) -> None:
        self.setting, self.rng, self.show = setting, rng, show
        self.complaints: list[str] = []
        self.server = ModelServer(rng, setting.manners)
        self.session = ClientSession(
            name=b"client.test",
            dialect=LMTP if setting.row.lmtp else SMTP,
            security=Security.IGNORED,
            pipelining=setting.row.pipelining,
            chunking=setting.row.chunking,
            window=setting.window,
        )
        self.now = 1000.0
        self.underway = bytearray()  # from the client to the server
        self.written = bytearray()  # all that the client ever handed over
        self.messages: list[Message] = []
        self.operations: list[Operation] = []
        self.ended: Counter[Operation] = Counter()
        self.over: SessionEnded | None = None
        self.feeding: list[Message] = []
        self.due: list[Transaction] = []
        self.quit: Quit | None = None
        self.forced = False  # a deadline had to pass, or was made to

    # -- one input of the session, and the caller's duties behind it -------------------------

    def take(self, events: Sequence[Event]) -> None:
        """Act on events, submit perhaps more, and write what is to be written."""
        for event in events:
            if self.show:
                print("  *", event)  # noqa: T201 - this is what showing is
            if self.over is not None:
                self.complaints.append(f"{event} after SessionEnded")
            self.note(event)
        if events and self.over is None and self.rng.random() < 0.3:
            self.submit_next()
        data = self.session.data_to_send(self.now)
        if data:
            if self.show:
                print("C:", data)  # noqa: T201
            self.written += data
            self.underway += data
        for message in self.messages:
            held = message.transaction.hold and not message.transaction.lone_dot
            if held and message.transaction.phase is Phase.MARKED:
                self.complaints.append(f"{message.sender}: an end mark left that was held")
        undecided = sum(each.transaction.phase is Phase.MARKED for each in self.messages)
        if undecided > max(1, self.setting.window.transactions):
            self.complaints.append(f"{undecided} transactions in doubt at once")

    def note(self, event: Event) -> None:
        """Write down what an event says."""
        if isinstance(event, TransactionEnded):
            self.end(event.transaction)
            message = self.message_of(event.transaction)
            message.outcomes = event.transaction.outcomes()
            message.contradicted = event.transaction.was_accepted
            if message in self.feeding:
                self.complaints.append(f"{message.sender} ended, and its body is still wanted")
        elif isinstance(event, OperationEnded):
            self.end(event.operation)
            quitting = isinstance(event.operation, Quit)  # which needs no reply
            if event.reply is None and event.error is None and not quitting:
                self.complaints.append(f"{event.operation} ended without a reason")
        elif isinstance(event, BodyWanted):
            self.feeding.append(self.message_of(event.transaction))
        elif isinstance(event, BodyUnwanted):
            self.feeding.remove(self.message_of(event.transaction))
        elif isinstance(event, MarkDue):
            self.due.append(event.transaction)
        elif isinstance(event, SessionEnded):
            self.over = event

    def end(self, operation: Operation) -> None:
        """Count the end of an operation."""
        self.ended[operation] += 1
        if operation in self.due:
            self.due.remove(operation)
        if self.ended[operation] > 1:
            self.complaints.append(f"{operation} ended twice")

    def message_of(self, transaction: Transaction) -> Message:
        """Find the message that a transaction carries."""
        return next(each for each in self.messages if each.transaction is transaction)

    # -- what may happen ---------------------------------------------------------------------

    def submit_next(self) -> None:
        """Submit another message, or something smaller in between."""
        if len(self.messages) >= self.setting.messages:
            return
        if self.rng.random() < 0.1:
            operation: Operation = self.rng.choice((Noop, Reset))()
        else:
            message = self.compose(len(self.messages))
            self.messages.append(message)
            operation = message.transaction
        self.operations.append(operation)
        self.take(self.session.submit(operation))

    def compose(self, number: int) -> Message:
        """Write a message that is like no other of this run."""
        rng = self.rng
        sender = f"s{number}@client.test"
        recipients = [f"r{number}.{rng.randint(0, 3)}@x.test" for _ in range(rng.randint(1, 4))]
        lines = [rng.choice((b".", b"..", b".x", b"", b"text", b"x" * 70)) for _ in range(5)]
        ends = [rng.choice((b"\r\n", b"\n", b"\r")) for _ in lines]
        body = b"".join(line + end for line, end in zip(lines, ends, strict=True))
        last = rng.choice((b"", b"\r\n", b"\n"))
        content = b"Subject: %d\r\n\r\n%b\r\nend of %b%b" % (number, body, sender.encode(), last)
        streamed = rng.random() < 0.4
        transaction = Transaction(
            Envelope(sender, recipients),
            None if streamed else content,
            size=len(content) if rng.random() < 0.5 else None,
            hold=rng.random() < 0.15,
        )
        message = Message(sender, recipients, content, transaction)
        if streamed:
            message.fails = rng.random() < self.setting.bad_sources
            at = 0
            while at < len(content):
                size = rng.randint(1, 60)
                message.chunks.append(content[at : at + size])
                at += size
        return message

    def feed(self, message: Message) -> None:
        """Give the session the next chunk of a body, its end, or its failure."""
        transaction = message.transaction
        if message.fails and self.rng.random() < 0.3:
            self.take(self.session.abort_body(transaction, StreamError("the source failed")))
        elif message.chunks:
            self.take(self.session.send_body(transaction, message.chunks.pop(0), self.now))
        else:
            self.feeding.remove(message)
            self.take(self.session.end_body(transaction, self.now))

    def carry_to_server(self) -> None:
        """Let some octets arrive at the server."""
        size = self.cut(len(self.underway))
        octets = bytes(self.underway[:size])
        del self.underway[:size]
        self.server.receive(octets)
        if not self.underway and self.over is None:
            self.session.drained(self.now)

    def carry_to_client(self) -> None:
        """Let some octets arrive at the client."""
        size = self.cut(len(self.server.out))
        octets = bytes(self.server.out[:size])
        del self.server.out[:size]
        if self.show:
            print("S:", octets)  # noqa: T201
        self.take(self.session.receive_data(octets, self.now))

    def cut(self, size: int) -> int:
        """Choose how much of `size` octets passes at once."""
        return size if self.rng.random() < 0.5 else self.rng.randint(1, size)

    def lose(self) -> None:
        """Let the connection die, with any part of what is under way."""
        if self.rng.random() < 0.5 and self.server.out:
            self.carry_to_client()
        if self.over is None:
            cause = ConnectionLostError("the network failed") if self.rng.random() < 0.5 else None
            self.take(self.session.connection_lost(cause, self.now))

    def withdraw(self) -> None:
        """Take an operation back, whichever it is."""
        operation = self.rng.choice(self.operations)
        for message in self.messages:
            if message.transaction is operation and message.outcomes is None:
                message.withdrawn = True
        ended_before = operation.ended
        self.take(self.session.withdraw(operation, SMTPError("withdrawn")))
        if not ended_before and not self.ended[operation]:
            self.complaints.append(f"{operation} was withdrawn and did not end at once")

    def pass_deadline(self) -> None:
        """Let time run to the next deadline."""
        deadline = self.session.next_deadline()
        if deadline is None:
            self.complaints.append("it waits for ever: no deadline")
            self.lose()
            return
        self.forced = True
        self.now = max(self.now, deadline)
        if self.show:
            print("  now", self.now)  # noqa: T201
        self.take(self.session.handle_timer(self.now))

    # -- a whole run -------------------------------------------------------------------------

    def play(self) -> list[str]:
        """Play to the end, and tell what was wrong."""
        self.take(self.session.connection_made(self.now))
        self.server.greet()
        for _ in range(_MOST_STEPS):
            if self.over is not None:
                break
            self.now += self.rng.random() * 0.1
            self.step()
        else:
            self.complaints.append("the run did not end")
        # What the client has written still arrives, or only a part of it.
        if self.underway and self.rng.random() < 0.7:
            self.server.receive(bytes(self.underway[: self.cut(len(self.underway))]))
        late = Noop()
        self.operations.append(late)
        for event in self.session.submit(late):
            self.note(event)
        self.judge()
        return self.complaints

    def step(self) -> None:
        """Let one thing happen, and the quiet moments be used."""
        setting, rng = self.setting, self.rng
        if rng.random() < setting.deaths:
            self.lose()
        elif self.operations and rng.random() < setting.withdrawals:
            self.withdraw()
        elif rng.random() < setting.lateness:
            self.pass_deadline()
        elif self.session.idle and not (self.underway or self.server.out or self.server.closed):
            self.use_silence()
        else:
            self.go_on()

    def use_silence(self) -> None:
        """Nothing is under way: submit, be interrupted, or say goodbye."""
        if self.rng.random() < self.setting.interruptions:
            self.server.interrupt()
            while self.server.out and self.over is None:
                self.carry_to_client()
            if self.over is None or self.over.cause is None:
                self.complaints.append("words that nobody asked for were taken")
        elif len(self.messages) < self.setting.messages:
            self.submit_next()
        elif self.quit is None:
            self.quit = Quit()
            self.operations.append(self.quit)
            self.take(self.session.submit(self.quit))
        else:
            self.pass_deadline()

    def go_on(self) -> None:
        """Let the network carry something, or the caller do his part."""
        steps = []
        if self.underway:
            steps += [self.carry_to_server] * 4
        if self.server.out:
            steps += [self.carry_to_client] * 4
        wanted = [each for each in self.feeding if self.session.wants_body(each.transaction)]
        wanted += [each for each in self.feeding if not each.chunks]
        if wanted:
            steps += [lambda: self.feed(self.rng.choice(wanted))] * 3
        if self.due:
            steps.append(self.release)
        if len(self.messages) < self.setting.messages:
            steps.append(self.submit_next)
        if steps:
            self.rng.choice(steps)()
        elif self.server.closed:
            self.take(self.session.connection_lost(None, self.now))
        else:
            if not (self.server.silent or self.server.lied):
                self.complaints.append("it waits, and nothing is owed to it")
            self.pass_deadline()

    def release(self) -> None:
        """Let an end mark leave that was held back."""
        self.session.release_mark(self.due.pop(0))
        self.take(())

    # -- judgment ----------------------------------------------------------------------------

    def judge(self) -> None:
        """Hold every claim against the truth."""
        complain = self.complaints.append
        if self.over is None:
            complain("the session did not end")
        for operation in self.operations:
            if self.ended[operation] != 1:
                complain(f"{operation} ended {self.ended[operation]} times")
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
                self.judge_message(message, message.outcomes)

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

    def judge_message(self, message: Message, outcomes: list[RecipientOutcome]) -> None:
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
                self.judge_reply(message, outcome)
        if doubts and message.last_line not in _CHUNK.sub(b"", self.written):
            self.complaints.append(f"{message.sender} IN_DOUBT, and its end never left")
        for outcome in outcomes:
            if (outcome.error is None) != (outcome.delivery is Delivery.ACCEPTED):
                self.complaints.append(f"{outcome}: error and delivery disagree")
        if self.setting.tame:
            self.judge_tame(message, outcomes)
        self.judge_neighbour(message, outcomes)

    def judge_reply(self, message: Message, outcome: RecipientOutcome) -> None:
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

    def judge_tame(self, message: Message, outcomes: Iterable[RecipientOutcome]) -> None:
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

    def judge_neighbour(self, message: Message, outcomes: Iterable[RecipientOutcome]) -> None:
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


def play(row: str, seed: int, *, show: bool = False) -> list[str]:
    """Play one run and return the complaints."""
    rng = Random(f"{row} {seed}")
    return Run(Setting.random(ROWS[row], rng), rng, show=show).play()


def main(arguments: list[str]) -> int:
    """Play many runs of each row, or show one."""
    if arguments[:1] == ["--show"]:
        row, seed = arguments[1], int(arguments[2])
        print(Setting.random(ROWS[row], Random(f"{row} {seed}")))  # noqa: T201
        complaints = play(row, seed, show=True)
        print(*complaints, sep="\n")  # noqa: T201
        return bool(complaints)
    runs = int(arguments[0]) if arguments else 1000
    failed = 0
    for row in arguments[1:] or ROWS:
        bad = [(seed, found) for seed in range(runs) if (found := play(row, seed))]
        failed += len(bad)
        print(f"{row:24} {runs} runs, {len(bad)} wrong")  # noqa: T201
        for seed, complaints in bad[:3]:
            print(f"    seed {seed}: {complaints[0]}")  # noqa: T201
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
