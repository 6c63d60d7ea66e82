"""One client's work order, given to its program as a JSON argument; JavaScript reads it too."""

from __future__ import annotations

import dataclasses
import json
import sys


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """What a client program has to do.

    Attributes:
        host: Address of the sink, always an IP address: no look-up is measured.
        port: TCP port of the sink.
        messages: How many messages to send in all.
        recipients: Recipients of each message.
        connections: Connections open at once; the messages are shared out among them.
        fresh: Whether every message gets a connection of its own.
        tls: Whether STARTTLS is required.
        ca: PEM file with the authority that signed the sink's certificate.
        body: File with the message, CRLF line ends.
        body_lf: The same message with LF line ends, for clients which convert.
        size: Octets in `body`.
        stream: Whether the message is to be read from its file while it is sent.
        mode: Variant of the client, its own vocabulary.
        depth: Messages given to one connection before the first is answered, where the client has
            a queue.
    """

    host: str
    port: int
    messages: int
    recipients: int
    connections: int
    fresh: bool
    tls: bool
    ca: str
    body: str
    body_lf: str
    size: int
    stream: bool
    mode: str
    depth: int

    def encode(self) -> str:
        """Return the job as one JSON object."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_arguments(cls) -> Job:
        """Read the job from this program's only argument."""
        return cls(**json.loads(sys.argv[1]))

    @property
    def sender(self) -> str:
        """The reverse-path of every message."""
        return "sender@example.org"

    @property
    def addresses(self) -> list[str]:
        """The forward-paths of every message."""
        return [f"recipient{number}@example.net" for number in range(self.recipients)]

    @property
    def shares(self) -> list[int]:
        """How many messages each connection sends."""
        each, more = divmod(self.messages, self.connections)
        return [each + (number < more) for number in range(self.connections)]

    def read_body(self, *, lf: bool = False) -> bytes:
        """Return the whole message."""
        with open(self.body_lf if lf else self.body, "rb") as file:
            return file.read()
