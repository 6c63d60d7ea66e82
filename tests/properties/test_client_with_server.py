"""Our client at our server: whatever is legal gives the same messages and the same results.

The same as the model in `legal_uses` says without looking at the network: however octets are cut
and delayed, however long hooks take, in every mode of pipelining and chunking, by SMTP and LMTP, in
clear and under TLS.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.properties.house import PASSWORD, USER, House
from tests.properties.legal_uses import MOMENTS, Mail, Use, refusal_in, said_of, uses
from txsmtpconn import (
    Credentials,
    Delivery,
    SendResult,
    ServerOptions,
    SMTPError,
    SMTPServerFactory,
    TLSOptions,
    connect,
)
from txsmtpconn.testing import CertificateZoo, MemoryNetwork
from txsmtpconn.testing.fixtures import certificate_zoo

__all__ = ["certificate_zoo"]

#: Seconds in which everything is over, whatever the hooks, the network and the streams take.
PATIENCE = 200.0


class Call:
    """Something that is asked of a connection.

    Attributes:
        ends: What it has come to: one result or Failure, in the end.
    """

    def __init__(self, method: Callable[..., Deferred[Any]], arguments: tuple[Any, ...]) -> None:
        self.ends: list[Any] = []
        self._method = method
        self._arguments = arguments
        self._running: Deferred[Any] | None = None

    def begin(self, clock: Clock) -> None:
        """Ask."""
        given = [
            each.message(clock) if isinstance(each, Mail) else each for each in self._arguments
        ]
        self._running = self._method(*given).addBoth(self.ends.append)

    def cancel(self) -> None:
        """Take it back."""
        assert self._running is not None
        self._running.cancel()


class Visit:
    """A client at a server, in memory.

    Attributes:
        calls: What was asked of the connection.
    """

    def __init__(self, use: Use, zoo: CertificateZoo) -> None:
        self.use = use
        self.network = MemoryNetwork(**use.network)
        self.house = House(self.network.clock, use.waits, use.lmtp)
        self.calls: list[Call] = []
        files = zoo["server"]
        server: dict[str, Any] = {"name": "mx.test", "allow_insecure_auth": True, **use.server}
        client: dict[str, Any] = {"host": "localhost", "name": "me.test", **use.client}
        if use.tls is not None:
            server |= {"tls_cert_file": files.chain, "tls_key_file": files.key}
            server |= {"implicit_tls": use.tls == "implicit", "tls_required": True}
            client |= {"secure": use.tls == "implicit", "tls": TLSOptions(ca_file=zoo.ca)}
        if use.mechanism is not None:
            server |= {"auth_required": True, "auth_mechanisms": [use.mechanism]}
            client |= {"auth": Credentials(USER, PASSWORD), "allow_insecure_auth": True}
        factory = SMTPServerFactory(self.network.clock, self.house, ServerOptions(**server))
        self.network.listen(factory)
        endpoint = self.network.client_endpoint()
        connecting = connect(self.network.clock, endpoint=endpoint, **client)
        self.connection = self.network.result_of(connecting, PATIENCE)
        if use.mechanism is not None:
            self.network.result_of(self.connection.login(), PATIENCE)

    def call(self, moment: float, name: str, *arguments: Any) -> Call:
        """Call a method of the connection at a moment from now."""
        call = Call(getattr(self.connection, name), arguments)
        self.calls.append(call)
        self.network.clock.callLater(moment, call.begin, self.network.clock)
        return call

    def send_all(self) -> list[Call]:
        """Send all mail, and say what is said in between, each at its moment."""
        for name, moment in self.use.asides:
            self.call(moment, name)
        return [self.call(mail.moment, "send", mail.envelope, mail) for mail in self.use.mails]

    def finish(self) -> None:
        """Let everything come to its end, and look whether anything is left."""
        self.network.advance(PATIENCE)
        ended = [len(call.ends) for call in self.calls]
        assert ended == [1] * len(self.calls), self.network.report()
        self.network.result_of(self.connection.quit(), PATIENCE)
        self.network.advance(PATIENCE)
        assert self.house.open == 0
        assert not [call for call in self.network.clock.getDelayedCalls() if call.active()]


Outcome = tuple[str, Delivery, int]


def told(end: Any) -> tuple[bool, list[Outcome]]:
    """Return whether a send has fired, and what was said of each recipient."""
    outcome = getattr(end, "value", end)
    assert isinstance(outcome, (SendResult, SMTPError))
    return isinstance(outcome, SendResult), [
        (each.address, each.delivery, 0 if each.reply is None else each.reply.code)
        for each in outcome.recipients
    ]


def accepted_of(end: Any) -> list[str]:
    """Return who was accepted."""
    return [address for address, delivery, _ in told(end)[1] if delivery is Delivery.ACCEPTED]


def is_whole(end: Any) -> bool:
    """Whether each recipient has had a verdict."""
    verdicts = (Delivery.ACCEPTED, Delivery.REJECTED)
    return all(delivery in verdicts for _, delivery, _ in told(end)[1])


def may_be_left_out(visit: Visit, mail: Mail) -> bool:
    """Whether 452, "one too many", may be the last word on a recipient.

    A server without LIMITS shows only by that reply how many recipients it takes at once, and who
    was too many in a transaction that nobody was accepted in is not asked for again.
    """
    server = visit.use.server
    hopeless = refusal_in(mail.content) or (
        visit.use.lmtp and any(said_of(address, "f") for address in mail.envelope.addresses)
    )
    return "max_recipients" in server and "LIMITS" in server["disabled"] and bool(hopeless)


def check_end(visit: Visit, mail: Mail, end: Any) -> None:
    """A send has ended as the model says."""
    fired, said = told(end)
    expected = mail.outcomes(visit.use.lmtp)
    if may_be_left_out(visit, mail):
        expected = [
            now if now == (then[0], Delivery.REJECTED, 452) else then
            for now, then in zip(said, expected, strict=True)
        ]
    assert said == expected
    if any(delivery is Delivery.ACCEPTED for _, delivery, _ in said):
        assert fired
    else:
        assert fired is mail.has_result(visit.use.lmtp)


def arrived(visit: Visit, number: int) -> list[Any]:
    """Return the transactions that brought a message."""
    return [each for each in visit.house.taken if each.octets.startswith(b"N: %d\r\n" % number)]


def check_arrival(visit: Visit, number: int, accepted: list[str]) -> None:
    """A message has come to whom it was accepted for, once, and as it was sent."""
    mail = visit.use.mails[number]
    came = arrived(visit, number)
    assert Counter(address for each in came for address in each.rcpt_to) == Counter(accepted)
    assert {each.octets for each in came} <= mail.arrives_as
    for each in came:
        assert each.envelope.mail_from == mail.envelope.mail_from
        for name in ("requiretls", "mt_priority", "hold_for"):
            assert getattr(each.envelope, name) == getattr(mail.envelope, name)
        if mail.envelope.dsn is not None:
            assert each.envelope.dsn == mail.envelope.dsn
        if mail.envelope.body is not None:
            assert each.envelope.body == mail.envelope.body
        notices = [(one.address, one.dsn) for one in each.envelope.recipients]
        assert set(notices) <= {(one.address, one.dsn) for one in mail.envelope.recipients}
    if "max_recipients" not in visit.use.server:
        assert len(came) == bool(accepted)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(use=uses())
def test_any_legal_use_gives_what_the_model_says(certificate_zoo: CertificateZoo, use: Use) -> None:
    """Every send ends as it must, and every message is there as it was sent, once."""
    visit = Visit(use, certificate_zoo)
    sent = visit.send_all()
    visit.finish()
    for number, (mail, call) in enumerate(zip(use.mails, sent, strict=True)):
        [end] = call.ends
        check_end(visit, mail, end)
        check_arrival(visit, number, accepted_of(end))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(use=uses(), cancelled=st.integers(0, 5), moment=MOMENTS)
def test_to_cancel_one_harms_no_other(
    certificate_zoo: CertificateZoo, use: Use, cancelled: int, moment: float
) -> None:
    """Those sent before end as the model says; those behind it, too, or they were not sent.

    So do the further transactions of a message that takes several: they queue behind.
    """
    visit = Visit(use, certificate_zoo)
    sent = visit.send_all()
    cancelled %= len(sent)
    victim = use.mails[cancelled]
    visit.network.clock.callLater(victim.moment + moment, sent[cancelled].cancel)
    visit.finish()
    for number, (mail, call) in enumerate(zip(use.mails, sent, strict=True)):
        [end] = call.ends
        before = (mail.moment, number) < (victim.moment, cancelled)
        before = before and "max_recipients" not in use.server
        if number == cancelled or not (before or is_whole(end)):
            check_unfinished(visit, number, told(end)[1])
            continue
        check_end(visit, mail, end)
        check_arrival(visit, number, accepted_of(end))


def check_unfinished(visit: Visit, number: int, said: list[tuple[str, Delivery, int]]) -> None:
    """Nothing false was said of a message that was given up."""
    whole = arrived(visit, number)
    assert {each.octets for each in whole} <= visit.use.mails[number].arrives_as
    came = Counter(address for each in whole for address in each.rcpt_to)
    certain = Counter(a for a, delivery, _ in said if delivery is Delivery.ACCEPTED)
    possible = certain + Counter(a for a, delivery, _ in said if delivery is Delivery.IN_DOUBT)
    assert certain <= came <= possible
