"""A client and a server, talking."""

from __future__ import annotations

from collections.abc import Mapping

from txsmtpconn.sasl import Challenge, ClientMechanism, Finished, SecretWanted, ServerMechanism


def converse(
    client: ClientMechanism,
    server: ServerMechanism,
    secrets: Mapping[str, object] | None = None,
    *,
    initial: bool = True,
) -> Finished:
    """Let the two talk to the end; `secrets` is what the server keeps of whom."""
    outcome = server.step(client.initial() if initial else None)
    while not isinstance(outcome, Finished):
        if isinstance(outcome, SecretWanted):
            outcome = outcome.go_on((secrets or {}).get(outcome.authcid))
        if isinstance(outcome, Challenge):
            outcome = server.step(client.step(outcome.octets))
    assert client.done
    return outcome
