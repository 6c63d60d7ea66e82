"""Mail to any domain: who gets it, over which host, and what is known of each recipient."""

from __future__ import annotations

from collections.abc import Callable
from email.message import EmailMessage
from io import BytesIO
from typing import Any

import pytest
from twisted.internet.protocol import Factory, Protocol

from tests.transport.nexthop.world import BODY, World, envelope
from txsmtpconn import (
    ConfigError,
    Credentials,
    Delivery,
    DNSError,
    EnvelopeError,
    PoolError,
    SendCancelled,
    SMTPTransport,
    SocketError,
)
from txsmtpconn.testing import ScriptedPeer
from txsmtpconn.testing.script import close, expect, expect_data, expect_matching, send
from txsmtpconn.transport import PoolOptions

ONE, TWO = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def world() -> World:
    """Domain a.test with the hosts mx1 and mx2, which have addresses and no server yet."""
    world = World()
    world.domain("a.test", "mx1.test", "mx2.test")
    world.host("mx1.test", ONE)
    world.host("mx2.test", TWO)
    return world


@pytest.fixture(params=[None, True], ids=["singly", "pooled"])
def transport(world: World, request: pytest.FixtureRequest) -> SMTPTransport:
    """With a pool for each host, and without."""
    return world.transport(pool=request.param)


def peer(*lines: Any) -> ScriptedPeer:
    """Return a server that gets as far as its script."""
    return ScriptedPeer(send("220 mx1.test ESMTP"), expect("EHLO client.test"), *lines)


def deliveries(outcome: Any) -> dict[str, Delivery]:
    """Return what is known of each recipient."""
    return {each.address: each.delivery for each in outcome.recipients}


def test_each_domain_gets_its_own_and_the_caller_one_result(
    world: World, transport: SMTPTransport
) -> None:
    """Recipients of a domain share a transaction; each has its place in the result."""
    world.host("b.test", "192.0.2.3")
    world.server("mx1.test", ONE)
    world.server("b.test", "192.0.2.3")
    sending = transport.send(envelope("x@a.test", "y@b.test", "z@A.TEST"), BODY)
    result = world.result_of(sending)
    assert [each.address for each in result.recipients] == ["x@a.test", "y@b.test", "z@A.TEST"]
    assert set(deliveries(result).values()) == {Delivery.ACCEPTED}
    assert sorted(world.taken) == [
        ("b.test", ["y@b.test"], "hello"),
        ("mx1.test", ["x@a.test", "z@A.TEST"], "hello"),
    ]
    world.finish(transport)


def test_the_next_host_is_tried_where_the_first_is_not_there(
    world: World, transport: SMTPTransport
) -> None:
    """RFC 5321 section 5.1."""
    world.server("mx2.test", TWO)
    world.result_of(transport.send(envelope("x@a.test"), BODY))
    assert world.servers == ["mx2.test"]
    world.finish(transport)


@pytest.mark.parametrize(
    "lines",
    [
        [send("421 busy"), close()],
        [
            send("250-mx1.test\r\n250 PIPELINING"),
            expect_matching("MAIL FROM:.*"),
            send("421 later"),
            close(),
        ],
        [send("250 mx1.test"), expect_matching("MAIL FROM:.*"), close()],
        [send("250 mx1.test"), expect_matching("MAIL FROM:.*"), send("not a reply"), close()],
    ],
    ids=["EHLO 421", "MAIL 421", "closed", "garbage"],
)
def test_the_next_host_is_tried_where_the_first_fails(world: World, lines: list[Any]) -> None:
    """As long as nobody has been sent anything."""
    transport = world.transport()
    world.script(ONE, ScriptedPeer(send("220 mx1.test"), expect_matching("EHLO .*"), *lines))
    world.server("mx2.test", TWO)
    result = world.result_of(transport.send(envelope("x@a.test"), BODY), 60)
    assert result.accepted == ["x@a.test"]
    assert world.servers == ["mx2.test"]
    world.finish(transport)


