"""``smtpconn verify``: what it finds, for people and for programs, also where something fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from tests.cli.running import RunningService, RunningSink, smtpconn
from tests.client.test_connecting import Resolver
from txsmtpconn import connect
from txsmtpconn.cli.attempts import WatchedReactor
from txsmtpconn.testing import CertificateZoo, failure_result_of


@pytest.fixture(scope="module")
def socks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Twisted's own SOCKS proxy."""
    running = RunningService(
        tmp_path_factory.mktemp("socks"),
        r"SOCKSv4Factory starting on (\d+)",
        *("socks", "--interface=127.0.0.1", "--port=0"),
    )
    yield running
    running.stop()


def test_all_of_it_as_json(
    tls_sink: RunningSink, socks: RunningService, certificate_zoo: CertificateZoo
) -> None:
    """Through a proxy, under TLS, logged in: each fact under its name."""
    proxy = f"socks4a://127.0.0.1:{socks.port}"
    done = smtpconn(
        *(
            "verify",
            f"smtp://alice@localhost:{tls_sink.port}?require_tls=true",
            "--json",
            "--verbose",
        ),
        *(f"--proxy={proxy}", f"--ca-file={certificate_zoo.ca}"),
        password="wonderland",
    )
    assert done.returncode == 0, done.stderr
    assert b"C: EHLO" in done.stderr
    assert b"wonderland" not in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["server"] == {"host": "localhost", "port": tls_sink.port, "proxy": proxy}
    at_proxy = {"host": "127.0.0.1", "port": socks.port}
    assert found["addresses"] == {
        "tried": [at_proxy | {"outcome": "connected"}],
        "used": at_proxy,
    }
    assert found["tls"]["version"].startswith("TLSv1.")
    assert found["tls"]["cipher"]
    certificate = found["tls"]["certificate"]
    assert {"localhost", "mx.test", "127.0.0.1"} <= set(certificate["names"])
    assert certificate["issuer"]
    assert certificate["not_before"] < certificate["not_after"]
    assert len(bytes.fromhex(certificate["sha256"])) == 32
    assert found["name"] == "mx.test"
    assert found["extensions"]["SIZE"] == [str(found["max_size"])]
    assert {"PLAIN", "SCRAM-SHA-256"} & set(found["mechanisms"])
    assert found["login"] == "succeeded"
    assert found["error"] is None


def test_all_of_it_as_text(tls_sink: RunningSink, certificate_zoo: CertificateZoo) -> None:
    """One fact a line."""
    done = smtpconn(
        *("verify", f"smtp://localhost:{tls_sink.port}", f"--ca-file={certificate_zoo.ca}")
    )
    assert done.returncode == 0, done.stderr
    lines = {
        line[:16].strip(): line[16:] for line in done.stdout.decode().splitlines() if line.strip()
    }
    assert lines["connected to"] == f"127.0.0.1 port {tls_sink.port}"
    assert lines["TLS"].startswith("TLSv1.")
    assert "mx.test" in lines["names"]
    assert lines["valid"].count(" to ") == 1
    assert "SIZE " in lines["extensions"]
    assert lines["login"] == "not tried"


def test_what_was_found_is_told_where_the_login_fails(tls_sink: RunningSink) -> None:
    """In both forms; the error goes to standard error too, and the password nowhere."""
    url = f"smtp://alice@localhost:{tls_sink.port}"
    for form in ([], ["--json"]):
        done = smtpconn("verify", url, "--no-verify", *form, password="hunter2")
        assert done.returncode == 77
        assert b"EAUTH" in done.stderr
        assert b"hunter2" not in done.stdout + done.stderr
        if form:
            found = json.loads(done.stdout)
            assert found["login"] == "failed"
            assert found["tls"]["certificate"]
            assert found["error"]["code"] == "EAUTH"
            assert found["error"]["response_code"] == 535
        else:
            assert b"login           failed" in done.stdout


def test_a_server_that_is_not_there_leaves_the_addresses() -> None:
    """Each with what became of it."""
    done = smtpconn("verify", "smtp://127.0.0.1:1", "--json")
    assert done.returncode == 75
    found = json.loads(done.stdout)
    assert found["addresses"]["tried"] == [
        {"host": "127.0.0.1", "port": 1, "outcome": "connection refused"}
    ]
    assert found["addresses"]["used"] is None
    assert found["tls"] is None
    assert found["error"]["code"] == "ESOCKET"


@pytest.mark.filterwarnings("ignore:Passing HostnameEndpoint a reactor that")
def test_every_address_is_watched() -> None:
    """Refused, given up for another, and connected to."""
    from twisted.internet.interfaces import IReactorPluggableNameResolver
    from zope.interface import directlyProvides, providedBy

    reactor: Any = MemoryReactorClock()
    reactor.nameResolver = Resolver()
    directlyProvides(reactor, providedBy(reactor), IReactorPluggableNameResolver)
    watched = WatchedReactor(reactor)
    connecting = connect(watched, host="mx.test")
    reactor.nameResolver.answer("192.0.2.1", "192.0.2.2")
    reactor.advance(0.5)
    assert [attempt.outcome for attempt in watched.attempts] == ["under way"] * 2
    factories = [client[2] for client in reactor.tcpClients]
    factories[0].clientConnectionFailed(None, Failure(error.ConnectionRefusedError()))
    factories[1].clientConnectionFailed(None, Failure(error.UserError()))
    reactor.advance(5)
    failure_result_of(connecting)
    shown = [(attempt.host, attempt.outcome) for attempt in watched.attempts]
    assert shown == [("192.0.2.1", "connection refused"), ("192.0.2.2", "given up")]
    assert not reactor.getDelayedCalls()
