"""The sink: what it takes, what it keeps of it, and what is left when it cannot."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from txsmtpconn.envelope import DSN, Envelope, Recipient
from txsmtpconn.errors import ConfigError
from txsmtpconn.sasl import Finished
from txsmtpconn.server import ServerOptions, SMTPServerFactory
from txsmtpconn.sink import Mailbag, Sink


def talk(sink: Sink, lines: bytes, **options: Any) -> bytes:
    """Say something to a server that is the sink, and return all that it says."""
    server = ServerOptions(name="sink.test", **options)
    protocol = SMTPServerFactory(Clock(), sink, server).buildProtocol(None)
    assert protocol is not None
    transport = StringTransport()
    protocol.makeConnection(transport)  # type: ignore[no-untyped-call]
    protocol.dataReceived(lines)
    said: bytes = transport.value()
    protocol.connectionLost()
    return said


ENVELOPE = b"EHLO me.test\r\nMAIL FROM:<s@x.test> SIZE=12 RET=HDRS ENVID=e1\r\n"
RECIPIENTS = b"RCPT TO:<a@y.test> NOTIFY=NEVER\r\nRCPT TO:<b@y.test>\r\nDATA\r\n"
MESSAGE = b"Subject: \xff\r\n\r\n.dot\r\n"
ON_THE_WIRE = b"Subject: \xff\r\n\r\n..dot\r\n.\r\n"


def test_a_message_is_kept_as_it_came_with_its_envelope_beside_it(tmp_path: Path) -> None:
    """NAME.eml has the octets, NAME.json the rest, and the reply tells the name."""
    bag = Mailbag(tmp_path / "new" / "bag")
    sink = Sink(bag)
    said = talk(sink, ENVELOPE + RECIPIENTS + ON_THE_WIRE)
    (message,) = bag.path.glob("*.eml")
    assert message.read_bytes() == MESSAGE
    assert f"250 2.0.0 Ok: kept as {message.stem}".encode() in said
    facts = json.loads(message.with_suffix(".json").read_text())
    assert facts["id"] == message.stem
    assert facts["octets"] == len(MESSAGE)
    assert facts["mail_from"] == "s@x.test"
    assert facts["rcpt_to"] == ["a@y.test", "b@y.test"]
    assert facts["hello"] == "me.test"
    assert facts["protocol"] == "ESMTP"
    assert (facts["size"], facts["ret"], facts["envid"]) == (12, "HDRS", "e1")
    assert facts["notifications"] == {"0": {"notify": ["NEVER"], "orcpt": None}}
    assert len(bag) == sink.taken == 1


def test_without_a_mailbag_messages_are_dropped(tmp_path: Path) -> None:
    """They are taken and counted, and nothing is written."""
    sink = Sink()
    assert b"250 2.0.0 Ok: dropped" in talk(sink, ENVELOPE + RECIPIENTS + ON_THE_WIRE)
    assert sink.taken == 1
    assert not list(tmp_path.iterdir())


def test_half_a_message_leaves_nothing(tmp_path: Path) -> None:
    """A client that goes away in mid-data leaves neither mail nor a temporary file."""
    sink = Sink(Mailbag(tmp_path))
    assert b"354" in talk(sink, ENVELOPE + RECIPIENTS + b"half a mess")
    assert sink.taken == 0
    assert not list(tmp_path.iterdir())


def test_a_message_has_no_name_before_it_is_complete(tmp_path: Path) -> None:
    """Whoever lists the directory sees whole messages only."""
    bag = Mailbag(tmp_path)
    message = bag.begin({})
    message.write(b"half")
    assert len(bag) == 0
    assert [each.name[0] for each in tmp_path.iterdir()] == ["."]
    message.finish()
    assert len(bag) == 1


def test_mail_is_for_its_keeper_only(tmp_path: Path) -> None:
    """What others wrote is not shown to everybody on this host."""
    message = Mailbag(tmp_path).begin({})
    message.finish()
    assert {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {0o600}


def test_names_follow_the_order_of_arrival(tmp_path: Path) -> None:
    """A sorted listing is the order in which messages came."""
    bag = Mailbag(tmp_path)
    kept = []
    for _ in range(20):
        message = bag.begin({})
        message.finish()
        kept.append(message.name)
    assert len(set(kept)) == 20
    assert sorted(kept, key=lambda name: name[:22]) == kept


def test_no_room_is_a_transient_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """452 4.3.1 (RFC 5321 section 4.2.2) whenever the disk says no; nothing is left over."""
    bag = Mailbag(tmp_path)
    sink = Sink(bag)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("write", "finish"):
        with monkeypatch.context() as patch:
            patch.setattr("txsmtpconn.sink.mailbox.KeptMessage." + name, full)
            assert b"452 4.3.1" in talk(sink, ENVELOPE + RECIPIENTS + ON_THE_WIRE)
        assert not list(tmp_path.iterdir())
    monkeypatch.setattr(bag, "begin", full)
    assert b"452 4.3.1" in talk(sink, ENVELOPE + RECIPIENTS)
    assert sink.taken == 0


def test_everybody_may_log_in_unless_users_are_named() -> None:
    """The default is for tests that only want AUTH to work."""
    alice = Finished("alice", password="wonderland")
    session: Any = None
    assert Sink().on_auth(session, alice)
    assert Sink(users={"alice": "wonderland"}).on_auth(session, alice)
    assert not Sink(users={"alice": "other"}).on_auth(session, alice)
    assert not Sink(users={"bob": "wonderland"}).on_auth(session, alice)
    assert not Sink(users={"alice": ""}).on_auth(session, Finished("alice", token="t"))


def test_lmtp_answers_each_recipient(tmp_path: Path) -> None:
    """One message is kept, and two replies are given (RFC 2033 section 4.2)."""
    sink = Sink(Mailbag(tmp_path))
    said = talk(sink, (ENVELOPE + RECIPIENTS + ON_THE_WIRE).replace(b"EHLO", b"LHLO"), lmtp=True)
    assert said.count(b"250 2.0.0 Ok: kept as") == 2
    assert len(list(tmp_path.glob("*.eml"))) == 1


def test_what_is_kept_is_for_those_whom_it_was_taken_for(tmp_path: Path) -> None:
    """Where a rule refuses a recipient in LMTP, the others keep their own conditions."""
    sink = Sink(Mailbag(tmp_path))
    dsn = DSN(notify=("NEVER",))
    two = [Recipient("a@y.test"), Recipient("b@y.test", dsn=dsn), Recipient("a@y.test", dsn=dsn)]
    session: Any = SimpleNamespace(
        id="1", protocol="LMTP", hello_name="", remote_address="", identity=None, tls=None, data={}
    )
    taking = sink.on_data(session, Envelope("", two))
    taking.write(b"x")
    taking.finish_for(["b@y.test", "a@y.test"])
    (path,) = tmp_path.glob("*.json")
    facts = json.loads(path.read_text())
    assert facts["rcpt_to"] == ["a@y.test", "b@y.test"]
    assert list(facts["notifications"]) == ["1"]


def test_a_directory_that_cannot_be_written_to_is_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at the first message."""
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(ConfigError, match="not writable"):
        Mailbag(tmp_path)


def test_a_mailbag_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """The error names the path and the reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/x"):
        Mailbag(tmp_path / "file" / "x")
