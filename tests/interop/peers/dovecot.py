"""Dovecot: LMTP on TCP and on a unix socket, submission with SASL, and logins for Postfix."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import chown

import pytest

from tests.interop.peers.arrived import Arrived, from_maildirs
from tests.interop.peers.available import program, root
from tests.interop.peers.process import free_ports, running, scratch_directory
from txsmtpconn.testing import CertificateZoo

#: Who may log in, at Dovecot and at the Postfix that asks it.
USER, PASSWORD = "alice@a.test", "wonderland"
UTF8_USER, UTF8_PASSWORD = "ünï@a.test", "pässwörd"

_CONFIGURATION = """
base_dir = {base}/run
state_dir = {base}/state
instance_name = txs-{lmtp}
log_path = {base}/dovecot.log
auth_verbose = yes
protocols = lmtp submission
listen = 127.0.0.1
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = yes
login_trusted_networks =
mail_location = maildir:{base}/mail/%u
mail_uid = dovecot
mail_gid = dovecot
first_valid_uid = 1
first_valid_gid = 1
hostname = mx.test
postmaster_address = postmaster@mx.test
auth_mechanisms = plain login cram-md5 digest-md5 scram-sha-1 scram-sha-256 xoauth2 oauthbearer
auth_username_format = %Lu
# the default refuses user names that are not ASCII
auth_username_chars =
# a failed login must not delay the next test
auth_failure_delay = 0
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {base}/oauth2.conf.ext
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {base}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%n {base}/mailboxes
  default_fields = uid=dovecot gid=dovecot home={base}/mail/%n
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service submission-login {{
  chroot =
  inet_listener submission {{
    address = 127.0.0.1
    port = {submission}
  }}
  inet_listener submissions {{
    address = 127.0.0.1
    port = {submissions}
    ssl = yes
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
  unix_listener lmtp {{
    mode = 0666
  }}
}}
service auth {{
  inet_listener auth-postfix {{
    address = 127.0.0.1
    port = {auth}
  }}
  unix_listener auth-client {{
    mode = 0666
  }}
}}
service stats {{
  chroot =
}}
submission_relay_host = 127.0.0.1
submission_relay_port = {relay}
submission_relay_trusted = no
lmtp_rcpt_check_quota = no
namespace inbox {{
  inbox = yes
}}
"""

# Tokens are validated by their signature: there is nobody to ask.
_OAUTH2 = """
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={base}/keys/
username_attribute = email
issuers = https://issuer.test/
openid_configuration_url = https://issuer.test/.well-known/openid-configuration
scope = mail
force_introspection = no
"""

_TOKEN_HEADER = {"alg": "HS256", "typ": "JWT"}
_TOKEN_KEY = b"throw-away hmac key of 32 octets"

#: Who has a mailbox; anybody else is refused at RCPT.
_MAILBOXES = ("alice", "ünï", "u", "v", "w")


@dataclass(frozen=True, slots=True)
class Dovecot:
    """A running Dovecot and its ports on 127.0.0.1.

    Attributes:
        lmtp: LMTP, with STARTTLS.
        socket: LMTP on a unix socket.
        submission: submission, with STARTTLS.
        submissions: submission, with TLS from the start.
        auth: its protocol for other servers that check passwords.
        relay: where it passes on what is submitted, if somebody listens there.
        log: its log.
    """

    lmtp: int
    socket: Path
    submission: int
    submissions: int
    auth: int
    relay: int
    log: Path
    _mail: Path

    def messages(self) -> Iterable[Arrived]:
        """Read all mailboxes."""
        return from_maildirs(self._mail)()


@pytest.fixture(scope="session")
def dovecot(certificate_zoo: CertificateZoo) -> Iterator[Dovecot]:
    """Run a Dovecot for the whole session."""
    with serving(certificate_zoo) as running_dovecot:
        yield running_dovecot


@contextmanager
def serving(
    zoo: CertificateZoo, more: str = "", env: dict[str, str] | None = None
) -> Iterator[Dovecot]:
    """Run a Dovecot.

    Args:
        zoo: has its certificate.
        more: is added to its configuration.
        env: is added to its environment.
    """
    binary = program("dovecot", "dovecot-core")
    for module, package in (("lmtp", "dovecot-lmtpd"), ("submission", "dovecot-submissiond")):
        if not Path(f"/usr/lib/dovecot/{module}").exists():
            program(module, package)
    root("Dovecot changes its user")
    with scratch_directory("dc") as base:
        names = ("lmtp", "submission", "submissions", "auth", "relay")
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        _write_users(base)
        server = zoo["server"]
        for name, source in (("cert.pem", server.chain), ("key.pem", server.key)):
            (base / name).write_bytes(source.read_bytes())
        (base / "dovecot.conf").write_text(
            _CONFIGURATION.format(
                base=base, certificate=base / "cert.pem", key=base / "key.pem", **ports
            )
            + more
        )
        with running([binary, "-F", "-c", base / "dovecot.conf"], base, env) as process:
            process.wait_for_ports(ports["lmtp"], ports["submission"], ports["submissions"])
            yield Dovecot(
                socket=base / "run" / "lmtp",
                log=base / "dovecot.log",
                _mail=base / "mail",
                **ports,
            )


def access_token(user: str = USER, *, valid: int = 3600) -> str:
    """Make an OAuth 2 access token that Dovecot takes (a JSON Web Token, signed with HMAC).

    Args:
        user: whose it is.
        valid: for how many seconds; a negative number makes one that has expired.
    """
    now = int(time.time())
    # A clock that is behind ours by a moment is no reason to refuse it.
    claims = {"email": user, "sub": user, "iss": "https://issuer.test/", "scope": "mail"}
    times = {"iat": now - 5, "nbf": now - 5, "exp": now + valid}
    parts = [_urlsafe(json.dumps(part).encode()) for part in (_TOKEN_HEADER, claims | times)]
    signature = hmac.digest(_TOKEN_KEY, ".".join(parts).encode(), "sha256")
    return ".".join([*parts, _urlsafe(signature)])


def _urlsafe(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _write_users(base: Path) -> None:
    for name in ("run", "state", "mail"):
        (base / name).mkdir()
    chown(base / "mail", "dovecot", "dovecot")
    users = {USER: PASSWORD, UTF8_USER: UTF8_PASSWORD}
    (base / "users").write_text("".join(f"{u}:{{PLAIN}}{p}\n" for u, p in users.items()), "utf-8")
    (base / "oauth2.conf.ext").write_text(_OAUTH2.format(base=base))
    key = base / "keys" / "default" / "HS256" / "default"
    key.parent.mkdir(parents=True)
    key.write_bytes(base64.b64encode(_TOKEN_KEY))
    (base / "mailboxes").write_text("".join(f"{name}::::::\n" for name in _MAILBOXES), "utf-8")
