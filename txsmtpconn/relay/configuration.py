"""What a relay is told to do, checked before it does anything.

A relay is closed unless it is opened: `RelayOptions` refuses, at construction, what would make it
forward strangers' mail or send passwords in clear.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields

from txsmtpconn.errors import ConfigError
from txsmtpconn.net.listening import interface_of
from txsmtpconn.net.networks import LOOPBACK, Network, Networks, is_loopback
from txsmtpconn.relay.access import parse_networks
from txsmtpconn.relay.schedule import Schedule
from txsmtpconn.relay.spool import Doubt
from txsmtpconn.relay.trace import HOP_LIMIT
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.path import client_name


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOptions:
    """A relay's options. Times are seconds, sizes octets.

    Attributes:
        spool: The folder of the spool.
        upstream: The URL of the next hop, ``"smtp://user@mail.example:587"``.
        upstream_password: For its user; from a file or the environment, never from a command line.
        listen: Endpoint descriptions (`twisted.internet.endpoints.serverFromString`) for SMTP.
        listen_lmtp: The same for LMTP.
        name: Our own name, in the greeting and in trace fields; by default this host's.
        networks: Clients that may relay without logging in.
        proxy_networks: Load balancers, whose connections say by the PROXY protocol who their client
            is: that one is looked for in `networks`.
        xclient_networks: Clients that may say so by XCLIENT, and so may name any address.
        auth_users: A file of users and password hashes; with it, AUTH is offered.
        certificate: A PEM file with our certificate and its chain; with it, STARTTLS is offered.
        private_key: A PEM file with its key, where that is not in `certificate`.
        max_size: Octets of mail data in one message.
        max_recipients: Recipients in one transaction at the front door.
        max_clients: Connections at once.
        hop_limit: Received fields after which a message is in a loop.
        schedule: When a recipient is tried again, and given up.
        in_doubt: What becomes of a recipient whose attempt was cut off behind its end of data.
        concurrency: Messages under way to the next hop at once.
        connections: Connections to the next hop.
        transaction_recipients: Recipients of one transaction with the next hop.
        reserve: Octets of disk that mail may not use.
        spooling_limit: If it takes longer to store a message once it has come to its end, its
            client may have given up, and is told to come again: 451.
        lease: Seconds for which a claim holds without a sign of life.
        kept: Seconds for which a failed recipient stays in the spool.
        history: Seconds for which the history is kept.
        drain: Seconds that sessions and deliveries under way get when the relay stops.

    Raises:
        ConfigError: A value is out of its range, or the relay would be open to strangers.
    """

    spool: str
    upstream: str = field(repr=False)  # a URL may hold a password, though it should not
    upstream_password: str | None = field(default=None, repr=False)
    listen: tuple[str, ...] = ("tcp:2525:interface=127.0.0.1",)
    listen_lmtp: tuple[str, ...] = ()
    name: str = ""
    networks: tuple[str, ...] = tuple(str(each) for each in LOOPBACK)
    proxy_networks: tuple[str, ...] = ()
    xclient_networks: tuple[str, ...] = ()
    auth_users: str | None = None
    certificate: str | None = None
    private_key: str | None = None
    max_size: int = 50 * 1024 * 1024
    max_recipients: int = 1000
    max_clients: int = 100
    hop_limit: int = HOP_LIMIT
    schedule: Schedule = field(default_factory=Schedule)
    in_doubt: Doubt = Doubt.RETRY
    concurrency: int = 20
    connections: int = 4
    transaction_recipients: int = 100
    reserve: int = 64 * 1024 * 1024
    spooling_limit: float = 300.0
    lease: float = 1200.0
    kept: float = 30 * 86400.0
    history: float = 30 * 86400.0
    drain: float = 20.0

    def __post_init__(self) -> None:
        _check_ranges(self)
        if not self.listen and not self.listen_lmtp:
            raise ConfigError("the relay listens nowhere: give an endpoint")
        if not self.spool:
            raise ConfigError("a relay needs a folder for its spool")
        if not self.upstream:
            raise ConfigError("a relay needs the URL of its next hop")
        if self.private_key and not self.certificate:
            raise ConfigError("a private key without a certificate is of no use")
        Networks.parse(self.proxy_networks, "proxy_networks")
        Networks.parse(self.xclient_networks, "xclient_networks")
        try:
            client_name(self.name or "localhost")
        except LocalProtocolError as error:
            raise ConfigError(f"name: {error}") from None
        refuse_open_relay(
            (*self.listen, *self.listen_lmtp),
            self.parsed_networks,
            auth=self.auth_users is not None,
            tls=self.certificate is not None,
        )

    @property
    def public(self) -> bool:
        """Whether clients on other hosts can reach it."""
        return not all(is_local(each) for each in (*self.listen, *self.listen_lmtp))

    @property
    def parsed_networks(self) -> tuple[Network, ...]:
        """The networks as values."""
        return parse_networks(self.networks)


_AT_LEAST = {
    "max_size": 65536,  # RFC 5321 section 4.5.3.1.7: 64K octets
    "max_recipients": 100,  # RFC 5321 section 4.5.3.1.8
    "max_clients": 1,
    "concurrency": 1,
    "connections": 1,
    "transaction_recipients": 1,
    "reserve": 0,
    "spooling_limit": 1,
    "lease": 30,
    "kept": 1,
    "history": 1,
    "drain": 0,
}


def _check_ranges(options: RelayOptions) -> None:
    for each in fields(options):
        least = _AT_LEAST.get(each.name)
        value = getattr(options, each.name)
        if least is not None and not value >= least:
            raise ConfigError(f"{each.name} is {value}, and must be at least {least}")
    if not 50 <= options.hop_limit <= 100:
        raise ConfigError(f"hop_limit is {options.hop_limit}, and must be 50 to 100")


def refuse_open_relay(
    listen: Iterable[str], networks: Iterable[Network], *, auth: bool, tls: bool
) -> None:
    """Check that strangers cannot use the relay, and that passwords do not travel in clear.

    Raises:
        ConfigError: They could, or would; or the relay listens to a network of which nobody may
            use it.
    """
    networks = tuple(networks)
    public = [each for each in listen if not is_local(each)]
    beyond = [each for each in networks if not each.is_loopback]
    if public and not auth and not beyond:
        raise ConfigError(
            f"{public[0]} listens beyond this host, but nobody out there may relay: "
            "name your networks, or the users who may log in"
        )
    if public and auth and not tls:
        raise ConfigError(
            f"{public[0]} would take passwords in clear: give a certificate, or listen on loopback"
        )


def is_local(description: str) -> bool:
    """Tell whether an endpoint description can be reached from this host only.

    What we do not know is not local.
    """
    if description.startswith("unix:"):
        return True
    # Whoever reaches a port of haproxy may claim to come from anywhere: it is not of these kinds.
    interface = interface_of(description)
    return interface is not None and is_loopback(interface)
