"""``smtpconn``: send a message, or look whether a server would take one.

Exit codes: 0 all is well; 1 some recipients were refused; 2 the message may or may not have been
delivered, so that sending it again may make a duplicate. Otherwise nothing was delivered, and the
codes are those of sysexits(3): 64 usage, 65 the message, 68 no such host, 69 refused for good, 75
try again later, 76 the server broke the protocol, 77 the login was refused, 78 configuration.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txsmtpconn import __version__
from txsmtpconn.cli_progress import Progress
from txsmtpconn.cli_queue import add_queue
from txsmtpconn.client import ConnectionOptions, Credentials, SMTPConnection
from txsmtpconn.client.connecting import connect_with
from txsmtpconn.client.options import make_options
from txsmtpconn.client.url import read_url
from txsmtpconn.envelope import DSN, Envelope
from txsmtpconn.errors import (
    AuthenticationError,
    ConfigError,
    DNSError,
    EnvelopeError,
    MessageError,
    NoCredentialsError,
    ProtocolError,
    SMTPError,
    printable,
)
from txsmtpconn.net.tls import TLSOptions
from txsmtpconn.outcome import Delivery, RecipientOutcome, SendResult
from txsmtpconn.relay.users import PasswordHash
from txsmtpconn.transport.preparation import (
    HEAD_LIMIT,
    envelope_addresses,
    head_of,
    without_bcc,
)

_CHUNK = 64 * 1024


def main(argv: list[str] | None = None) -> None:
    """Run the command; ends the process."""
    arguments = _parsed(argv)
    react(lambda reactor: Deferred.fromCoroutine(_run(reactor, arguments)), ())


def _parsed(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line; the file may stand behind switches, where argparse overlooks it."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if getattr(arguments, "file", None) == "-" and len(rest) == 1:
        [file] = rest
        if file == "-" or not file.startswith("-"):
            arguments.file, rest = file, []
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return arguments


async def _run(reactor: Any, arguments: argparse.Namespace) -> None:
    try:
        code = await arguments.command(reactor, arguments)
    except SMTPError as error:
        _tell(f"smtpconn: {error.code}: {printable(str(error), keep=chr(10))}")
        code = _exit_code(error)
    except OSError as error:
        _tell(f"smtpconn: {error.filename or ''}: {error.strerror or error}")
        code = 65
    raise SystemExit(code)


def _exit_code(error: SMTPError) -> int:
    if error.delivery is Delivery.IN_DOUBT:
        return 2
    if error.reply is not None and not isinstance(error, (AuthenticationError, ProtocolError)):
        return 75 if error.is_transient else 69
    kinds: list[tuple[type[SMTPError] | tuple[type[SMTPError], ...], int]] = [
        (ConfigError, 78),
        ((EnvelopeError, MessageError), 65),
        (DNSError, 68),
        ((AuthenticationError, NoCredentialsError), 77),
        (ProtocolError, 76),
    ]
    for kind, code in kinds:
        if isinstance(error, kind):
            return code
    return 75 if error.is_transient else 69


# -- the command line ----------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="smtpconn", description="Send mail by SMTP or LMTP.")
    parser.add_argument("--version", action="version", version=f"smtpconn {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    send = commands.add_parser(
        "send",
        help="send a message",
        description="Send a message from a file or standard input. Sender and recipients are those"
        " of its header section, unless they are given; Bcc fields are not sent.",
    )
    _add_server(send)
    send.add_argument("file", nargs="?", default="-", help="the message; - is standard input")
    send.add_argument(
        "-f",
        "--from",
        dest="mail_from",
        metavar="ADDRESS",
        help="the sender; an empty one is the null reverse-path",
    )
    send.add_argument(
        "-t",
        "--to",
        dest="rcpt_to",
        metavar="ADDRESS",
        action="append",
        help="a recipient; may be repeated",
    )
    send.add_argument("--ret", choices=["full", "hdrs"], help="what a failure report returns")
    send.add_argument("--envid", help="an identifier that reports repeat")
    send.add_argument("--notify", metavar="LIST", help="never, or any of success,failure,delay")
    send.add_argument("--body", choices=["7bit", "8bitmime", "binarymime"], help="declare the body")
    send.add_argument(
        "--require-tls-onwards",
        action="store_true",
        help="ask for TLS on the whole way (REQUIRETLS, RFC 8689)",
    )
    send.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    send.set_defaults(command=_send)

    verify = commands.add_parser(
        "verify",
        help="connect, log in where credentials are given, and say what was found",
        description="Connect, log in where credentials are given, say what was found, and leave."
        " No message is sent.",
    )
    _add_server(verify)
    verify.set_defaults(command=_verify)

    user = commands.add_parser(
        "user",
        help="print a line for a relay's file of users",
        description="Ask for a password and print NAME with its hash, as `twistd smtprelay --users`"
        " wants it; append it to that file.",
    )
    user.add_argument("name", help="the user's name")
    user.add_argument(
        "--password-file",
        metavar="FILE",
        default="-",
        help="where the password is; - asks on the terminal",
    )
    user.set_defaults(command=_user)
    add_queue(commands)
    return parser


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "url",
        help="smtp://[USER@]HOST[:PORT], smtps:, lmtp: or lmtp+unix:///PATH, with options behind ?",
    )
    parser.add_argument(
        "--password-file",
        metavar="FILE",
        help="where the password is; - asks on the terminal. Without it, the"
        " environment's SMTPCONN_PASSWORD. It is never taken from the command line",
    )
    parser.add_argument(
        "--ca-file",
        metavar="FILE",
        help="trust the certificates in this PEM file instead of the system's",
    )
    parser.add_argument("--cert-file", metavar="FILE", help="show this certificate to the server")
    parser.add_argument("--key-file", metavar="FILE", help="its key")
    parser.add_argument("--no-verify", action="store_true", help="accept any certificate")
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="print the conversation on standard error; secrets are left out",
    )


def _options(arguments: argparse.Namespace) -> ConnectionOptions:
    """Return what the URL and the switches beside it say."""
    options = read_url(arguments.url)
    if arguments.no_verify and arguments.ca_file:
        raise ConfigError("--no-verify and --ca-file contradict each other")
    if arguments.no_verify or arguments.ca_file or arguments.cert_file or arguments.key_file:
        if "tls" in options:
            raise ConfigError("TLS is told of in the URL and beside it")
        options["tls"] = TLSOptions(
            verify=not arguments.no_verify,
            ca_file=arguments.ca_file,
            cert_file=arguments.cert_file,
            key_file=arguments.key_file,
        )
    named: Credentials | None = options.get("auth")
    if named is not None and named.password is not None:
        raise ConfigError(
            "a password on the command line can be read by everybody on this machine:"
            " use --password-file or SMTPCONN_PASSWORD"
        )
    if named is not None:
        options["auth"] = Credentials(named.user, _password(arguments.password_file))
    elif arguments.password_file is not None:
        raise ConfigError("--password-file needs a user in the URL")
    if arguments.verbose:
        options |= {"logger": True, "transaction_log": True}
    made = make_options(None, options)
    if made.tls is not None:
        # Files that cannot be read are the caller's mistake, and not the server's.
        made.tls.client_connections(made.reference_name)
    return made


def _password(path: str | None) -> str:
    if path == "-":
        import getpass

        return getpass.getpass("Password: ", sys.stderr)
    if path is not None:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    password = os.environ.get("SMTPCONN_PASSWORD")
    if password is None:
        raise ConfigError("the URL names a user: give --password-file or SMTPCONN_PASSWORD")
    return password


# -- send ----------------------------------------------------------------------------------


async def _send(reactor: Any, arguments: argparse.Namespace) -> int:
    options = _options(arguments)
    with _opened(arguments.file) as stream:
        head, rest = _split(stream)
        size = _size(stream)
        envelope = _envelope(arguments, head, size)
        progress = Progress(sys.stderr, size, quiet=arguments.quiet)
        head = without_bcc(head)
        connection = await _connected(reactor, options)
        try:
            result = await connection.send(envelope, progress.over(_pieces(head, rest, stream)))
        finally:
            progress.end()
            await connection.quit()
    if not arguments.quiet:
        _report(result)
    return 1 if result.rejected else 0


def _opened(path: str) -> IO[bytes]:
    if path == "-":
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    return Path(path).open("rb")


def _split(stream: IO[bytes]) -> tuple[bytes, bytes]:
    """Read the header section, and what was read behind it."""
    beginning = b""
    while (end := head_of(beginning)) is None:
        chunk = stream.read(_CHUNK)
        if not chunk:
            end = len(beginning)
            break
        beginning += chunk
        if len(beginning) > HEAD_LIMIT:
            raise MessageError(f"no end of the header section within {HEAD_LIMIT} octets")
    if not beginning:
        raise MessageError("the message is empty")
    return beginning[:end], beginning[end:]


def _pieces(head: bytes, rest: bytes, stream: IO[bytes]) -> Iterator[bytes]:
    yield head + rest
    while chunk := stream.read(_CHUNK):
        yield chunk


def _size(stream: IO[bytes]) -> int | None:
    """Return the octets of a file; an estimate of the message, as RFC 1870 section 6.1 wants it."""
    try:
        return os.fstat(stream.fileno()).st_size or None
    except OSError:
        return None


def _envelope(arguments: argparse.Namespace, head: bytes, size: int | None) -> Envelope:
    mail_from, rcpt_to = arguments.mail_from, arguments.rcpt_to
    if mail_from is None or rcpt_to is None:
        named = envelope_addresses(head) if rcpt_to is None else None
        if mail_from is None:
            mail_from = (named or envelope_addresses(head + b"\r\nTo: nobody@invalid\r\n"))[0]
        if named is not None:
            rcpt_to = named[1]
    dsn = None
    if arguments.ret or arguments.envid or arguments.notify:
        dsn = DSN(ret=arguments.ret, envid=arguments.envid, notify=arguments.notify)
    return Envelope(
        mail_from,
        rcpt_to,
        size=size,
        dsn=dsn,
        body=arguments.body,
        requiretls=arguments.require_tls_onwards,
    )


async def _connected(reactor: Any, options: ConnectionOptions) -> SMTPConnection:
    connection = await connect_with(reactor, options)
    if options.auth is not None:
        try:
            await connection.login()
        except SMTPError:
            await connection.quit()
            raise
    return connection


def _report(result: SendResult) -> None:
    for outcome in result.recipients:
        print(f"{outcome.address}: {_fate(outcome)}")


def _fate(outcome: RecipientOutcome) -> str:
    reply = "" if outcome.reply is None else f" ({printable(str(outcome.reply), keep=chr(10))})"
    return f"{outcome.delivery.value}{reply}"


# -- verify --------------------------------------------------------------------------------


async def _verify(reactor: Any, arguments: argparse.Namespace) -> int:
    options = _options(arguments)
    connection = await _connected(reactor, options)
    for line in _findings(connection):
        print(line)
    await connection.quit()
    return 0


def _findings(connection: SMTPConnection) -> Iterator[str]:
    transport: Any = connection.transport
    yield f"connected to    {_shown_peer(transport.getPeer())}"
    if connection.secure:
        handle = transport.getHandle()
        yield f"TLS             {handle.get_protocol_version_name()}, {handle.get_cipher_name()}"
        certificate = transport.getPeerCertificate()
        if certificate is not None:
            facts = (
                certificate.to_cryptography()
                if hasattr(certificate, "to_cryptography")
                else certificate.original.to_cryptography()
            )
            yield f"certificate     {facts.subject.rfc4514_string()}"
            yield f"  issued by     {facts.issuer.rfc4514_string()}"
            yield f"  valid until   {facts.not_valid_after_utc:%Y-%m-%d}"
    else:
        yield "TLS             none: everything goes in clear"
    extensions = connection.extensions
    offered = sorted(keyword for keyword in extensions if keyword != "AUTH")
    yield f"extensions      {' '.join(offered) or 'none'}"
    yield f"AUTH            {' '.join(extensions.auth) or 'not offered'}"
    size = connection.max_size
    yield f"largest message {'no limit told' if size is None else f'{size} octets'}"
    yield f"logged in       {'yes' if connection.authenticated else 'no'}"


def _shown_peer(address: Any) -> str:
    host = getattr(address, "host", None)
    return f"{host} port {address.port}" if host is not None else str(address)


# -- user ----------------------------------------------------------------------------------


async def _user(reactor: Any, arguments: argparse.Namespace) -> int:
    del reactor
    name: str = arguments.name
    if not name or not name.isprintable() or ":" in name or name.startswith("#"):
        raise ConfigError(f"a user's name is printable text without a colon, not {name!a}")
    password = _password(arguments.password_file)
    if not password:
        raise ConfigError("the password is empty")
    print(f"{name}:{PasswordHash.of(password)}")
    return 0


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


__all__ = ["main"]

if __name__ == "__main__":
    main()
