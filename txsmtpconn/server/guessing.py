"""Failed authentications by address: who guesses passwords is slowed down, and then shut out.

The first failure costs nothing, as people mistype. Each further one makes its reply wait twice as
long as the last, and from some number on AUTH is refused until enough time has passed without one.
What an address has done is remembered over its connections, and forgotten in the end.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from twisted.internet.interfaces import IReactorTime

from txsmtpconn.net.networks import address_of

#: Addresses that are remembered at most; beyond that the one that failed longest ago is forgotten.
ADDRESSES = 10_000
#: One customer's part of IPv6 (RFC 6177): as many addresses as anyone likes.
_CUSTOMER = 64


@dataclass(slots=True)
class _Record:
    failures: int = 0
    last: float = 0.0


class Guessing:
    """Remembers who has failed to authenticate.

    Args:
        clock: Where the time comes from.
        delay: Seconds that the reply to the second failure waits; 0 for none at all.
        longest: Seconds that a reply waits at most.
        most: Failures after which an address is refused; None for never.
        memory: Seconds without a failure after which an address is forgotten.
    """

    def __init__(
        self,
        clock: IReactorTime,
        *,
        delay: float,
        longest: float,
        most: int | None,
        memory: float,
    ) -> None:
        self._clock = clock
        self._delay = delay
        self._longest = longest
        self._most = most
        self._memory = memory
        # In the order of their last failures.
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def __len__(self) -> int:
        """Return how many addresses are remembered."""
        return len(self._records)

    def failed(self, host: str) -> float:
        """Take note of a failure.

        Args:
            host: The client's address; one that has none, as of a unix socket, is not remembered.

        Returns:
            For how many seconds its reply is to wait.
        """
        key = _key(host)
        if key is None:
            return 0.0
        self._forget()
        record = self._records.setdefault(key, _Record())
        self._records.move_to_end(key)
        record.failures += 1
        record.last = self._clock.seconds()
        if len(self._records) > ADDRESSES:
            self._records.popitem(last=False)
        if record.failures == 1:
            return 0.0
        # The exponent is bounded, as the number of failures is not.
        return min(self._delay * 2.0 ** min(record.failures - 2, 32), self._longest)

    def refuses(self, host: str) -> bool:
        """Tell whether an address has failed so often that it is not asked any more."""
        key = _key(host)
        if self._most is None or key is None:
            return False
        self._forget()
        record = self._records.get(key)
        return record is not None and record.failures >= self._most

    def _forget(self) -> None:
        until = self._clock.seconds() - self._memory
        while self._records:
            oldest = next(iter(self._records))
            if self._records[oldest].last > until:
                return
            del self._records[oldest]


def _key(host: str) -> str | None:
    address = address_of(host)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, _CUSTOMER), strict=False))
    return None if address is None else str(address)
