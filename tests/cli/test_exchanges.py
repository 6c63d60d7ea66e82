"""``mx:`` and ``srv:`` on the command line: to whom, how sure, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from tests.cli.running import RunningSink, smtpconn
from txsmtpconn import ConfigError, SMTPTransport
from txsmtpconn.cli import parsed
from txsmtpconn.cli.exchanges import transport_to
from txsmtpconn.testing import CertificateZoo

LOOPBACK = "--allow-network=127.0.0.0/8"
MESSAGE = b"From: a@x.test\r\nTo: b@[127.0.0.1]\r\n\r\nhello\r\n"


def told(*arguments: str) -> SMTPTransport:
    """The transport that a command line comes to."""
    reactor: Any = MemoryReactorClock()
    return transport_to(parsed(["send", *arguments]), reactor)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mx:", "mail exchanges"),
        ("mx:example.org", "example.org"),
        ("mx:[relay.example]:587", "[relay.example]:587"),
        ("srv:example.org", "srv:example.org"),
        ("mx:example.org?socket_timeout=9", "example.org"),
    ],
)
def test_a_url_names_exchanges(url: str, shown: str) -> None:
    """Those of everybody's domain, of one domain, a host, a submission service."""
    transport = told(url)
    assert f" to {shown}" in repr(transport)
    assert transport.options.socket_timeout == (9 if "?" in url else 600)


def test_a_user_logs_in_at_one_destination(monkeypatch: pytest.MonkeyPatch) -> None:
    """The submission service that a domain names; a password for everybody makes no sense."""
    monkeypatch.setenv("SMTPCONN_PASSWORD", "x")
    auth = told("srv:me%40example.org@example.org").options.auth
    assert auth is not None
    assert auth.user == "me@example.org"
    with pytest.raises(ConfigError, match="one destination"):
        told("mx:me@")


def test_a_file_of_policies(tmp_path: Path) -> None:
    """A domain and its policy on each line."""
    table = tmp_path / "policies"
    table.write_text("* may\nexample.org encrypt\n")
    assert told("mx:", f"--tls-policies={table}")
    table.write_text("example.org perhaps\n")
    with pytest.raises(ConfigError, match="perhaps"):
        told("mx:", f"--tls-policies={table}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mx:", "--tls-policy=perhaps"], "perhaps"),
        (["mx:", "--tls-policy=dane"], "dnssec"),
        (["mx:", "--dnssec=192.0.2.1"], "not on this machine"),
        (["mx:", "--tls-policy=may", "--tls-policies=x"], "exclude"),
        (["mx:?require_tls=true"], "policy decide"),
        (["mx:a b"], "next hop"),
        (["srv:"], "next hop"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], words: str) -> None:
    """Before anything is looked up."""
    with pytest.raises(ConfigError, match=words):
        told(*arguments)


def test_what_is_for_exchanges_is_for_no_server() -> None:
    """And the other way round; the message is not waited for."""
    for arguments, words in (
        (["smtp://127.0.0.1:1", "--tls-policy=may"], b"--tls-policy is for mx:"),
        (["mx:", "--xforward=addr=192.0.2.1"], b"for one server"),
    ):
        done = smtpconn("send", *arguments, given=MESSAGE)
        assert done.returncode == 78
        assert words in done.stderr


def test_a_message_goes_to_a_next_hop(
    tls_sink: RunningSink, certificate_zoo: CertificateZoo
) -> None:
    """Under TLS as its policy says, from a pipe that cannot be read twice."""
    hop = f"mx:[localhost]:{tls_sink.port}"
    trust = f"--ca-file={certificate_zoo.ca}"
    done = smtpconn("send", hop, LOOPBACK, trust, "--tls-policy=secure", given=MESSAGE)
    assert done.returncode == 0, done.stderr
    assert b"accepted" in done.stdout
    message, facts = tls_sink.take()
    assert message == MESSAGE
    assert facts["rcpt_to"] == ["b@[127.0.0.1]"]
    refused = smtpconn(
        "send", hop, LOOPBACK, trust, "--tls-policy=secure match=elsewhere.test", given=MESSAGE
    )
    assert refused.returncode == 75
    assert b"ETLS" in refused.stderr
    assert not list(tls_sink.kept.glob("*.eml"))


def test_verify_tries_the_next_hop(tls_sink: RunningSink, certificate_zoo: CertificateZoo) -> None:
    """And tells the addresses that were tried, and what the host showed that took us."""
    hop = f"mx:[localhost]:{tls_sink.port}"
    done = smtpconn("verify", "--json", hop, LOOPBACK, f"--ca-file={certificate_zoo.ca}")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["server"]["next_hop"] == hop
    assert found["addresses"]["used"] == {"host": "127.0.0.1", "port": tls_sink.port}
    assert "localhost" in found["tls"]["certificate"]["names"]
    assert found["extensions"]["SIZE"]
    assert found["error"] is None
    tried = {"host": "127.0.0.1", "port": tls_sink.port, "outcome": "connected"}
    assert tried in found["addresses"]["tried"]
    everybody = smtpconn("verify", "mx:")
    assert everybody.returncode == 78
    assert b"no one server" in everybody.stderr
