"""Hosts: a look-up that has a deadline."""

from __future__ import annotations

from txsmtpconn.client.hosts import _BoundedReceiver


def test_a_resolution_ends_once() -> None:
    """What comes after the deadline reaches nobody."""
    heard: list[str] = []

    class Receiver:
        def resolutionBegan(self, _: object) -> None:  # noqa: N802
            heard.append("began")

        def addressResolved(self, address: object) -> None:  # noqa: N802
            heard.append(f"address {address}")

        def resolutionComplete(self) -> None:  # noqa: N802
            heard.append("complete")

    receiver = _BoundedReceiver(Receiver())
    receiver.resolutionBegan(None)  # type: ignore[arg-type]
    receiver.addressResolved("one")
    receiver.resolutionComplete()
    receiver.addressResolved("two")
    receiver.resolutionComplete()
    assert heard == ["began", "address one", "complete"]
