"""The relay as a service: what it starts, and the order in which it stops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock

from tests.relay.spool_contract import accept, states
from tests.relay.test_delivery import OK, FakeCourier
from tests.relay.threads import InlinePool, InlineThreads
from tests.server.hand import OPENING, Hand
from txsmtpconn.errors import ConfigError
from txsmtpconn.relay.configuration import RelayOptions
from txsmtpconn.relay.service import RelayService
from txsmtpconn.relay.spool import SpoolLockedError, SpoolUnavailableError, State
from txsmtpconn.relay.sqlite import SQLiteSpool
from txsmtpconn.relay.upstream import connection_options
from txsmtpconn.testing import MemoryNetwork
from txsmtpconn.testing.results import no_result_of, success_result_of


class Reactor(MemoryReactorClock):
    """A reactor that listens nowhere and whose threads are none."""

    stopped = False

    def callFromThread(self, call: Any, *arguments: Any) -> None:
        call(*arguments)

    def callWhenRunning(  # type: ignore[override]
        self, call: Any, *arguments: Any, **keywords: Any
    ) -> None:
        call(*arguments, **keywords)

    def removeSystemEventTrigger(self, _: object) -> None:  # noqa: N802
        return None

    def getThreadPool(self) -> InlineThreads:
        return InlineThreads()

    def stop(self) -> None:
        self.stopped = True


class Courier(FakeCourier):
    """Tells when it is closed."""

    def __init__(self, story: list[str]) -> None:
        super().__init__()
        self._story = story

    def close(self, timeout: float | None = None) -> Deferred[None]:
        self._story.append("courier closed")
        return succeed(None)


class House:
    """A relay with a spool on disk, and all else in memory."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.story: list[str] = []
        self.reactor = Reactor()  # type: ignore[no-untyped-call]
        self.reactor.advance(1_800_000_000)
        self.courier = Courier(self.story)
        seconds = self.reactor.seconds
        self.spool = SQLiteSpool(
            directory, self.reactor, reserve=0, now=seconds, monotonic=seconds, pool=InlinePool
        )
        given: dict[str, Any] = {"spool": str(directory), "upstream": "smtp://x", "name": "r.test"}
        self.relay = RelayService(
            self.reactor, RelayOptions(**given | options), self.spool, self.courier
        )
        self.network = MemoryNetwork(cast(Any, self.reactor))
        self._tell("_close", self.spool, "spool closed")

    def _tell(self, name: str, owner: Any, text: str) -> None:
        method = getattr(owner, name)

        def telling(*arguments: Any) -> Any:
            self.story.append(text)
            return method(*arguments)

        setattr(owner, name, telling)

    def start(self) -> None:
        self.relay.privilegedStartService()  # type: ignore[no-untyped-call]
        self.relay.startService()
        self.network.listen(self.relay.listeners[0].factory)

    def hand(self) -> Hand:
        hand = self.network.result_of(self.network.connect(Factory.forProtocol(Hand)))
        self.network.settle()
        return cast(Hand, hand)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A relay that has not started."""
    one = House(tmp_path / "spool")
    yield one
    if one.relay.running:
        stopped = one.relay.stopService()
        one.network.settle()
        success_result_of(stopped)


def test_mail_goes_in_at_the_front_and_out_at_the_back(house: House) -> None:
    """A message is taken, is with the courier at once, and has left when the next hop took it."""
    house.start()
    hand = house.hand()
    cast(Any, hand.transport).write(OPENING + b"Subject: x\r\n\r\n.\r\n")
    house.network.settle()
    queue_id = hand.heard.rpartition(b"queued as ")[2].strip().decode()
    (sent,) = house.courier.sent
    assert sent.addresses == ["r@y.test"]
    sent.reply(OK)
    assert states(house.spool, queue_id) == {}
    assert house.relay.counters.snapshot()["delivered"] == 1


def test_it_stops_from_the_front_to_the_back(house: House) -> None:
    """Listeners and sessions, then deliveries, then connections, then the spool."""
    house.start()
    accept(house.spool, "b@example")
    house.relay.dispatcher.wake()
    idle = house.hand()
    stopped = house.relay.stopService()
    house.network.settle()
    assert idle.heard.splitlines()[-1].startswith(b"421")
    no_result_of(stopped)
    assert house.story == []
    house.courier.sent[0].reply(OK)
    success_result_of(stopped)
    assert house.story == ["courier closed", "spool closed"]


def test_part_that_never_stops_does_not_keep_the_relay_running(
    house: House, logged_failures: list[object]
) -> None:
    """A fault of ours, a courier that never closes: the spool is closed in order all the same."""
    house.start()
    never: Deferred[None] = Deferred()
    house.courier.close = lambda timeout=None: never  # type: ignore[method-assign]
    broken = RuntimeError("a fault of ours")
    house.relay.dispatcher.stop = lambda timeout: fail(broken)  # type: ignore[method-assign]
    stopped = house.relay.stopService()
    no_result_of(stopped)
    house.reactor.advance(60)
    success_result_of(stopped)
    assert house.story == ["spool closed"]
    assert len(logged_failures) == 2
    logged_failures.clear()


def test_acknowledged_mail_is_in_the_spool_after_a_stop(house: House, tmp_path: Path) -> None:
    """What could not be delivered in time is due at the next start."""
    house.start()
    message = accept(house.spool, "b@example")
    house.relay.dispatcher.wake()
    stopped = house.relay.stopService()
    house.reactor.advance(20)
    success_result_of(stopped)
    again = House(tmp_path / "spool")
    again.reactor.advance(60)
    again.start()
    assert states(again.spool, message) == {"b@example": State.LEASED}
    assert len(again.courier.sent) == 1
    again.courier.sent[0].reply(OK)
    success_result_of(again.relay.stopService())


def test_held_spool_stops_the_start(house: House, tmp_path: Path) -> None:
    """A second relay on the spool raises at its start, and twistd ends with the reason."""
    house.start()
    second = House(tmp_path / "spool")
    with pytest.raises(SpoolLockedError):
        second.relay.startService()


def test_spool_that_fails_later_stops_the_process(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that fails when the reactor runs already ends the reactor, and says why."""
    starting: Deferred[Any] = Deferred()
    monkeypatch.setattr(house.spool, "start", lambda _: starting)
    house.relay.startService()
    starting.errback(SpoolUnavailableError("disk"))
    assert house.reactor.stopped


