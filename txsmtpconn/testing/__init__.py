"""The test kit: a server that captures mail, an in-memory network, peers that follow a script.

Importing this package imports no Twisted, so that a pytest plugin which names it costs nothing;
each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from txsmtpconn.sink.rules import Rule as Rule
    from txsmtpconn.testing.capture import CaptureServer as CaptureServer
    from txsmtpconn.testing.captured import CapturedMessage as CapturedMessage
    from txsmtpconn.testing.captured import CapturedSession as CapturedSession
    from txsmtpconn.testing.captured import MissingMessages as MissingMessages
    from txsmtpconn.testing.certificates import CertificateZoo as CertificateZoo
    from txsmtpconn.testing.network import MemoryLink as MemoryLink
    from txsmtpconn.testing.network import MemoryNetwork as MemoryNetwork
    from txsmtpconn.testing.peer import ScriptedPeer as ScriptedPeer
    from txsmtpconn.testing.peer import ScriptError as ScriptError
    from txsmtpconn.testing.process import CaptureProcess as CaptureProcess
    from txsmtpconn.testing.results import failure_result_of as failure_result_of
    from txsmtpconn.testing.results import no_result_of as no_result_of
    from txsmtpconn.testing.results import success_result_of as success_result_of
    from txsmtpconn.testing.stream import Fault as Fault
    from txsmtpconn.testing.transport import MemoryTransport as MemoryTransport

_HOMES = {
    "CaptureProcess": "txsmtpconn.testing.process",
    "CaptureServer": "txsmtpconn.testing.capture",
    "CapturedMessage": "txsmtpconn.testing.captured",
    "CapturedSession": "txsmtpconn.testing.captured",
    "CertificateZoo": "txsmtpconn.testing.certificates",
    "Fault": "txsmtpconn.testing.stream",
    "MemoryLink": "txsmtpconn.testing.network",
    "MemoryNetwork": "txsmtpconn.testing.network",
    "MemoryTransport": "txsmtpconn.testing.transport",
    "MissingMessages": "txsmtpconn.testing.captured",
    "Rule": "txsmtpconn.sink.rules",
    "ScriptError": "txsmtpconn.testing.peer",
    "ScriptedPeer": "txsmtpconn.testing.peer",
    "failure_result_of": "txsmtpconn.testing.results",
    "no_result_of": "txsmtpconn.testing.results",
    "success_result_of": "txsmtpconn.testing.results",
}

__all__ = [
    "CaptureProcess",
    "CaptureServer",
    "CapturedMessage",
    "CapturedSession",
    "CertificateZoo",
    "Fault",
    "MemoryLink",
    "MemoryNetwork",
    "MemoryTransport",
    "MissingMessages",
    "Rule",
    "ScriptError",
    "ScriptedPeer",
    "failure_result_of",
    "no_result_of",
    "success_result_of",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
