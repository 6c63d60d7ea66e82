"""A random SMTP or LMTP server without I/O, which knows what it took.

It is written from the RFCs and from what real servers do, shares no code with the package, and is
as unkind as the dice say: it refuses, closes, goes silent, says half a reply or nonsense, at any
point. Through all of it, it keeps the truth: `taken` lists each mail that it took responsibility
for, and `said` what each of its replies was about. The client's claims are held against these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random


@dataclass(frozen=True)
class Taken:
    """Mail for one recipient that the server answers for from now on.

    `sender` is None where it had refused the sender and took the mail nevertheless.
    """

    sender: str | None
    recipient: str
    content: bytes


@dataclass(frozen=True)
class Said:
    """What a reply was about: the sender's transaction, and the recipient if it was for one."""

    code: int
    sender: str | None
    recipient: str | None


@dataclass(frozen=True)
class Manners:
    """What a server is like for a whole session."""

    lmtp: bool = False
    pipelining: bool = True
    chunking: bool = False
    #: What the client promised on top: "full" pipelining, within a "transaction", or "off".
    ahead: str = "full"
    #: A refused last chunk leaves sender and recipients standing until RSET.
    keeps_failed_chunks: bool = True
    #: DATA is answered by 354 where every recipient was refused.
    goes_ahead_alone: bool = False
    #: Recipients and mail data are taken though MAIL was refused.
    forgets_refused_sender: bool = False
    #: A chunk is refused and the next ones are taken, so that the message lacks a part.
    forgets_refused_chunks: bool = False
    #: Each recipient's reply to the message is given where MAIL asks for it.
    prdr: bool = False
    #: SIZE: larger messages are refused.
    size: int = 100_000
    #: EHLO is unknown.
    archaic: bool = False
    #: How likely each answer is a refusal.
    refusals: float = 0.0
    #: How likely each command meets with a fault.
    faults: float = 0.0


