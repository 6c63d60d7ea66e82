"""The fixtures of the real peers, and time for sockets to close."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import pytest_twisted

from tests.interop.peers.dovecot import dovecot
from tests.interop.peers.exim import exim
from tests.interop.peers.kerberos import realm
from tests.interop.peers.opensmtpd import opensmtpd
from tests.interop.peers.postfix import postfix
from tests.interop.peers.proxies import dante, microsocks, tinyproxy
from tests.interop.peers.scripted import aiosmtpd, smtp_server
from tests.interop.peers.smtp_sink import smtp_sink
from tests.interop.peers.unbound import unbound
from txsmtpconn.testing.fixtures import certificate_zoo

__all__ = [
    "aiosmtpd",
    "certificate_zoo",
    "dante",
    "dovecot",
    "exim",
    "microsocks",
    "opensmtpd",
    "postfix",
    "realm",
    "smtp_server",
    "smtp_sink",
    "tinyproxy",
    "unbound",
]


@pytest.fixture(autouse=True)
def closing_time(clean_reactor: None) -> Iterator[None]:
    """Let the reactor turn after a test until closed sockets are closed.

    What is still there after a second is a leak, and `clean_reactor` says so.
    """
    yield
    from twisted.internet import reactor
    from twisted.internet.task import deferLater

    end = time.monotonic() + 1
    pytest_twisted.blockon(deferLater(reactor, 0))
    while reactor.getDelayedCalls() and time.monotonic() < end:
        pytest_twisted.blockon(deferLater(reactor, 0.005))
