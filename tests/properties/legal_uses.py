"""Any legal use of the client at our server, and what must come of it, whatever the network does.

A peer's opinion is written into names, so that what it will say is known beforehand: it refuses the
sender ``m450@x.test`` with 450, the recipient ``r550@x.test`` with 550, and ``f554@x.test`` at the
end of the message, where each recipient is answered there (LMTP, PRDR). A message whose header says
``Refuse: 451`` is refused as a whole.
"""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st
from twisted.internet.task import Clock, deferLater

from txsmtpconn import DSN, Delivery, Envelope, Recipient
from txsmtpconn.session.server.rules import PROMISES

REFUSALS = (450, 451, 550, 554)


@dataclass(frozen=True)
class Mail:
    """One message to send.

    Attributes:
        envelope: Its envelope.
        content: Its octets, as the caller gives them.
        form: How they are given: see `message`.
        cuts: Where they are cut, if they are given in pieces.
        waits: Seconds before each piece of an asynchronous stream.
        moment: When it is sent.
    """

    envelope: Envelope
    content: bytes
    form: str
    cuts: tuple[int, ...]
    waits: tuple[float, ...]
    moment: float

    def message(self, clock: Clock) -> Any:
        """Return the message in its form."""
        if self.form == "bytes":
            return self.content
        if self.form == "file":
            return io.BytesIO(self.content)
        if self.form == "callable":
            return lambda: io.BytesIO(self.content)
        return iter(self._pieces()) if self.form == "pieces" else self._slowly(clock)

    def _pieces(self) -> Iterator[bytes]:
        edges = sorted({0, len(self.content), *(cut % len(self.content) for cut in self.cuts)})
        return (self.content[a:b] for a, b in pairwise(edges))

    async def _slowly(self, clock: Clock) -> AsyncIterator[bytes]:
        for number, piece in enumerate(self._pieces()):
            await deferLater(clock, self.waits[number % len(self.waits)])
            yield piece

    @property
    def arrives_as(self) -> set[bytes]:
        """What the server may hand on: lines that end in CRLF, unless it is BINARYMIME.

        DATA cannot do without the last of them; BDAT can.
        """
        if self.envelope.body == "BINARYMIME":
            return {self.content}
        lines = re.sub(rb"\r\n|\r|\n", b"\r\n", self.content)
        return {lines, lines if lines.endswith(b"\r\n") else lines + b"\r\n"}

    def outcomes(self, lmtp: bool) -> list[tuple[str, Delivery, int]]:
        """What is to become of each recipient, and the code of the reply that decides it."""
        sender, whole = said_of(self.envelope.mail_from, "m"), refusal_in(self.content)
        # PRDR is asked for where there are recipients to tell apart.
        each = lmtp or (self.envelope.prdr and len(self.envelope.addresses) > 1)
        outcomes = []
        for address in self.envelope.addresses:
            final = whole or (said_of(address, "f") if each else 0)
            code = sender or said_of(address, "r") or final
            outcomes.append((address, *((Delivery.REJECTED, code) if code else _ACCEPTED)))
        return outcomes

    def has_result(self, lmtp: bool) -> bool:
        """Whether `send` is to fire: somebody accepted; in LMTP, by RCPT at least."""
        if any(delivery is Delivery.ACCEPTED for _, delivery, _ in self.outcomes(lmtp)):
            return True
        taken = not said_of(self.envelope.mail_from, "m") and not all(
            said_of(address, "r") for address in self.envelope.addresses
        )
        return lmtp and taken


_ACCEPTED = (Delivery.ACCEPTED, 250)


def said_of(address: str, letter: str) -> int:
    """Return the code with which an address is refused, 0 for none."""
    found = re.match(rf"{letter}(\d{{3}})", address)
    return int(found[1]) if found else 0


def refusal_in(content: bytes) -> int:
    """Return the code with which a message is refused, 0 for none."""
    found = re.match(rb"N: \d+\r?\nRefuse: (\d{3})", content)
    return int(found[1]) if found else 0


@dataclass(frozen=True)
class Use:
    """One session: how the two are set up, what lies between them, and what is sent.

    Attributes:
        server: Options of the server.
        client: Options of the client.
        tls: None, "starttls" or "implicit".
        mechanism: With which the client logs in; None for not at all.
        waits: Seconds that the server's hooks take, in turn.
        network: Options of the network.
        mails: What is sent.
        asides: When the client says NOOP or RSET in between.
    """

    server: dict[str, Any]
    client: dict[str, Any]
    tls: str | None
    mechanism: str | None
    waits: tuple[float, ...]
    network: dict[str, Any]
    mails: list[Mail]
    asides: list[tuple[str, float]] = field(default_factory=list)

    @property
    def lmtp(self) -> bool:
        """Whether they speak LMTP."""
        return bool(self.server["lmtp"])


MOMENTS = st.sampled_from([0.0, 0.0, 0.0, 0.03, 0.5, 2.0])
WAITS = st.lists(st.sampled_from([0.0, 0.0, 0.01, 0.3]), min_size=1, max_size=6).map(tuple)
SEGMENTS = st.none() | st.integers(1, 40) | st.lists(st.integers(1, 200), max_size=60)