def test_clients_wait_for_the_spool(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes before the spool has started is greeted afterwards."""
    starting: Deferred[Any] = Deferred()
    start = house.spool.start
    monkeypatch.setattr(house.spool, "start", lambda _: starting)
    house.start()
    hand = house.hand()
    assert hand.heard == b""
    starting.callback(success_result_of(start()))
    house.network.settle()
    assert hand.heard.startswith(b"220 r.test")


def test_upstream_password_comes_from_the_options() -> None:
    """The URL names the user, a file or the environment has the password."""
    options = RelayOptions(spool="x", upstream="smtp://u@hop.test", upstream_password="hush")
    connection = connection_options(options)
    assert connection.auth is not None
    assert (connection.auth.user, connection.auth.password) == ("u", "hush")
    assert connection.host == "hop.test"


def test_upstream_user_without_a_password_is_refused() -> None:
    """Mail does not go out without the login that was asked for."""
    with pytest.raises(ConfigError, match="no password"):
        connection_options(RelayOptions(spool="x", upstream="smtp://u@hop.test"))


def test_failing_recovery_is_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool that fails at once raises, too."""
    monkeypatch.setattr(house.spool, "start", lambda _: fail(SpoolUnavailableError("disk")))
    with pytest.raises(SpoolUnavailableError):
        house.relay.startService()
