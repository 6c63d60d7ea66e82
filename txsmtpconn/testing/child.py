"""The other end of `CaptureProcess`: a capture server that answers requests on a pipe.

`testing.pipe` describes requests; an answer has a ``result``, or an ``error`` and its ``kind``. One
request waits for no other. The end of the input is the end of the process, and so is the call
``end``.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from txsmtpconn.net.clock import default_reactor
from txsmtpconn.sink.rules import Rule
from txsmtpconn.testing.capture import CaptureServer

#: Octets of one request.
_LONGEST = 16 * 1024 * 1024


class Requests(LineOnlyReceiver):
    """Answers requests about one server.

    Args:
        reactor: Where the server lives; it is stopped at the end of the input.
    """

    delimiter = b"\n"
    MAX_LENGTH = _LONGEST

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._server: CaptureServer | None = None

    def lineReceived(self, line: bytes) -> None:
        """Answer a request when its result is there."""
        request = json.loads(line)
        if request["call"] == "end":
            self._transport.loseConnection()
            return
        answering = Deferred.fromCoroutine(self._answer(request))
        answering.addErrback(_told).addCallback(self._send, request["number"])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End in order."""
        del reason
        stopping = Deferred.fromCoroutine(self._stop())
        stopping.addErrback(_shown).addBoth(lambda _: self._reactor.stop())

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        arguments = request["arguments"]
        if request["call"] == "start":
            return {"result": await self._start(arguments)}
        assert self._server is not None
        return {"result": await self._ask(self._server, request["call"], arguments)}

    async def _start(self, options: dict[str, Any]) -> dict[str, Any]:
        self._server = server = CaptureServer(self._reactor, **options)
        await server.start()
        return {
            "host": server.host,
            "port": server.port,
            "url": server.url,
            "ca_file": None if server.ca_file is None else str(server.ca_file),
        }

    async def _ask(self, server: CaptureServer, call: str, arguments: dict[str, Any]) -> Any:
        match call:
            case "messages":
                return [message.as_json() for message in server.messages]
            case "sessions":
                return [session.as_json() for session in server.sessions]
            case "wait_for":
                return [each.as_json() for each in await server.wait_for(**arguments)]
            case "add_rule":
                return server.add_rule(Rule.from_json(arguments["rule"])).as_json()
            case "hits":
                return server.hits(Rule.from_json(arguments["rule"]))
            case "clear":
                return server.clear()
            case "clear_rules":
                return server.clear_rules()
        raise ValueError(f"there is no call {call!r}")

    def _send(self, answer: dict[str, Any], number: int) -> None:
        # Written in one piece, and as long as it has to be.
        answer["number"] = number
        self._transport.write(json.dumps(answer).encode("ascii") + b"\n")

    @property
    def _transport(self) -> Any:
        return self.transport

    async def _stop(self) -> None:
        if self._server is not None:
            await self._server.stop()


def _told(failure: Failure) -> dict[str, Any]:
    error = failure.value
    return {"error": str(error), "kind": type(error).__name__}


def _shown(failure: Failure) -> None:
    sys.stderr.write(failure.getTraceback())


def main() -> None:
    """Serve until the input ends. An interrupt is for the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    reactor = default_reactor()
    StandardIO(Requests(reactor))
    reactor.run(installSignalHandlers=False)
