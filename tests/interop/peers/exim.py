"""Exim, unpacked beside an installed Postfix, in a mount namespace of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.peers.arrived import Arrived, from_maildirs
from tests.interop.peers.available import program, root, unpacked
from tests.interop.peers.dovecot import PASSWORD, USER
from tests.interop.peers.process import free_ports, running, scratch_directory, wait_until
from txsmtpconn.testing import CertificateZoo

_UID = 64321

_CONFIGURATION = r"""
primary_hostname = mx.test
exim_path = {binary}
spool_directory = {base}/spool
log_file_path = {base}/log/%slog
pid_file_path = {base}/exim.pid
local_interfaces = 127.0.0.1.{mx} : 127.0.0.1.{smtps}
tls_on_connect_ports = {smtps}
tls_advertise_hosts = *
tls_certificate = {base}/etc/cert.pem
tls_privatekey = {base}/etc/key.pem
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}
chunking_advertise_hosts = *
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
prdr_enable = true
message_size_limit = 5M
never_users =
smtp_accept_max = 50
smtp_accept_queue_per_connection = 0
smtp_enforce_sync = true
host_lookup =
rfc1413_query_timeout = 0s
dns_ipv4_lookup = *
keep_environment =
acl_smtp_mail = accept
acl_smtp_rcpt = acl_rcpt
acl_smtp_data = accept
acl_smtp_data_prdr = acl_prdr
begin acl
acl_rcpt:
  deny    local_parts = reject
          message = no such user
  defer   local_parts = defer
          message = try later
  accept  domains = a.test : ^[a-z]+-[0-9]+[.]onward[.]test\$
  accept  authenticated = *
  deny    message = relay not permitted
acl_prdr:
  deny    local_parts = picky
          message = not such mail
  accept
begin routers
onward:
  driver = manualroute
  domains = ^smtp-[0-9]+[.]onward[.]test\$
  route_list = * 127.0.0.1
  self = send
  transport = smtp
onward_lmtp:
  driver = manualroute
  domains = ^lmtp-[0-9]+[.]onward[.]test\$
  route_list = * 127.0.0.1
  self = send
  transport = lmtp
local:
  driver = accept
  domains = a.test
  transport = maildir
begin transports
smtp:
  driver = smtp
  allow_localhost
  port = ${{sg{{$domain}}{{^[a-z]+-([0-9]+)[.].*\$}}{{\$1}}}}
  hosts_try_chunking = *
  hosts_try_auth = *
  hosts_try_prdr = *
  hosts_require_tls = *
  tls_verify_certificates = {base}/etc/ca.pem
  tls_verify_hosts = *
  tls_verify_cert_hostnames =
  hosts_try_dane =
lmtp:
  driver = smtp
  protocol = lmtp
  allow_localhost
  port = ${{sg{{$domain}}{{^[a-z]+-([0-9]+)[.].*\$}}{{\$1}}}}
  hosts_try_chunking = *
  hosts_try_auth = *
  hosts_require_tls = *
  tls_verify_certificates = {base}/etc/ca.pem
  tls_verify_hosts = *
  tls_verify_cert_hostnames =
  hosts_try_dane =
maildir:
  driver = appendfile
  directory = {base}/mail/all
  create_directory
  maildir_format
  return_path_add
  user = Debian-exim
  group = Debian-exim
begin retry
* * F,1h,5s
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${{if and{{{{eq{{$auth2}}{{{user}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
  client_send = ^{user}^{password}
  server_prompts = :
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${{if and{{{{eq{{$auth1}}{{{user}}}}}{{eq{{$auth2}}{{{password}}}}}}}}}
  server_set_id = $auth1
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${{if eq{{$auth1}}{{{user}}}{{{password}}}fail}}
  server_set_id = $auth1
"""

# Its user exists only in this namespace.
_START = """
set -e
mount --bind {base}/etc/passwd /etc/passwd
mount --bind {base}/etc/group /etc/group
exec {binary} -C {base}/etc/exim.conf -bdf -q10s
"""


@dataclass(frozen=True, slots=True)
class Exim:
    """A running Exim and its ports on 127.0.0.1.

    It takes every mailbox of a.test but reject@ (550), defer@ (451) and, where a message may be
    refused for each recipient (PRDR), picky@; it offers CHUNKING, and insists on the order of
    commands.

    Attributes:
        mx: STARTTLS is offered; AUTH behind it.
        smtps: TLS from the start.
    """

    mx: int
    smtps: int
    _mail: Path
    _log: Path

    def messages(self) -> Iterable[Arrived]:
        """Read what was delivered: one message for each recipient."""
        return from_maildirs(self._mail)()

    def fates(self, domain: str, count: int) -> dict[str, str]:
        """Wait until it has logged so many recipients of a domain; return what: "=>", "**", ...

        Where several go by one connection, it logs "->" for all but the first: that is "=>", too.
        """
        found: dict[str, str] = {}

        def look() -> bool:
            logged = self._log.read_text("utf-8", "replace")
            lines = re.findall(rf" (=>|->|\*\*) (\S+@{re.escape(domain)})", logged)
            found.update({address: fate.replace("->", "=>") for fate, address in lines})
            return len(found) == count

        wait_until(look, "Exim's log")
        return found

    def onward(self, protocol: str, port: int) -> str:
        """Return the domain whose mail it hands to a port of 127.0.0.1, by STARTTLS and AUTH.

        Args:
            protocol: "smtp" or "lmtp".
            port: The port.
        """
        return f"{protocol}-{port}.onward.test"


@pytest.fixture(scope="session")
def exim(certificate_zoo: CertificateZoo) -> Iterator[Exim]:
    """Run an Exim for the whole session."""
    tree = unpacked("exim")
    root("Exim needs a mount namespace and changes its user")
    unshare = program("unshare", "util-linux")
    binary = tree / "usr" / "sbin" / "exim4"
    with scratch_directory("ex") as base:
        mx, smtps = free_ports(2)
        _lay_out(base, tree, certificate_zoo)
        (base / "etc" / "exim.conf").write_text(
            _CONFIGURATION.format(
                base=base, binary=binary, mx=mx, smtps=smtps, user=USER, password=PASSWORD
            )
        )
        script = _START.format(base=base, binary=binary)
        (base / "start.sh").write_text(script)
        command = [unshare, "-m", "--propagation", "private", "bash", base / "start.sh"]
        with running(command, base) as process:
            process.wait_for_ports(mx, smtps)
            yield Exim(mx, smtps, base / "mail", base / "log" / "mainlog")


def _lay_out(base: Path, tree: Path, zoo: CertificateZoo) -> None:
    for name in ("etc", "spool", "log", "mail"):
        (base / name).mkdir()
    for name in ("spool", "log", "mail"):
        os.chown(base / name, _UID, _UID)
    for name, line in (
        ("passwd", f"Debian-exim:x:{_UID}:{_UID}::/nonexistent:/usr/sbin/nologin"),
        ("group", f"Debian-exim:x:{_UID}:"),
    ):
        present = Path(f"/etc/{name}").read_text("utf-8")
        others = [each for each in present.splitlines() if not each.startswith("Debian-exim:")]
        (base / "etc" / name).write_text("\n".join([*others, line]) + "\n", "utf-8")
    (base / "etc" / "cert.pem").write_bytes(zoo["server"].chain.read_bytes())
    (base / "etc" / "ca.pem").write_bytes(zoo.ca.read_bytes())
    (base / "etc" / "key.pem").write_bytes(zoo["server"].key.read_bytes())
