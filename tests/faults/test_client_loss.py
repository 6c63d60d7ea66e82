"""The client loses its connection, in clear and under TLS, at every stage: no Deferred is left."""

from __future__ import annotations

import pytest

from txsmtpconn import ConnectionLostError, Delivery, Envelope, SMTPError, TLSOptions, connect
from txsmtpconn.testing import MemoryNetwork, ScriptedPeer, failure_result_of
from txsmtpconn.testing.fixtures import certificate_zoo
from txsmtpconn.testing.script import (
    close,
    expect,
    expect_data,
    expect_octets,
    pause,
    reset,
    send,
    start_tls,
)

__all__ = ["certificate_zoo"]

GREETING = send("220 mx.test ESMTP")
HELLO = (expect("EHLO client.test"), send("250-mx.test", "250 PIPELINING"))
FLIGHT = expect("MAIL FROM:<a@a.test>", "RCPT TO:<u@a.test>", "DATA")
GO_AHEAD = send("250 ok", "250 ok", "354 go")
BODY = b"Subject: x\r\n\r\nbody\r\n"

#: Where the server goes away, and what that means for the recipient.
STAGES = {
    "ready": ((), Delivery.NOT_SENT),
    "envelope": ((FLIGHT,), Delivery.NOT_SENT),
    "half a reply": ((FLIGHT, send(b"250 ok\r\n25")), Delivery.NOT_SENT),
    "go-ahead": ((FLIGHT, GO_AHEAD), Delivery.IN_DOUBT),
    "mail data": ((FLIGHT, GO_AHEAD, expect_octets(5)), Delivery.IN_DOUBT),
    "end of data": ((FLIGHT, GO_AHEAD, expect_data()), Delivery.IN_DOUBT),
}


@pytest.mark.parametrize("end", [close(), reset()], ids=["close", "reset"])
@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_lost_connection_ends_everything_once(certificate_zoo, stage, tls, end):
    """What was called fails with where it stood; the end is told; no timer is left."""
    steps, delivery = STAGES[stage]
    opening = (start_tls(certificate_zoo.server_options()),) if tls else ()
    network = MemoryNetwork()
    network.serve(ScriptedPeer(*opening, GREETING, *HELLO, *steps, pause(1), end))
    connection = network.result_of(
        connect(
            network.clock,
            endpoint=network.client_endpoint(),
            host="localhost",
            name="client.test",
            secure=tls,
            tls=TLSOptions(ca_file=certificate_zoo.ca),
        )
    )
    sending = connection.send(Envelope("a@a.test", ["u@a.test"]), BODY)
    network.advance(1)
    error = failure_result_of(sending, SMTPError)
    assert isinstance(error, ConnectionLostError)
    assert error.delivery is delivery
    failure_result_of(connection.when_closed(), ConnectionLostError)
    assert network.links[0].closed
    assert network.clock.getDelayedCalls() == []
