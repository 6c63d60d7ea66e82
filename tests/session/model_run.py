"""Runs of a client session against the model server, and what is asked of each.

A network lies between the two: it cuts what it carries anywhere, carries it at any time, and
fails. Besides, operations are withdrawn, sources of mail data fail, and deadlines pass. At the end
of a run every claim of the session is held against what the server took.

``python -m tests.session.model_run 20000`` plays that many runs of each row. A complaint names row
and seed, and ``python -m tests.session.model_run --show ROW SEED`` plays that run with its talk.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from random import Random

from tests.session.model_judge import Judgment
from tests.session.model_server import ModelServer
from tests.session.model_setting import ROWS, Message, Setting
from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import ConnectionLostError, SMTPError, StreamError
from txsmtpconn.session.client.events import (
    BodyUnwanted,
    BodyWanted,
    Event,
    MarkDue,
    OperationEnded,
    SessionEnded,
    TransactionEnded,
)
from txsmtpconn.session.client.policy import Security
from txsmtpconn.session.client.session import ClientSession
from txsmtpconn.session.client.terms import Terms
from txsmtpconn.session.client.transaction import (
    Noop,
    Operation,
    Phase,
    Quit,
    Reset,
    Transaction,
)
from txsmtpconn.session.dialect import LMTP, SMTP

_MOST_STEPS = 5_000


class Run:
    """One session, one server, and the network between them."""

    def __init__(self, setting: Setting, rng: Random, *, show: bool = False) -> None:
        self.setting, self.rng, self.show = setting, rng, show
        self.complaints: list[str] = []
        self.server = ModelServer(rng, setting.manners)
        terms = Terms(
            name=b"client.test",
            dialect=LMTP if setting.row.lmtp else SMTP,
            security=Security.IGNORED,
            pipelining=setting.row.pipelining,
            chunking=setting.row.chunking,
            window=setting.window,
        )
        self.session = ClientSession(terms)
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
            Envelope(sender, recipients, prdr=rng.random() < 0.5),
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
        judgment = Judgment(self.setting, self.server, self.messages, bytes(self.written))
        judgment.on_session(
            self.over, Counter({each: self.ended[each] for each in self.operations})
        )
        judgment.on_mail()
        return self.complaints + judgment.complaints

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
