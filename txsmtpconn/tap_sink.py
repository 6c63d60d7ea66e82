"""``twistd -n smtpsink``: its options, and the service that they make."""

from __future__ import annotations

import os
import re
import sys
from typing import Any, ClassVar

from twisted.application.service import IService
from twisted.python import usage

from txsmtpconn.client.credentials import Credentials
from txsmtpconn.client.url import read_url
from txsmtpconn.errors import ConfigError, SMTPError
from txsmtpconn.net.clock import steady_reactor
from txsmtpconn.net.files import secret_of, text_of
from txsmtpconn.server import ServerOptions, ServerTimeouts
from txsmtpconn.sink import Mailbag, RuleBook
from txsmtpconn.sink.mailbox import TemporaryMailbag
from txsmtpconn.sink.ruletext import parse_rule, read_rules
from txsmtpconn.sink.service import SinkService
from txsmtpconn.sink.shelf import MESSAGES, OCTETS, Shelf
from txsmtpconn.tap_numbers import naming, octets
from txsmtpconn.tap_start import CannotStart, PluginService

_DEFAULT_LISTEN = "tcp:2525:interface=127.0.0.1"
_DEFAULT_WEB_LISTEN = "tcp:8025:interface=127.0.0.1"
#: Where the password of the server to release to is looked for if there is no file.
PASSWORD_VARIABLE = "SMTPSINK_PASSWORD"  # noqa: S105 - a name, not a secret

_KEEP_HELP = (
    "Keep so many messages, the newest; the others are removed. With --store, all are kept unless"
    f" you say this or --keep-octets, and a page shows {MESSAGES}."
)
_KEEP_OCTETS_HELP = (
    "The same by the size of all messages together: 500M, 2G. Without --store it is"
    f" {OCTETS // 1024**3}G."
)
_PASSWORD_HELP = (
    "File with the password for that server; without it, the environment's"
    f" {PASSWORD_VARIABLE}. It is never taken from the command line."
)
_WEB_LISTEN_HELP = f"Where the page is, as an endpoint string. [default: {_DEFAULT_WEB_LISTEN}]"
_ENDS = (
    ["stop-after-messages", "M", None, "Stop once so many messages were taken.", int],
    ["stop-after-sessions", "n", None, "Stop once so many sessions have ended.", int],
)
#: Options, and those of which they need one.
_NEEDS = {
    "private-key": ("certificate",),
    "keep": ("store", "web"),
    "keep-octets": ("store", "web"),
    "web-listen": ("web",),
    "web-remote": ("web",),
    "web-host": ("web",),
    "release-to": ("web",),
    "release-allow": ("release-to",),
    "release-password-file": ("release-to",),
}
_NETWORKS = ("proxy-network", "xclient-network", "xforward-network")