def test_a_host_that_hangs_costs_its_deadline(world: World, transport: SMTPTransport) -> None:
    """And then the next is tried."""
    world.network.make_unreachable(f"{ONE}:25")
    world.server("mx2.test", TWO)
    sending = transport.send(envelope("x@a.test"), BODY)
    assert world.result_of(sending, 31).accepted == ["x@a.test"]
    world.finish(transport)


def test_all_addresses_of_a_host_are_tried(world: World, transport: SMTPTransport) -> None:
    """Before the next host is."""
    world.host("mx1.test", "2001:db8::1", ONE, "192.0.2.77")
    world.server("mx1.test", ONE)
    world.server("mx2.test", TWO)
    for _ in range(8):
        world.result_of(transport.send(envelope("x@a.test"), BODY), 5)
    assert set(world.servers) == {"mx1.test"}
    world.finish(transport)


def refusing(*replies: str) -> Callable[..., Any]:
    """Return a hook that gives each recipient its reply."""
    from txsmtpconn.server import SMTPRejection

    told = iter(replies)

    def hook(session: object, address: str, parameters: object) -> None:
        code, enhanced, text = next(told).split(" ", 2)
        if code != "250":
            raise SMTPRejection(int(code), enhanced, text)

    return hook


def test_who_is_put_off_is_tried_with_the_next_host(world: World, transport: SMTPTransport) -> None:
    """And only those: who was accepted gets no second copy, who was refused no second chance."""
    world.server(
        "mx1.test",
        ONE,
        on_rcpt_to=refusing("250 2.1.5 ok", "451 4.7.1 later", "550 5.1.1 nobody"),
    )
    world.server("mx2.test", TWO)
    sending = transport.send(envelope("a@a.test", "b@a.test", "c@a.test"), BODY)
    result = world.result_of(sending)
    assert deliveries(result) == {
        "a@a.test": Delivery.ACCEPTED,
        "b@a.test": Delivery.ACCEPTED,
        "c@a.test": Delivery.REJECTED,
    }
    assert sorted(world.taken) == [
        ("mx1.test", ["a@a.test"], "hello"),
        ("mx2.test", ["b@a.test"], "hello"),
    ]
    world.finish(transport)


def test_a_refusal_is_final(world: World, transport: SMTPTransport) -> None:
    """5yz is about the mail, not about the host."""
    world.server("mx1.test", ONE, on_rcpt_to=refusing("550 5.1.1 nobody"))
    world.server("mx2.test", TWO)
    error = world.failure_of(transport.send(envelope("x@a.test"), BODY))
    assert (error.delivery, error.response_code) == (Delivery.REJECTED, 550)
    assert world.taken == []
    world.finish(transport)


def test_what_a_server_said_outweighs_that_the_next_is_not_there(
    world: World, transport: SMTPTransport
) -> None:
    """The reply tells why the mail waits."""
    world.server("mx1.test", ONE, on_rcpt_to=refusing("451 4.7.1 greylisted"))
    error = world.failure_of(transport.send(envelope("x@a.test"), BODY), 5)
    assert (error.response_code, error.is_transient) == (451, True)
    assert error.delivery is Delivery.REJECTED
    world.finish(transport)


def test_doubt_ends_it(world: World, transport: SMTPTransport) -> None:
    """DESIGN 3.1: the mark has left; the next host would perhaps make a duplicate."""
    script = peer(
        send("250 mx1.test"),
        expect_matching("MAIL FROM:.*"),
        send("250 ok"),
        expect_matching("RCPT TO:.*"),
        send("250 ok"),
        expect("DATA"),
        send("354 go"),
        expect_data(),
        close(),
    )
    world.script(ONE, script)
    world.server("mx2.test", TWO)
    error = world.failure_of(transport.send(envelope("x@a.test"), BODY), 5)
    assert error.delivery is Delivery.IN_DOUBT
    assert world.taken == []
    world.finish(transport)


