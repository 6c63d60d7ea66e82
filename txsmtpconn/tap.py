"""``twistd -n smtprelay``: its options, and the service that they make."""

from __future__ import annotations

import os
from functools import partial
from typing import Any, ClassVar

from twisted.application.service import IService
from twisted.python import usage

from txsmtpconn.client.url import read_url
from txsmtpconn.errors import ConfigError, SMTPError
from txsmtpconn.net.clock import steady_reactor
from txsmtpconn.net.files import secret_of
from txsmtpconn.relay.configuration import RelayOptions
from txsmtpconn.relay.schedule import Schedule, duration
from txsmtpconn.relay.service import make_relay
from txsmtpconn.relay.spool import Doubt, SpoolError
from txsmtpconn.tap_numbers import naming, octets
from txsmtpconn.tap_start import CannotStart, PluginService, give_up

#: Where the password of the next hop is looked for if there is no file.
PASSWORD_VARIABLE = "SMTPRELAY_PASSWORD"  # noqa: S105 - a name, not a secret

_UPSTREAM_HELP = (
    "The next hop: smtp://[USER@]HOST[:PORT], smtps:, lmtp: or lmtp+unix:///PATH, with the"
    " connection's options behind a question mark. Required."
)
_PASSWORD_HELP = (
    f"File with the password for the next hop; without it, the environment's {PASSWORD_VARIABLE}."
    " It is never taken from the command line."
)
_DOUBT_HELP = (
    "What becomes of a recipient whose attempt was cut off when the message may have been taken:"
    " retry (perhaps a duplicate; it is logged) or hold."
)

#: Options that may be repeated, and what they are to `RelayOptions`.
_REPEATED = {
    "listen": "listen",
    "listen-lmtp": "listen_lmtp",
    "network": "networks",
    "proxy-network": "proxy_networks",
    "xclient-network": "xclient_networks",
}


class Options(usage.Options):
    """The options of the relay."""

    synopsis = "--spool DIR --upstream URL [options]"
    longdesc = (
        "Takes mail by SMTP, commits it to its spool before it says so, and delivers it to the next"
        " hop, trying again until it is delivered, refused or too old. It listens on loopback and"
        " lets only this host relay, unless told otherwise; it does not start as an open relay."
    )

    optParameters: ClassVar[list[list[Any]]] = [
        ["spool", "s", None, "Directory of the spool; made if it is not there. Required."],
        ["upstream", "u", None, _UPSTREAM_HELP],
        ["password-file", "p", None, _PASSWORD_HELP],
        ["name", None, None, "Our name in greetings and trace fields; by default this host's."],
        ["users", None, None, "File of users who may log in and relay: see `smtpconn user`."],
        ["certificate", "c", None, "PEM file with a certificate and its chain: offers STARTTLS."],
        ["private-key", "k", None, "PEM file with its key, where that is a file of its own."],
        ["max-size", None, "50M", "Octets of the largest message: 500K, 50M."],
        ["max-recipients", None, 1000, "Recipients in one transaction that is taken in.", int],
        ["max-clients", None, 100, "Connections at once.", int],
        ["retry", None, "5m,10m,20m,40m,80m,160m,4h", "Waits before the further attempts."],
        ["lifetime", None, "5d", "After this a recipient is given up."],
        ["in-doubt", None, "retry", _DOUBT_HELP],
        ["concurrency", None, 20, "Messages under way to the next hop at once.", int],
        ["connections", None, 4, "Connections to the next hop.", int],
        ["drain", None, "20s", "Time for sessions and deliveries under way at a stop."],
    ]
    optParameters = naming(optParameters)
    compData = usage.Completions(
        optActions={
            "spool": usage.CompleteDirs(),
            "password-file": usage.CompleteFiles(),
            "users": usage.CompleteFiles(),
            "certificate": usage.CompleteFiles("*.pem"),
            "private-key": usage.CompleteFiles("*.pem"),
            "in-doubt": usage.CompleteList(["retry", "hold"]),
        }
    )

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        for option in _REPEATED:
            self[option] = []

    def opt_listen(self, description: str) -> None:
        """Where to take mail by SMTP, as an endpoint string; may be repeated. [default:
        tcp:2525:interface=127.0.0.1]"""  # noqa: D205, D209, D415 - twistd shows it whole
        self["listen"].append(description)

    opt_l = opt_listen

    def opt_listen_lmtp(self, description: str) -> None:
        """Where to take mail by LMTP; may be repeated."""
        self["listen-lmtp"].append(description)

    def opt_network(self, network: str) -> None:
        """A network whose hosts may relay without logging in, such as 192.0.2.0/24; may be
        repeated. Loopback may unless others are named."""  # noqa: D205, D209
        self["network"].append(network)

    def opt_proxy_network(self, network: str) -> None:
        """A network of load balancers whose connections begin with a PROXY header, or are closed;
        may be repeated."""  # noqa: D205, D209
        self["proxy-network"].append(network)

    def opt_xclient_network(self, network: str) -> None:
        """A network whose hosts may say XCLIENT, and so come from any address; may be repeated."""
        self["xclient-network"].append(network)

    def postOptions(self) -> None:
        """Check that what is required is there."""
        for name in ("spool", "upstream"):
            if not self[name]:
                raise usage.UsageError(f"--{name} is required")


def makeService(options: Options) -> IService:
    """Make the service.

    Raises:
        CannotStart: An option is wrong, or the relay would be open to strangers.
    """
    reactor: Any = steady_reactor()
    try:
        relay = make_relay(reactor, _relay_options(options), give_up=partial(give_up, reactor))
    except SMTPError as error:
        raise CannotStart(f"smtprelay: {error}") from None
    return PluginService("smtprelay", relay, SpoolError)


def _relay_options(options: Options) -> RelayOptions:
    credentials = read_url(options["upstream"]).get("auth")
    if credentials is not None and credentials.password is not None:
        raise ConfigError(
            "--upstream holds a password, which every user of this host can read in the list of"
            f" processes: put it into a file (--password-file) or into {PASSWORD_VARIABLE}"
        )
    given: dict[str, Any] = {
        "spool": options["spool"],
        "upstream": options["upstream"],
        "upstream_password": _password(options["password-file"]),
        "auth_users": options["users"],
        "certificate": options["certificate"],
        "private_key": options["private-key"],
        "max_size": octets("max-size", options["max-size"]),
        "max_recipients": options["max-recipients"],
        "max_clients": options["max-clients"],
        "schedule": Schedule.parse(options["retry"], duration(options["lifetime"])),
        "in_doubt": _doubt(options["in-doubt"]),
        "concurrency": options["concurrency"],
        "connections": options["connections"],
        "drain": duration(options["drain"]),
    }
    for option, name in _REPEATED.items():
        if options[option]:
            given[name] = tuple(options[option])
    if options["listen-lmtp"] and not options["listen"]:
        given["listen"] = ()
    if options["name"]:
        given["name"] = options["name"]
    return RelayOptions(**given)


def _doubt(text: str) -> Doubt:
    try:
        return Doubt(text)
    except ValueError:
        known = ", ".join(each.value for each in Doubt)
        raise ConfigError(f"--in-doubt is one of {known}, not {text!r}") from None


def _password(path: str | None) -> str | None:
    if path is None:
        return os.environ.get(PASSWORD_VARIABLE)
    return secret_of(path)