class Options(usage.Options):
    """The options of the sink."""

    synopsis = "[options]"
    longdesc = (
        "Takes every message and delivers none. With --store, each message becomes NAME.eml"
        " and its envelope NAME.json; without, messages are dropped. With --web, a page shows them."
        " Listens on loopback unless told otherwise."
    )

    optParameters: ClassVar[list[list[Any]]] = [
        ["store", "d", None, "Directory to keep messages in; without it they are dropped."],
        ["keep", None, None, _KEEP_HELP, int],
        ["keep-octets", None, None, _KEEP_OCTETS_HELP],
        ["name", None, None, "Our name in the greeting; by default this host's."],
        ["banner", None, "ready", "What follows it there."],
        ["max-size", None, "50M", "Octets of the largest message: 500K, 50M; 0 for no limit."],
        ["bare-line-ends", None, "refuse", "Bare CR or LF in a message: refuse, normalise, allow."],
        ["max-clients", "m", 1000, "Connections at one time.", int],
        ["timeout", None, 300.0, "Seconds to wait for a command, or for more of a message.", float],
        ["certificate", "c", None, "PEM file with a certificate and its chain: offers STARTTLS."],
        ["private-key", "k", None, "PEM file with its key, where that is a file of its own."],
        ["users", "u", None, "File of NAME:PASSWORD lines: nobody else may log in."],
        ["rules", None, None, "File of rules, one to a line; they follow those of --rule."],
        ["seed", None, None, "Number that decides what chance decides; see the log for it.", int],
        *_ENDS,
        ["web-listen", "w", None, _WEB_LISTEN_HELP],
        ["release-to", None, None, "URL of a real server that the page may send messages to."],
        ["release-password-file", None, None, _PASSWORD_HELP],
    ]
    optParameters = naming(optParameters)
    optFlags: ClassVar[list[list[str | None]]] = [
        ["lmtp", None, "Speak LMTP."],
        ["implicit-tls", None, "TLS comes first, before the greeting."],
        ["require-auth", None, "Take mail only after a login."],
        ["allow-insecure-auth", None, "Offer logins in clear, too."],
        ["transcript", "t", "Log each line of each session; secrets are left out."],
        ["web", None, "Show the messages on a page, for a browser on this host."],
        ["web-remote", None, "Let --web-listen be elsewhere than on loopback: there is no login."],
    ]
    compData = usage.Completions(
        optActions={
            "store": usage.CompleteDirs(),
            "certificate": usage.CompleteFiles("*.pem"),
            "private-key": usage.CompleteFiles("*.pem"),
            "users": usage.CompleteFiles(),
            "rules": usage.CompleteFiles(),
            "bare-line-ends": usage.CompleteList(["refuse", "normalise", "allow"]),
            "release-password-file": usage.CompleteFiles(),
        }
    )

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        for name in ("listen", "hide", "rule", "web-host", "release-allow", *_NETWORKS):
            self[name] = []

    def opt_listen(self, description: str) -> None:
        """Where to listen, as an endpoint string; may be repeated. [default:
        tcp:2525:interface=127.0.0.1]"""  # noqa: D205, D209, D415 - twistd shows it whole
        self["listen"].append(description)

    opt_l = opt_listen

    def opt_hide(self, keyword: str) -> None:
        """A service extension to do without, such as CHUNKING; may be repeated."""
        self["hide"].append(keyword)

    def opt_rule(self, rule: str) -> None:
        """What to refuse, hold up or break off, such as 'RCPT 10% reject 451'; may be repeated."""
        self["rule"].append(rule)

    opt_r = opt_rule

    def opt_web_host(self, name: str) -> None:
        """A name under which browsers may ask for the page, besides localhost and addresses; may be
        repeated."""  # noqa: D205, D209
        self["web-host"].append(name)

    def opt_release_allow(self, pattern: str) -> None:
        """Recipients that a message may be released to, such as '*@example.com'; may be repeated.
        Nobody else gets anything."""  # noqa: D205, D209
        self["release-allow"].append(pattern)

    def opt_proxy_network(self, network: str) -> None:
        """A network of load balancers whose connections begin with a PROXY header, or are closed;
        may be repeated."""  # noqa: D205, D209
        self["proxy-network"].append(network)

    def opt_xclient_network(self, network: str) -> None:
        """A network whose hosts may say XCLIENT; may be repeated."""
        self["xclient-network"].append(network)

    def opt_xforward_network(self, network: str) -> None:
        """A network whose hosts may say XFORWARD; may be repeated."""
        self["xforward-network"].append(network)

    def postOptions(self) -> None:
        """Check what can be checked before anything is opened."""
        if not self["listen"]:
            self["listen"].append(_DEFAULT_LISTEN)
        for name in ("keep", "stop-after-messages", "stop-after-sessions"):
            if self[name] is not None and self[name] < 1:
                raise usage.UsageError(f"--{name} is 1 or more")
        if self["implicit-tls"] and not (self["certificate"] or all(map(_is_tls, self["listen"]))):
            raise usage.UsageError("--implicit-tls needs --certificate, or endpoints of TLS")
        for name, needed in _NEEDS.items():
            if self[name] and not any(self[each] for each in needed):
                raise usage.UsageError(f"--{name} needs --{' or --'.join(needed)}")
        for name in self["web-host"]:
            if not re.fullmatch(r"[^\s/:@]+", name):
                raise usage.UsageError(
                    f"--web-host is a name such as sink.example.org and no more, not {name!r}"
                )
        if (self["users"] or self["require-auth"]) and not self._offers_logins():
            raise usage.UsageError(
                "nobody could log in without --certificate, endpoints of TLS or"
                " --allow-insecure-auth"
            )
        if self["release-to"] and not self["release-allow"]:
            raise usage.UsageError("--release-to needs --release-allow: nobody would be allowed")

    def _offers_logins(self) -> bool:
        # A balancer that is trusted says whether its client came by TLS.
        given = ("certificate", "allow-insecure-auth", "proxy-network")
        return any(self[name] for name in given) or any(map(_is_tls, self["listen"]))


def _is_tls(description: str) -> bool:
    return description.partition(":")[0] in ("ssl", "tls")


def makeService(options: Options) -> IService:
    """Make the service.

    Raises:
        CannotStart: An option is wrong.
    """
    try:
        sink = _make_service(options)
    except SMTPError as error:
        raise CannotStart(f"smtpsink: {error}") from None
    return PluginService("smtpsink", sink)