@dataclass
class ModelServer:
    """One server's end of one connection.

    Attributes:
        out: Octets for the client.
        closed: The connection was closed from here; `out` may still hold octets.
        silent: Nothing will ever be said again.
        lied: A reply too many was sent while the client may have been waiting for others, so
            that no client could tell which reply means what.
        struck: A fault has happened.
        deaf: 421 was said, and it is for the client to hang up.
        breaches: What the client did that no client may.
    """

    rng: Random
    manners: Manners
    out: bytearray = field(default_factory=bytearray)
    closed: bool = False
    silent: bool = False
    lied: bool = False
    struck: bool = False
    deaf: bool = False
    taken: list[Taken] = field(default_factory=list)
    said: dict[int, Said] = field(default_factory=dict)
    breaches: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._input = bytearray()
        self._state = "command"
        self._greeted = False
        self._early = 0
        self._size, self._last = 0, False
        self._claimed = ""
        self._forget()

    # -- the transaction -------------------------------------------------------------------

    def _forget(self) -> None:
        self._sender: str | None = None
        self._open = False
        self._recipients: list[str] = []
        self._content = bytearray()
        self._chunks_failed = False
        self._each = False

    # -- octets in -------------------------------------------------------------------------

    def greet(self) -> None:
        """Send the greeting."""
        if not self._strikes(0.3):
            self._say(220, "model ESMTP")

    def receive(self, octets: bytes) -> None:
        """Take octets from the client and answer what is complete."""
        if self.closed or self.deaf:
            return
        self._input += octets
        while not self.closed and not self.deaf and self._step():
            pass

    def _step(self) -> bool:
        if self._state in ("data", "swallow"):
            return self._data()
        if self._state == "chunk":
            return self._chunk()
        end = self._input.find(b"\r\n")
        if end < 0:
            return False
        line = bytes(self._input[:end])
        del self._input[: end + 2]
        if b"\n" in line or b"\r" in line:
            self.breaches.append(f"a bare CR or LF in a command: {line!r}")
        verb = line.partition(b" ")[0].upper()
        alone = verb in (b"DATA", b"EHLO", b"LHLO", b"HELO", b"QUIT") or (
            verb != b"BDAT" and (not self.manners.pipelining or self.manners.ahead == "off")
        )
        if alone and self._input:
            self.breaches.append(f"{bytes(self._input[:40])!r} came before the reply to {line!r}")
        self._command(verb, line)
        return True

    def _command(self, verb: bytes, line: bytes) -> None:
        if verb == b"BDAT":
            words = line.split()
            self._size, self._last = int(words[1]), words[2:] == [b"LAST"]
            self._state = "chunk"
            return
        if verb == b"RSET" and self.manners.chunking:
            # No client that sends whole transactions ahead survives a server that goes on after
            # it failed to reset, and none does. Whether its reply gets through is another matter.
            self._forget()
        if self._strikes():
            return
        if verb in (b"EHLO", b"LHLO", b"HELO"):
            self._hello(verb)
        elif not self._greeted:
            self.breaches.append(f"{line!r} before any EHLO")
        elif verb == b"MAIL":
            self._mail(_path(line, b"MAIL FROM:<"), each=line.endswith(b" PRDR"))
        elif verb == b"RCPT":
            self._rcpt(_path(line, b"RCPT TO:<"))
        elif verb == b"DATA":
            self._begin_data()
        elif verb == b"RSET":
            self._reset()
        elif verb == b"NOOP":
            self._say(self._code(250, 450, 500), "noop")
        elif verb == b"QUIT":
            self._say(221, "bye")
            self.closed = True
        else:
            self.breaches.append(f"unknown command {line!r}")
            self._say(500, "unknown")

    def _reset(self) -> None:
        if not self.manners.chunking and self._refuses(0.05):
            self.struck = True
            self._say(self.rng.choice((450, 550)), "no reset")
        else:
            self._forget()
            self._say(250, "reset")

    def _hello(self, verb: bytes) -> None:
        if verb != b"HELO" and self.manners.archaic:
            self._say(502, "unknown")
            return
        if self._refuses(0.1):
            self._say(self.rng.choice((450, 550, 554)), "not you")
            return
        self._greeted = True
        self._forget()
        keywords = ["model", f"SIZE {self.manners.size}", "ENHANCEDSTATUSCODES", "8BITMIME"]
        if self.manners.pipelining:
            keywords.append("PIPELINING")
        if self.manners.chunking:
            keywords.append("CHUNKING")
        if self.manners.prdr:
            keywords.append("PRDR")
        self._say(250, *(["model"] if verb == b"HELO" else keywords))

    # -- envelope --------------------------------------------------------------------------

    def _mail(self, sender: str, *, each: bool) -> None:
        if self._open:
            # The open transaction stays as it is: what follows adds to it.
            self._say(503, "nested MAIL", about=sender)
            if not self.struck:
                self.breaches.append(f"MAIL from {sender} within the transaction of {self._sender}")
            return
        if self._refuses():
            self._say(self.rng.choice((450, 451, 452, 550, 552, 553)), "no sender", about=sender)
            if self.manners.forgets_refused_sender:
                self._open, self._sender = True, None
                self._claimed = sender
            return
        self._forget()
        self._open, self._sender, self._each = True, sender, each
        if each and not self.manners.prdr:
            self.breaches.append("PRDR was not offered")
        self._say(250, "2.1.0 sender", about=sender)

    def _rcpt(self, recipient: str) -> None:
        about = self._about()
        if not self._open:
            self._say(503, "need MAIL", about=about, recipient=recipient)
        elif self._refuses():
            code = self.rng.choice((450, 451, 452, 452, 550, 552, 553))
            self._say(code, "no recipient", about=about, recipient=recipient)
        else:
            self._recipients.append(recipient)
            code = self.rng.choice((250, 250, 250, 251, 252))
            self._say(code, "2.1.5 recipient", about=about, recipient=recipient)

    def _about(self) -> str | None:
        return self._claimed if self._open and self._sender is None else self._sender

    # -- DATA ------------------------------------------------------------------------------

    def _begin_data(self) -> None:
        if not self._recipients and not (self._open and self.manners.goes_ahead_alone):
            self._say(self.rng.choice((503, 554)), "no recipients", about=self._about())
        elif self._refuses():
            self._say(self.rng.choice((451, 452, 552, 554)), "no data", about=self._about())
        elif self._fault(0.3):
            # Every code but 354 is wrong here, and none of them begins mail data.
            self._say(self.rng.choice((250, 334, 220)), "what?", about=self._about())
        else:
            self._state = "data"
            self._content.clear()
            self._say(354, "go ahead")
            self._early = self.rng.randrange(1, 200) if self._fault(0.5) else 0

    def _data(self) -> bool:
        if self._state == "data" and self._early and len(self._input) >= self._early:
            # Too big, says the server in the midst of it; then it closes, or swallows the rest.
            # In LMTP, to go on means to have answered for each recipient.
            self.closed = self.rng.random() < 0.5
            times = len(self._recipients) if self.manners.lmtp and not self.closed else 1
            for _ in range(times):
                self._say(552, "too big", about=self._about())
            self._state = "swallow"
            if self.closed:
                return False
        whole = b"\r\n" + self._input
        end = whole.find(b"\r\n.\r\n")
        if end < 0:
            return False
        lines = bytes(whole[2 : end + 2]).split(b"\r\n") if end else [b""]
        del self._input[: end + 3]
        content = b"\r\n".join(each[1:] if each[:1] == b"." else each for each in lines)
        swallowed = self._state == "swallow"
        ahead = self.manners.pipelining and self.manners.ahead == "full"
        if self._input and not (ahead or swallowed):
            self.breaches.append("a command came before the reply to the end of mail data")
        self._state = "command"
        if swallowed:
            self._forget()
        elif self._recipients:
            self._mark(content)
            self._forget()
        else:
            about = self._about()
            self._forget()
            if not self.manners.lmtp:
                self._say(554, "no recipients", about=about)
        return True

    # -- BDAT ------------------------------------------------------------------------------

    def _chunk(self) -> bool:
        if len(self._input) < self._size:
            return False
        content = bytes(self._input[: self._size])
        del self._input[: self._size]
        self._state = "command"
        if self._input and not (self.manners.pipelining and self.manners.ahead != "off"):
            self.breaches.append("a command came before the reply to BDAT")
        if not self._recipients:
            if not self._strikes():
                self._say(503, "no recipients", about=self._about())
            return True
        if self._chunks_failed:
            self._refuse_chunk(503)
            return True
        self._content += content
        if self._last:
            content = bytes(self._content)
            self._content.clear()
            before = len(self.taken)
            self._mark(content)
            if len(self.taken) > before or not self.manners.keeps_failed_chunks:
                self._forget()
        elif self._strikes():
            pass
        elif self._refuses():
            del self._content[len(self._content) - len(content) :]
            self._refuse_chunk(self.rng.choice((451, 452, 552, 554)))
        else:
            self._say(250, "chunk", about=self._about())
        return True

    def _refuse_chunk(self, code: int) -> None:
        for _ in self._recipients if self.manners.lmtp and self._last else (None,):
            self._say(code, "no chunk", about=self._about())
        self._chunks_failed = not self.manners.forgets_refused_chunks
        if self._last:
            self._chunks_failed = False
            self._content.clear()
            if not self.manners.keeps_failed_chunks:
                self._forget()

    # -- the end of mail data --------------------------------------------------------------

    def _mark(self, content: bytes) -> None:
        """Decide, take or refuse, and then perhaps not live to say so."""
        divided = self._each and len(content) <= self.manners.size and self.rng.random() < 0.8
        each = self.manners.lmtp or divided
        verdicts = self._verdicts(content, each=each)
        overall = self._overall(verdicts) if divided else 250
        fault = ""
        if self._fault():
            fault = self.rng.choice(("die", "421", "half", "silent", "nonsense"))
        if fault == "421":
            self._go_down(self._about())
            return
        if fault and self.rng.random() < 0.3:
            verdicts = [450 for _ in verdicts]
        for index, recipient in enumerate(self._recipients):
            if verdicts[index if each else 0] == 250 == overall:
                self.taken.append(Taken(self._sender, recipient, content))
        named: list[str | None] = [*self._recipients] if each else [None]
        replies = list(zip(verdicts, named, strict=True))
        if divided:
            replies = [(353, None), *replies, (overall, None)]
        self._tell(replies, fault)

    def _overall(self, verdicts: list[int]) -> int:
        """Decide about a message of which each recipient has had a verdict."""
        return self._code(250, 451, 554) if 250 in verdicts else self.rng.choice((250, 450, 550))

    def _verdicts(self, content: bytes, *, each: bool) -> list[int]:
        """Decide for each recipient, or for all of them at once."""
        count = len(self._recipients) if each else 1
        if len(content) > self.manners.size:
            return [552] * count
        return [self._code(250, 450, 451, 452, 550, 552, 554) for _ in range(count)]

    def _tell(self, replies: Sequence[tuple[int, str | None]], fault: str) -> None:
        """Say the verdicts, or those before a fault strikes."""
        told = self.rng.randrange(len(replies)) if fault else len(replies)
        about = self._about()
        for verdict, recipient in replies[:told]:
            self._say(verdict, "2.0.0 message", about=about, recipient=recipient)
        if fault == "half":
            self._half(replies[told][0], about)
        elif fault == "silent":
            self.silent = True
        elif fault == "nonsense":
            self._nonsense()
        self.closed = fault in ("die", "half")

    # -- dice ------------------------------------------------------------------------------

    def _fault(self, weight: float = 1.0) -> bool:
        strikes = self.rng.random() < self.manners.faults * weight
        self.struck = self.struck or strikes
        return strikes

    def _refuses(self, weight: float = 1.0) -> bool:
        return self.rng.random() < self.manners.refusals * weight

    def _code(self, good: int, *bad: int) -> int:
        return self.rng.choice(bad) if self._refuses() else good

    def _strikes(self, weight: float = 1.0) -> bool:
        """Let a fault take the place of an answer, perhaps."""
        if not self._fault(weight):
            return False
        kind = self.rng.choice(("die", "421", "half", "silent", "nonsense", "extra"))
        if kind == "421":
            self._go_down(self._about())
            return True
        if kind == "half":
            self._half(self.rng.choice((250, 354, 550)), self._about())
        elif kind == "silent":
            self.silent = True
        elif kind == "nonsense":
            self._nonsense()
            return True
        elif kind == "extra":
            self.lied = True
            self._say(self.rng.choice((250, 250, 354, 450, 550)), "and another thing")
            return False
        if kind != "silent":
            self.closed = True
        return True

    def _go_down(self, about: str | None) -> None:
        """Say 421 and close, or leave that to the client."""
        self._say(421, "going down", about=about)
        self.closed = self.rng.random() < 0.5
        self.deaf = not self.closed

    # -- octets out ------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Say something that nobody asked for, to a client that waits for nothing."""
        code = self.rng.choice((421, 421, 250, 354, 550))
        self._say(code, "by the way")
        if code == 421:
            self.closed = True

    def _say(
        self, code: int, *lines: str, about: str | None = None, recipient: str | None = None
    ) -> None:
        if self.silent:
            return
        serial = len(self.said)
        self.said[serial] = Said(code, about, recipient)
        texts = list(lines)
        if lines[0] not in ("model", "model ESMTP"):
            texts = (
                [*lines, f"id={serial}"] if self.rng.random() < 0.2 else [f"{lines[0]} id={serial}"]
            )
        end = "\r\n" if self.rng.random() < 0.9 else "\n"
        for text in texts[:-1]:
            self.out += f"{code}-{text}{end}".encode()
        self.out += f"{code} {texts[-1]}{end}".encode()

    def _half(self, code: int, about: str | None) -> None:
        """Say a reply, but not to its end."""
        whole = len(self.out)
        self._say(code, "half", about=about)
        keep = self.rng.randrange(whole, len(self.out)) if len(self.out) > whole else whole
        # Without its last line end no reply is one; a CR may be left.
        del self.out[keep:]

    def _nonsense(self) -> None:
        if not self.silent:
            self.out += self.rng.choice(
                (b"hello\r\n", b"25\r\n", b"999 no\r\n", b"250-a\r\n550 b\r\n")
            )


def _path(line: bytes, prefix: bytes) -> str:
    assert line.startswith(prefix), line
    return line[len(prefix) :].partition(b">")[0].decode()
