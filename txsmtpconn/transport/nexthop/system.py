"""The reactor's name resolver as one of ours: for hosts that are named, not found by MX.

Unlike DNS it knows ``/etc/hosts``, and what else this machine is told to look into.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHostResolution, IResolutionReceiver
from zope.interface import implementer

from txsmtpconn.errors import DNSError
from txsmtpconn.transport.nexthop.records import Answer, RecordType

_FAMILIES = {RecordType.A: IPv4Address, RecordType.AAAA: IPv6Address}


class SystemResolver:
    """Knows addresses only, and is never secure.

    Args:
        reactor: The reactor.
        seconds: After which what was found so far is all.
    """

    def __init__(self, reactor: Any, seconds: float) -> None:
        self._reactor = reactor
        self._seconds = seconds

    def lookup(self, name: str, kind: RecordType) -> Deferred[Answer]:
        """Look up the addresses of one family."""
        receiver = _Receiver(name)
        timer = self._reactor.callLater(self._seconds, receiver.resolutionComplete)
        self._reactor.nameResolver.resolveHostName(
            receiver, name, addressTypes=[_FAMILIES[kind]], transportSemantics="TCP"
        )

        def disarm(result: Any) -> Any:
            if timer.active():
                timer.cancel()
            return result

        return receiver.done.addBoth(disarm)


@implementer(IResolutionReceiver)
class _Receiver:
    """Collects addresses."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._found: list[str] = []
        self.done: Deferred[Answer] = Deferred()

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:  # noqa: N802, N803
        pass

    def addressResolved(self, address: Any) -> None:  # noqa: N802
        self._found.append(address.host)

    def resolutionComplete(self) -> None:  # noqa: N802
        if self.done.called:
            return
        if self._found:
            self.done.callback(Answer(self._name, tuple(dict.fromkeys(self._found))))
        else:
            # Whether there is nothing, or nobody could say, the system does not tell.
            text = f"{self._name}: the name does not resolve"
            self.done.errback(DNSError(text, command="CONN", status="4.4.3"))
