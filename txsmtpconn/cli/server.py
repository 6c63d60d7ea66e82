"""Which server, and how: the switches that ``send`` and ``verify`` share."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import Any

from twisted.logger import Logger, textFileLogObserver

from txsmtpconn.cli.oauth2 import add_oauth2, provider_of
from txsmtpconn.cli.secrets import secret
from txsmtpconn.cli.switches import expect_none
from txsmtpconn.client import ConnectionOptions, Credentials
from txsmtpconn.client.options import make_options
from txsmtpconn.client.proxy import ProxyOptions
from txsmtpconn.client.url import read_url
from txsmtpconn.errors import ConfigError
from txsmtpconn.net.tls import TLSOptions
from txsmtpconn.transport.services import find

_SERVICE = "service://"

#: Switches that say more of the user in the URL.
_OF_A_USER = (
    *("password_file", "access_token_file", "authzid", "domain", "workstation"),
    *("client_id", "service_account_file"),
)


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add the switches."""
    parser.add_argument(
        "url",
        help="smtp://[USER@]HOST[:PORT], smtps:, lmtp: or lmtp+unix:///PATH, with options behind ?;"
        " service://[USER@]NAME for a well-known provider; mx: for the exchanges of each"
        " recipient's domain, mx:DOMAIN for those of one, srv:[USER@]DOMAIN for its submission"
        " service",
    )
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="print the conversation on standard error; secrets are left out",
    )
    _add_login(parser.add_argument_group("login, where the URL names a user"))
    add_oauth2(parser.add_argument_group("OAuth 2.0, instead of a password"))
    _add_tls(parser.add_argument_group("TLS"))
    _add_proxy(parser.add_argument_group("proxy"))


def _add_login(group: Any) -> None:
    group.add_argument(
        "--password-file",
        metavar="FILE",
        help="where the password is; - asks on the terminal. Without it, the environment's"
        " SMTPCONN_PASSWORD. It is never taken from the command line",
    )
    group.add_argument(
        "--access-token-file",
        metavar="FILE",
        help="where an OAuth 2.0 access token is. Without it, the environment's"
        " SMTPCONN_ACCESS_TOKEN",
    )
    group.add_argument(
        "--auth-method",
        metavar="NAME",
        help="the SASL mechanism; by default the strongest that fits. EXTERNAL, ANONYMOUS and"
        " GSSAPI need no password",
    )
    group.add_argument("--authzid", metavar="NAME", help="act as this user")
    group.add_argument("--domain", metavar="NAME", help="the Windows domain, for NTLM")
    group.add_argument("--workstation", metavar="NAME", help="what NTLM calls this machine")


def _add_tls(group: Any) -> None:
    group.add_argument(
        "--ca-file",
        metavar="FILE",
        help="trust the certificates in this PEM file instead of the system's",
    )
    group.add_argument("--cert-file", metavar="FILE", help="show this certificate to the server")
    group.add_argument("--key-file", metavar="FILE", help="its key")
    group.add_argument("--no-verify", action="store_true", help="accept any certificate")


def _add_proxy(group: Any) -> None:
    group.add_argument(
        "--proxy",
        metavar="URL",
        help="connect by way of http://[USER@]HOST[:PORT], https:, socks5:, socks4a: or socks4:,"
        " and in no other",
    )
    group.add_argument(
        "--proxy-password-file",
        metavar="FILE",
        help="where its password is. Without it, the environment's SMTPCONN_PROXY_PASSWORD",
    )
    group.add_argument(
        "--proxy-ca-file",
        metavar="FILE",
        help="what to trust of an https proxy, instead of the system's",
    )


def options_of(arguments: argparse.Namespace, reactor: Any) -> ConnectionOptions:
    """Return what the URL of a server and the switches beside it say.

    Raises:
        ConfigError: It makes no sense, a file is not what it should be, or a secret stands where
            everybody can read it.
    """
    made = make_options(None, with_switches(_read(arguments.url), arguments, reactor))
    if made.tls is not None:
        # Files that cannot be read are the caller's mistake, and not the server's.
        made.tls.client_connections(made.reference_name)
    return made


def with_switches(
    options: dict[str, Any], arguments: argparse.Namespace, reactor: Any
) -> dict[str, Any]:
    """Return a URL's options with those that the switches add.

    Args:
        options: What the URL says.
        arguments: The switches.
        reactor: For what fetches access tokens.

    Raises:
        ConfigError: See `options_of`.
    """
    tls = _tls(arguments)
    if tls is not None:
        if "tls" in options:
            raise ConfigError("TLS is told of in the URL and beside it")
        options["tls"] = tls
    mechanism = _once("auth_method", options, arguments.auth_method)
    proxy = _proxy(arguments, _once("proxy", options, arguments.proxy))
    named = options.pop("auth", None)
    credentials = _credentials(arguments, named, mechanism, reactor, proxy)
    options |= {"auth_method": mechanism, "proxy": proxy, "auth": credentials}
    if arguments.verbose:
        # Not on standard output, which is for what the command was asked for.
        observer = textFileLogObserver(sys.stderr)
        options |= {"logger": Logger("smtpconn", observer=observer), "transaction_log": True}
    return options