def test_at_most_so_many_hosts_are_tried(world: World) -> None:
    """A message is not to go through twenty dead hosts."""
    transport = world.transport(max_hosts=1)
    world.server("mx2.test", TWO)
    error = world.failure_of(transport.send(envelope("x@a.test"), BODY))
    assert isinstance(error, SocketError)
    assert world.taken == []
    world.finish(transport)


def test_a_domain_that_leads_nowhere_costs_the_others_nothing(
    world: World, transport: SMTPTransport
) -> None:
    """Its recipients have an error of their own, with a status for the report."""
    world.server("mx1.test", ONE)
    result = world.result_of(transport.send(envelope("x@a.test", "y@none.test"), BODY))
    assert deliveries(result) == {"x@a.test": Delivery.ACCEPTED, "y@none.test": Delivery.NOT_SENT}
    error = result.recipients[1].error
    assert (type(error), error.enhanced_code) == (DNSError, "5.1.2")
    world.finish(transport)


def test_a_host_whose_addresses_cannot_be_had_is_passed_over(
    world: World, transport: SMTPTransport
) -> None:
    """One SERVFAIL does not stop the mail."""
    world.zone.fail("mx1.test", 1)  # type: ignore[arg-type]
    world.zone.fail("mx1.test", 28)  # type: ignore[arg-type]
    world.server("mx2.test", TWO)
    assert world.result_of(transport.send(envelope("x@a.test"), BODY)).accepted == ["x@a.test"]
    world.finish(transport)


def test_a_loopback_exchange_is_not_connected_to(world: World, transport: SMTPTransport) -> None:
    """F38: nothing listens to strangers' wishes on 127.0.0.1."""
    world.domain("evil.test", "lo.evil.test")
    world.host("lo.evil.test", "127.0.0.1")
    world.server("mine", "127.0.0.1")
    for recipient in ("x@evil.test", "x@[127.0.0.1]", "x@[IPv6:::ffff:127.0.0.1]"):
        error = world.failure_of(transport.send(envelope(recipient), BODY))
        assert (type(error), error.is_permanent) == (DNSError, True)
    assert world.network.links == []
    world.finish(transport)


def test_loopback_can_be_allowed(world: World) -> None:
    """Explicitly: tests do."""
    transport = world.transport(allow_networks=["127.0.0.0/8"])
    world.server("mine", "127.0.0.1")
    world.result_of(transport.send(envelope("x@[127.0.0.1]"), BODY))
    assert world.servers == ["mine"]
    world.finish(transport)


@pytest.mark.parametrize("options", [{"own_names": "mx2.test"}, {"own_addresses": [TWO]}])
def test_a_backup_waits_for_the_primary(world: World, options: dict[str, Any]) -> None:
    """We are mx2: mx1 is down, and mail that comes back to us is no delivery."""
    transport = world.transport(**options)
    world.server("mx2.test", TWO)
    error = world.failure_of(transport.send(envelope("x@a.test"), BODY))
    assert isinstance(error, SocketError)
    assert error.is_transient
    assert world.taken == []
    world.finish(transport)


@pytest.mark.parametrize("options", [{"own_names": ["mx1.test"]}, {"own_addresses": [ONE]}])
def test_mail_that_is_for_us_loops(world: World, options: dict[str, Any]) -> None:
    """By our name and by our address."""
    transport = world.transport(**options)
    world.server("mx2.test", TWO)
    error = world.failure_of(transport.send(envelope("x@a.test"), BODY))
    assert (error.enhanced_code, error.is_permanent) == ("5.4.6", True)
    assert world.taken == []
    world.finish(transport)


def test_a_server_that_greets_with_our_name_is_ourselves(world: World) -> None:
    """By whatever way we got there."""
    transport = world.transport(name="mx1.test", own_names=[])
    world.domain("b.test", "alias.test")
    world.host("alias.test", ONE)
    world.server("mx1.test", ONE)
    error = world.failure_of(transport.send(envelope("x@b.test"), BODY))
    assert error.enhanced_code == "5.4.6"
    assert world.taken == []
    world.finish(transport)