def _make_service(options: Options) -> IService:
    reactor = steady_reactor()
    service = SinkService(
        reactor,
        _server_options(options),
        options["listen"],
        book=_rule_book(options),
        users=_users(options["users"]),
        shelf=_shelf(options),
        records=bool(options["web"]),
        max_messages=options["stop-after-messages"],
        max_sessions=options["stop-after-sessions"],
    )
    if options["web"]:
        _add_page(reactor, options, service)
    return service


def _server_options(options: Options) -> ServerOptions:
    timeout = options["timeout"]
    return ServerOptions(
        name=options["name"] or "",
        banner=options["banner"],
        lmtp=bool(options["lmtp"]),
        max_size=octets("max-size", options["max-size"]) or None,
        max_clients=options["max-clients"],
        # All clients of a test may well be on one host.
        max_clients_per_address=None,
        # The answer that a rule holds back may take its time.
        timeouts=ServerTimeouts(command=timeout, block=timeout, answer=86400, mark=86400),
        tls_cert_file=options["certificate"],
        tls_key_file=options["private-key"],
        implicit_tls=bool(options["implicit-tls"]),
        auth_required=bool(options["require-auth"]),
        allow_insecure_auth=bool(options["allow-insecure-auth"]),
        auth_delay=0,
        max_auth_failures_per_address=None,
        bare_line_ends=options["bare-line-ends"],
        disabled=options["hide"],
        proxy_networks=options["proxy-network"],
        xclient_networks=options["xclient-network"],
        xforward_networks=options["xforward-network"],
        logger=True if options["transcript"] else None,
        transaction_log=bool(options["transcript"]),
    )


def _rule_book(options: Options) -> RuleBook:
    book = RuleBook(options["seed"])
    rules = [rule for text in options["rule"] for rule in parse_rule(text)]
    if options["rules"] is not None:
        rules += read_rules(options["rules"])
    for rule in rules:
        book.add(rule)
    return book


def _shelf(options: Options) -> Shelf | None:
    stored = options["store"] is not None
    if not stored and not options["web"]:
        return None
    limits = {}
    if options["keep"] is not None:
        limits["messages"] = options["keep"]
    if options["keep-octets"] is not None:
        limits["octets"] = octets("keep-octets", options["keep-octets"])
        if not limits["octets"]:
            raise ConfigError("--keep-octets is 1 or more")
    asked = bool(limits)
    if stored and asked:
        # What somebody wants to keep goes for the reason that he has named, and for no other.
        limits = {"messages": sys.maxsize, "octets": sys.maxsize, **limits}
    mailbag = Mailbag(options["store"]) if stored else TemporaryMailbag()
    return Shelf(mailbag, **limits, discards=asked or not stored)


def _add_page(reactor: Any, options: Options, service: SinkService) -> None:
    try:
        from txsmtpconn.web.sink.service import add_page
    except ImportError as error:
        raise ConfigError(f"--web needs klein: install txsmtpconn[web] ({error})") from error
    add_page(
        reactor,
        service,
        options["web-listen"] or _DEFAULT_WEB_LISTEN,
        remote=bool(options["web-remote"]),
        names=options["web-host"],
        release_to=_release_to(options),
        release_allow=options["release-allow"],
    )


def _release_to(options: Options) -> dict[str, Any] | None:
    """Return the options of connections to a real server; the password comes from elsewhere."""
    if options["release-to"] is None:
        return None
    given = read_url(options["release-to"])
    auth = given.get("auth")
    if auth is None:
        return given
    if auth.password is not None:
        raise ConfigError(
            "--release-to holds a password, which every user of this host can read in the list of"
            f" processes: put it into a file (--release-password-file) or {PASSWORD_VARIABLE}"
        )
    path = options["release-password-file"]
    password = os.environ.get(PASSWORD_VARIABLE) if path is None else secret_of(path)
    if password is None and "auth_method" not in given:
        raise ConfigError(
            "--release-to names a user, and neither --release-password-file nor"
            f" {PASSWORD_VARIABLE} a password"
        )
    return {**given, "auth": Credentials(auth.user, password)}


def _users(path: str | None) -> dict[str, str] | None:
    """Read NAME:PASSWORD lines; empty ones and those that begin with # are skipped."""
    if path is None:
        return None
    users = {}
    for number, line in enumerate(text_of(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = re.fullmatch(r"([^:]+):(.+)", line)
        if found is None:
            raise ConfigError(f"{path}, line {number}: not NAME:PASSWORD")
        users[found[1]] = found[2]
    return users