def _names(letters: str) -> st.SearchStrategy[str]:
    """Addresses, most of them welcome; some only with SMTPUTF8, some in quotes."""
    refused = st.builds(
        "{}{}@x.test".format, st.sampled_from(list(letters)), st.sampled_from(REFUSALS)
    )
    welcome = st.sampled_from(["a@x.test", "b.c+d@y.test", "jörg@x.test", '"q q"@x.test'])
    return welcome | welcome | refused


_ATOMS = st.sampled_from(
    (
        *(b"\r\n", b"\n", b"\r", b".", b"..", b"\r\n.\r\n", b"\r\n.", b"text", b"\xff"),
        *("ü".encode(), b"QUIT\r\n", b"x" * 700, b"\r\n" * 40),
    )
)
_BODIES = st.lists(_ATOMS, max_size=12).map(b"".join)
_XTEXT = st.sampled_from(["id", "a+b=c", "q q"])
_NOTIFY = st.sampled_from(["NEVER", ("SUCCESS",), ("FAILURE", "DELAY")])


@st.composite
def _recipient_dsns(draw: st.DrawFn) -> DSN:
    orcpt = st.sampled_from([None, "rfc822;first+1@x.test", "utf-8;jörg@x.test"])
    return DSN(notify=draw(_NOTIFY), orcpt=draw(orcpt))


@st.composite
def _conditions(
    draw: st.DrawFn, secure: bool, binary: bool, crowded: bool, may_wait: bool
) -> dict[str, Any]:
    """Conditions of an envelope that the server has promised to keep."""
    possible: dict[str, st.SearchStrategy[Any]] = {
        "body": st.sampled_from(["8BITMIME", *(["BINARYMIME"] if binary else [])]),
        "dsn": st.builds(DSN, ret=st.sampled_from(["FULL", "HDRS"]), envid=_XTEXT),
        "smtputf8": st.just(True),
        "mt_priority": st.integers(-9, 9),
        "deliver_by": st.sampled_from([(3600, "R"), (-5, "N"), (60, "N", True)]),
        "size": st.integers(0, 10_000),
    }
    if secure:
        possible["requiretls"] = st.just(True)
    if not crowded:
        # In several transactions, some would have nobody to tell apart.
        possible["prdr"] = st.just(True)
    if may_wait:
        possible["hold_for"] = st.integers(1, 99_999)
    chosen = draw(st.lists(st.sampled_from(sorted(possible)), max_size=3, unique=True))
    conditions = {name: draw(possible[name]) for name in chosen}
    if "deliver_by" in conditions:
        # It might be held beyond that.
        conditions.pop("hold_for", None)
    return conditions


@st.composite
def _mails(
    draw: st.DrawFn, number: int, secure: bool, binary: bool, crowded: bool, lmtp: bool
) -> Mail:
    addresses = draw(st.lists(_names("rff"), min_size=1, max_size=5))
    dsns = st.none() | st.none() | _recipient_dsns()
    sender = draw(_names("m") | st.just(""))
    may_wait = bool(sender) and not lmtp
    conditions = draw(st.just({}) | _conditions(secure, binary, crowded, may_wait))
    envelope = Envelope(
        sender,
        [Recipient(address, draw(dsns)) for address in addresses],
        **conditions,
    )
    # What is sent in several transactions has to be read again.
    forms = ["bytes", "callable", "file"] if crowded else ["bytes", "file", "pieces", "slowly"]
    refusal = draw(st.none() | st.none() | st.sampled_from(REFUSALS))
    header = b"N: %d\r\n" % number + (b"" if refusal is None else b"Refuse: %d\r\n" % refusal)
    return Mail(
        envelope,
        header + b"\r\n" + draw(_BODIES),
        draw(st.sampled_from(forms)),
        tuple(draw(st.lists(st.integers(0, 5000), max_size=4))),
        draw(WAITS),
        draw(MOMENTS),
    )


@st.composite
def uses(draw: st.DrawFn) -> Use:
    """Draw a legal use."""
    lmtp = draw(st.booleans())
    tls = draw(st.sampled_from([None, None, "starttls", "implicit"]))
    disabled = draw(
        st.lists(
            st.sampled_from(["PIPELINING", "CHUNKING", "SIZE", "ENHANCEDSTATUSCODES", "LIMITS"]),
            max_size=3,
            unique=True,
        )
    )
    crowded = draw(st.sampled_from([False, False, True]))
    server: dict[str, Any] = {"lmtp": lmtp, "disabled": disabled, "promises": sorted(PROMISES)}
    if crowded:
        server["max_recipients"] = 2
    mechanisms = [None, None, "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"]
    mechanisms += ["SCRAM-SHA-256-PLUS"] if tls else []
    binary = "CHUNKING" not in disabled
    count = draw(st.integers(1, 6))
    return Use(
        server,
        {
            "lmtp": lmtp,
            "pipelining": draw(st.sampled_from(["full", "transaction", "off"])),
            "chunking": draw(st.sampled_from(["auto", "always", "off"])),
        },
        tls,
        draw(st.sampled_from(mechanisms)),
        draw(WAITS),
        {
            "latency": draw(st.sampled_from([0.0, 0.05])),
            "segment": draw(SEGMENTS),
        },
        [draw(_mails(number, tls is not None, binary, crowded, lmtp)) for number in range(count)],
        draw(st.lists(st.tuples(st.sampled_from(["noop", "reset"]), MOMENTS), max_size=2)),
    )