def test_pools_are_shared_by_domains_with_one_host(world: World) -> None:
    """Connections go by host, port and demand, not by domain."""
    world.domain("b.test", "mx1.test")
    world.server("mx1.test", ONE)
    transport = world.transport(pool=PoolOptions(max_connections=1))
    for recipient in ("x@a.test", "y@b.test", "z@a.test"):
        world.result_of(transport.send(envelope(recipient), BODY))
    assert len(world.network.links) == 1
    world.finish(transport)


def test_no_more_pools_are_kept_than_may_be(world: World) -> None:
    """The one that was idle for longest goes."""
    world.host("b.test", "192.0.2.3")
    world.server("mx1.test", ONE)
    world.server("b.test", "192.0.2.3")
    transport = world.transport(pool=True, max_destinations=1)
    for recipient in ("x@a.test", "y@b.test", "z@a.test"):
        world.result_of(transport.send(envelope(recipient), BODY))
        world.network.settle()
        assert sum(not link.closed for link in world.network.links) == 1
    world.finish(transport)


def test_only_so_many_destinations_are_under_way(world: World) -> None:
    """The others wait for their turn, and get it."""
    transport = world.transport(max_destinations=2)
    for number in range(6):
        world.host(f"d{number}.test", f"192.0.2.{10 + number}")
        world.server(f"d{number}.test", f"192.0.2.{10 + number}")
    recipients = [f"x@d{number}.test" for number in range(6)]
    sending = transport.send(envelope(*recipients), BODY)
    assert sum(not link.closed for link in world.network.links) <= 2
    assert world.result_of(sending).accepted == recipients
    world.finish(transport)


@pytest.mark.parametrize(
    "message",
    [BODY, BODY.decode(), BytesIO(BODY), lambda: BytesIO(BODY), [BODY]],
    ids=["bytes", "str", "file", "opener", "list"],
)
def test_a_message_that_can_be_read_again_reaches_all(world: World, message: Any) -> None:
    """Several domains, and a dead host for one."""
    world.host("b.test", "192.0.2.3")
    world.server("mx2.test", TWO)
    world.server("b.test", "192.0.2.3")
    transport = world.transport()
    result = world.result_of(transport.send(envelope("x@a.test", "y@b.test"), message), 5)
    assert result.accepted == ["x@a.test", "y@b.test"]
    assert {last for *_, last in world.taken} == {"hello"}
    world.finish(transport)


def test_a_stream_goes_to_one_domain_and_the_rest_are_told(world: World) -> None:
    """It can be read once: the others are NOT_SENT, and safe to send to."""
    world.host("b.test", "192.0.2.3")
    world.server("mx2.test", TWO)
    world.server("b.test", "192.0.2.3")
    transport = world.transport()
    sending = transport.send(envelope("x@a.test", "y@b.test"), iter([BODY]))
    result = world.result_of(sending, 5)
    # mx1 is not there, and was not given the stream: mx2 gets it.
    assert deliveries(result) == {"x@a.test": Delivery.ACCEPTED, "y@b.test": Delivery.NOT_SENT}
    assert world.servers == ["mx2.test"]
    world.finish(transport)


def test_a_stream_that_was_begun_is_not_sent_elsewhere(world: World) -> None:
    """Its rest would be a mutilated message."""
    script = peer(send("250 mx1.test"), expect_matching("MAIL FROM:.*"), close())
    world.script(ONE, script)
    world.server("mx2.test", TWO)
    transport = world.transport()
    error = world.failure_of(transport.send(envelope("x@a.test"), iter([BODY])), 5)
    assert error.delivery is Delivery.NOT_SENT
    assert world.taken == []
    world.finish(transport)


