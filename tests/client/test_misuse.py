"""What a caller may get wrong: each comes back as a failure, and harms nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface import implementer

from tests.client.dial import BODY, ENVELOPE, PIPELINING, Dial, delivery, greeted
from txsmtpconn import (
    ConfigError,
    ConnectionLostError,
    Credentials,
    Delivery,
    ProtocolError,
    SMTPError,
    TLSError,
    TLSOptions,
)
from txsmtpconn.testing import failure_result_of
from txsmtpconn.testing.script import close, expect, expect_close, send

SECRET = "hunter2-hunter2"


@pytest.mark.parametrize("given", [f"u:{SECRET}", ("u", SECRET), {"u": SECRET}, 5, ""])
@pytest.mark.parametrize("early", [False, True])
def test_credentials_of_another_kind(given: Any, early: bool) -> None:
    """ECONFIG without their value, before the session is ready too; the connection lives."""
    dial = Dial(*greeted(*PIPELINING), *delivery(), allow_insecure_auth=True)
    if not early:
        assert dial.ready
    connection = dial.ready
    error = failure_result_of(connection.login(given), ConfigError)
    assert SECRET not in repr(error)
    assert dial.result_of(connection.send(ENVELOPE, BODY)).accepted
    connection.close()


def test_two_challenges_at_once_end_the_session() -> None:
    """The second answers nothing: EPROTOCOL for the login, and nothing that waits is lost."""
    dial = Dial(
        *greeted("AUTH LOGIN"),
        expect("AUTH LOGIN"),
        send("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"),
        expect_close(),
        allow_insecure_auth=True,
    )
    connection = dial.ready
    login = connection.login(Credentials("u", SECRET))
    sent = connection.send(ENVELOPE, BODY)
    quitting = connection.quit()
    error = dial.failure_of(login)
    assert isinstance(error, ProtocolError)
    assert failure_result_of(sent, SMTPError).delivery is Delivery.NOT_SENT
    assert quitting.called
    failure_result_of(connection.when_closed(), ProtocolError)
    assert dial.is_over()


@implementer(IOpenSSLClientConnectionCreator)
class _Failing:
    def clientConnectionForTLS(self, tlsProtocol: object) -> Any:
        raise RuntimeError


def test_a_connection_creator_that_fails() -> None:
    """ETLS with its reason chained, at once."""
    dial = Dial(secure=True, tls=TLSOptions(connection_creator=_Failing()), interrupted=True)
    error = dial.refusal
    assert isinstance(error, TLSError)
    assert isinstance(error.__cause__, RuntimeError)
    assert dial.is_over()


def test_a_transport_that_says_twice_that_it_is_gone() -> None:
    """The first time counts."""
    dial = Dial(*greeted(), close())
    connection = dial.ready
    failure_result_of(connection.when_closed(), ConnectionLostError)
    connection.connectionLost()
    failure_result_of(connection.when_closed(), ConnectionLostError)
    assert dial.is_over()
