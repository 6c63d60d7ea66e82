"""``twistd -n smtpsink``: its options, and the service that they make."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

from twisted.application.service import IService
from twisted.python import usage

from txsmtpconn.errors import ConfigError, SMTPError
from txsmtpconn.net.clock import steady_reactor
from txsmtpconn.server import ServerOptions, SMTPServerFactory
from txsmtpconn.server.listening import ListeningService
from txsmtpconn.sink import Mailbag, Sink

_DEFAULT_LISTEN = "tcp:2525:interface=127.0.0.1"


class Options(usage.Options):
    """The options of the sink."""

    synopsis = "[options]"
    longdesc = (
        "Takes every message and delivers none. With --store, each message becomes NAME.eml"
        " and its envelope NAME.json; without, messages are dropped."
        " Listens on loopback unless told otherwise."
    )

    optParameters: ClassVar[list[list[Any]]] = [
        ["store", "d", None, "Directory to keep messages in; without it they are dropped."],
        ["name", None, None, "Our name in the greeting; by default this host's."],
        ["max-size", None, 50 * 1024 * 1024, "Octets of the largest message; 0 for no limit.", int],
        ["certificate", "c", None, "PEM file with a certificate and its chain: offers STARTTLS."],
        ["private-key", "k", None, "PEM file with its key, where that is a file of its own."],
        ["users", "u", None, "File of NAME:PASSWORD lines: nobody else may log in."],
    ]
    optFlags: ClassVar[list[list[str | None]]] = [
        ["lmtp", None, "Speak LMTP."],
        ["implicit-tls", None, "TLS comes first, before the greeting."],
        ["require-auth", None, "Take mail only after a login."],
        ["allow-insecure-auth", None, "Offer logins in clear, too."],
        ["transcript", "t", "Log each line of each session; secrets are left out."],
    ]
    compData = usage.Completions(
        optActions={
            "store": usage.CompleteDirs(),
            "certificate": usage.CompleteFiles("*.pem"),
            "private-key": usage.CompleteFiles("*.pem"),
            "users": usage.CompleteFiles(),
        }
    )

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self["listen"] = []
        self["hide"] = []

    def opt_listen(self, description: str) -> None:
        """Where to listen, as an endpoint string; may be repeated. [default:
        tcp:2525:interface=127.0.0.1]"""  # noqa: D205, D209, D415 - twistd shows it whole
        self["listen"].append(description)

    opt_l = opt_listen

    def opt_hide(self, keyword: str) -> None:
        """A service extension to do without, such as CHUNKING; may be repeated."""
        self["hide"].append(keyword)

    def postOptions(self) -> None:
        """Check what can be checked before anything is opened."""
        if self["max-size"] < 0:
            raise usage.UsageError("--max-size is 0 or more")
        if self["private-key"] and not self["certificate"]:
            raise usage.UsageError("--private-key needs --certificate")
        if not self["listen"]:
            self["listen"].append(_DEFAULT_LISTEN)


def makeService(options: Options) -> IService:
    """Make the service.

    Raises:
        SystemExit: An option is wrong; with the sentence to print, since twistd would show a
            traceback of any other exception.
    """
    try:
        server = ServerOptions(
            name=options["name"] or "",
            lmtp=bool(options["lmtp"]),
            max_size=options["max-size"] or None,
            tls_cert_file=options["certificate"],
            tls_key_file=options["private-key"],
            implicit_tls=bool(options["implicit-tls"]),
            auth_required=bool(options["require-auth"]),
            allow_insecure_auth=bool(options["allow-insecure-auth"]),
            auth_delay=0,
            max_auth_failures_per_address=None,
            disabled=options["hide"],
            logger=True if options["transcript"] else None,
            transaction_log=bool(options["transcript"]),
        )
        mailbag = None if options["store"] is None else Mailbag(options["store"])
        sink = Sink(mailbag, _users(options["users"]))
        reactor = steady_reactor()
        factory = SMTPServerFactory(reactor, sink, server)
        return ListeningService(reactor, factory, options["listen"], farewell=5.0)
    except SMTPError as error:
        raise SystemExit(f"smtpsink: {error}") from None


def _users(path: str | None) -> dict[str, str] | None:
    """Read NAME:PASSWORD lines; empty ones and those that begin with # are skipped."""
    if path is None:
        return None
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    users = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = re.fullmatch(r"([^:]+):(.+)", line)
        if found is None:
            raise ConfigError(f"{path}, line {number}: not NAME:PASSWORD")
        users[found[1]] = found[2]
    return users