def test_a_message_object_goes_to_its_recipients(world: World, transport: SMTPTransport) -> None:
    """`send_message` works as with any transport."""
    world.server("mx1.test", ONE)
    message = EmailMessage()
    message["From"], message["To"], message["Bcc"] = "me@client.test", "x@a.test", "y@a.test"
    message.set_content("hello")
    assert world.result_of(transport.send_message(message)).accepted == ["x@a.test", "y@a.test"]
    world.finish(transport)


def test_routes_lead_elsewhere(world: World) -> None:
    """To a host, to another domain's exchanges; the rest to its own."""
    world.server("mx1.test", ONE)
    world.server("smart", "192.0.2.9", port=2525)
    transport = world.transport(
        routes={"b.test": "[192.0.2.9]:2525", ".c.test": "a.test"},
    )
    recipients = ["x@b.test", "y@deep.c.test", "z@a.test"]
    result = world.result_of(transport.send(envelope(*recipients), BODY))
    assert result.accepted == recipients
    assert sorted((name, to) for name, to, _ in world.taken) == [
        ("mx1.test", ["y@deep.c.test", "z@a.test"]),
        ("smart", ["x@b.test"]),
    ]
    world.finish(transport)


def test_one_next_hop_takes_everything(world: World) -> None:
    """`next_hop`: the recipients' domains are not looked up, and share a transaction."""
    world.server("mx1.test", ONE)
    transport = world.transport("a.test")
    world.result_of(transport.send(envelope("x@far.test", "y@away.test"), BODY))
    assert world.taken == [("mx1.test", ["x@far.test", "y@away.test"], "hello")]
    assert world.result_of(transport.verify()) is True
    world.finish(transport)


def test_verify_needs_one_next_hop(world: World) -> None:
    """There is no one server that could be tried."""
    transport = world.transport()
    assert isinstance(world.failure_of(transport.verify()), ConfigError)
    fixed = world.transport("a.test")
    assert isinstance(world.failure_of(fixed.verify()), SocketError)
    world.finish(transport, fixed)


class Mute(Protocol):
    """A server that says nothing to MAIL."""

    def connectionMade(self) -> None:
        self.transport.write(b"220 b.test\r\n")

    def dataReceived(self, data: bytes) -> None:
        if data.startswith(b"EHLO"):
            self.transport.write(b"250 b.test\r\n")


def test_cancelling_leaves_nothing(world: World, transport: SMTPTransport) -> None:
    """In DNS, while connecting, and in a transaction; it tells what is known."""
    from txsmtpconn.transport.nexthop.records import RecordType

    world.zone.stall("slow.test", RecordType.MX)
    world.network.make_unreachable(f"{ONE}:25")
    world.host("b.test", "192.0.2.3")
    world.network.listen(Factory.forProtocol(Mute), "192.0.2.3:25")
    sending = transport.send(envelope("x@slow.test", "y@a.test", "z@b.test"), BODY)
    world.network.settle()
    sending.cancel()
    error = world.failure_of(sending)
    assert isinstance(error, SendCancelled)
    assert set(deliveries(error).values()) == {Delivery.NOT_SENT}
    closing = transport.close(0)
    world.network.settle()
    assert closing.called


def test_closing_lets_messages_end(world: World, transport: SMTPTransport) -> None:
    """And takes no more."""
    world.server("mx1.test", ONE)
    sending = transport.send(envelope("x@a.test"), BODY)
    closing = transport.close()
    assert isinstance(world.failure_of(transport.send(envelope("x@a.test"), BODY)), PoolError)
    assert world.result_of(sending).accepted == ["x@a.test"]
    world.network.advance(10)
    assert closing.called
    assert world.clock.getDelayedCalls() == []