def _once(name: str, options: dict[str, Any], beside: str | None) -> str | None:
    """Take an option from the URL, or from beside it, and not from both."""
    in_url: str | None = options.pop(name, None)
    if in_url is not None and beside is not None:
        raise ConfigError(f"option {name} is given twice, in the URL and beside it")
    return in_url if beside is None else beside


def _read(url: str) -> dict[str, Any]:
    if not url.startswith(_SERVICE):
        return read_url(url)
    options = read_url("smtp://" + url.removeprefix(_SERVICE))
    name = options.pop("host")
    if options.pop("port", None) is not None:
        raise ConfigError("the URL of a service has no port: the service says which")
    service = find(name)
    if service is None:
        raise ConfigError(f"the service {name!a} is not known; give host and port")
    return options | service.options


def _tls(arguments: argparse.Namespace) -> TLSOptions | None:
    if arguments.no_verify and arguments.ca_file:
        raise ConfigError("--no-verify and --ca-file contradict each other")
    if not (arguments.no_verify or arguments.ca_file or arguments.cert_file or arguments.key_file):
        return None
    return TLSOptions(
        verify=not arguments.no_verify,
        ca_file=arguments.ca_file,
        cert_file=arguments.cert_file,
        key_file=arguments.key_file,
    )


def _credentials(
    arguments: argparse.Namespace,
    named: Credentials | None,
    mechanism: str | None,
    reactor: Any,
    proxy: ProxyOptions | None,
) -> Credentials | None:
    if named is None:
        expect_none(arguments, _OF_A_USER, "needs a user in the URL")
        nobody = Credentials(mechanism=mechanism)
        return nobody if mechanism is not None and nobody.complete else None
    if named.password is not None:
        raise ConfigError(
            "a password on the command line can be read by everybody on this machine:"
            " use --password-file or SMTPCONN_PASSWORD"
        )
    made = Credentials(
        named.user,
        mechanism=mechanism,
        authzid=arguments.authzid or "",
        domain=arguments.domain,
        workstation=arguments.workstation,
    )
    made = replace(made, **_proof(arguments, reactor, named.user or "", proxy))
    if not made.complete:
        raise ConfigError(
            "the URL names a user: give --password-file or SMTPCONN_PASSWORD,"
            " or --access-token-file or SMTPCONN_ACCESS_TOKEN"
        )
    return made


def _proof(
    arguments: argparse.Namespace, reactor: Any, user: str, proxy: ProxyOptions | None
) -> dict[str, Any]:
    """Return what the user has: switches win over the environment, and a token over a password."""
    provider = provider_of(arguments, reactor, user, proxy)
    by_switch = {
        "--password-file": arguments.password_file,
        "--access-token-file": arguments.access_token_file,
        "a token server": provider,
    }
    given = [name for name, value in by_switch.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} exclude each other")
    if provider is not None:
        return {"token_provider": provider}
    if arguments.password_file is None:
        token = secret(arguments.access_token_file, "SMTPCONN_ACCESS_TOKEN")
        if token is not None:
            return {"access_token": token}
    return {"password": secret(arguments.password_file, "SMTPCONN_PASSWORD")}


def _proxy(arguments: argparse.Namespace, told: str | None) -> ProxyOptions | None:
    if told is None:
        expect_none(arguments, ("proxy_password_file", "proxy_ca_file"), "needs --proxy")
        return None
    proxy = ProxyOptions.from_url(told)
    if proxy.password is not None:
        raise ConfigError(
            "a proxy's password on the command line can be read by everybody on this machine:"
            " use --proxy-password-file or SMTPCONN_PROXY_PASSWORD"
        )
    if proxy.user is not None:
        password = secret(arguments.proxy_password_file, "SMTPCONN_PROXY_PASSWORD")
        proxy = replace(proxy, password=password)
    elif arguments.proxy_password_file is not None:
        raise ConfigError("--proxy-password-file needs a user in the proxy's URL")
    if arguments.proxy_ca_file is not None:
        if proxy.tls is not None:
            raise ConfigError("the proxy's TLS is told of in its URL and beside it")
        proxy = replace(proxy, tls=TLSOptions(ca_file=arguments.proxy_ca_file))
    return proxy