def test_closing_with_a_deadline_gives_up(world: World, transport: SMTPTransport) -> None:
    """What has not ended by then is told to whoever waits."""
    world.network.make_unreachable(f"{ONE}:25")
    world.network.make_unreachable(f"{TWO}:25")
    sending = transport.send(envelope("x@a.test"), BODY)
    closing = transport.close(1.0)
    assert isinstance(world.failure_of(sending, 1.0), SendCancelled)
    assert closing.called
    assert world.clock.getDelayedCalls() == []


def test_an_address_literal_of_an_unknown_kind_is_refused(world: World) -> None:
    """At once, for good, and by name."""
    transport = world.transport()
    error = world.failure_of(transport.send(envelope("x@[x400:c=us]"), BODY))
    assert (type(error), error.recipient) == (EnvelopeError, "x@[x400:c=us]")
    world.finish(transport)


def test_international_domains_are_looked_up_as_a_labels(world: World) -> None:
    """IDNA."""
    world.host("xn--bcher-kva.test", ONE)
    world.server("b", ONE)
    transport = world.transport()
    result = world.result_of(transport.send(envelope("x@bücher.test"), BODY))
    assert result.accepted == ["x@bücher.test"]
    world.finish(transport)


@pytest.mark.parametrize(
    "options",
    [
        {"host": "a.test"},
        {"require_tls": True},
        {"lmtp": True},
        {"auth": Credentials("u", "p")},
        {"policies": "strict"},
        {"policies": {"a.test": "may", "b..test": "may"}},
        {"policies": "dane", "resolver": None},
        {"routes": {"a.test": "smtp://b.test"}},
        {"max_hosts": 0},
        {"max_destinations": True},
        {"allow_networks": ["x"]},
        {"dnssec": "127.0.0.1", "resolver": object()},
        {"dnssec": "192.0.2.53", "resolver": None},
        {"dnssec": "localhost", "resolver": None},
        {"resolver": object()},
        {"tls_reports": object()},
        {"mta_sts": object()},
        {"own_names": ["a..b"]},
        {"pool": 5},
        {"unknown": 1},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_makes_no_sense_is_refused(world: World, options: dict[str, Any]) -> None:
    """When it is said."""
    with pytest.raises(ConfigError):
        world.transport(**options)


def test_one_message_has_no_credentials_of_its_own(world: World) -> None:
    """It may go to many servers."""
    transport = world.transport("a.test")
    sending = transport.send(envelope("x@a.test"), BODY, auth=Credentials("u", "p"))
    assert isinstance(world.failure_of(sending), ConfigError)
    world.finish(transport)


@pytest.mark.parametrize("order", [("mx1.test", "gone.test"), ("gone.test", "mx1.test")])
def test_one_host_that_may_come_back_is_enough_to_wait(
    world: World, transport: SMTPTransport, order: tuple[str, str]
) -> None:
    """F38: that another host's name leads nowhere bounces nothing."""
    world.domain("a.test", *order)
    error = world.failure_of(transport.send(envelope("x@a.test"), BODY), 5)
    assert isinstance(error, SocketError)
    assert error.is_transient
    world.finish(transport)


def test_names_that_lead_nowhere_do_not_use_up_the_tries(world: World) -> None:
    """Six of them, and then a host."""
    world.domain("a.test", *(f"gone{number}.test" for number in range(6)), "mx2.test")
    world.server("mx2.test", TWO)
    transport = world.transport()
    assert world.result_of(transport.send(envelope("x@a.test"), BODY)).accepted == ["x@a.test"]
    world.finish(transport)


def test_the_port_holds_for_hosts_without_one(world: World) -> None:
    """For recipients' exchanges, for a next hop, and for routes; nothing is ignored."""
    world.server("mx1.test", ONE, port=2525)
    for next_hop, options in (
        (None, {}),
        ("a.test", {}),
        (None, {"routes": {"b.test": "a.test"}}),
    ):
        transport = world.transport(next_hop, port=2525, **options)
        recipient = "x@b.test" if options else "x@a.test"
        sending = transport.send(envelope(recipient), BODY)
        assert world.result_of(sending).accepted == [recipient]
        world.finish(transport)
