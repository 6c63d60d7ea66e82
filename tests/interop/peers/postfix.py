"""Postfix: an MX, two kinds of submission, two strict MX, and clients, in one instance."""

from __future__ import annotations

import os
import pwd
import re
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import chown

import pytest

from tests.interop.peers.arrived import Arrived, from_maildirs
from tests.interop.peers.available import program, root
from tests.interop.peers.dovecot import PASSWORD, USER, Dovecot
from tests.interop.peers.lifeline import lifeline
from tests.interop.peers.process import accepts, free_ports, scratch_directory, wait_until
from txsmtpconn.testing import CertificateZoo

#: What Postfix takes at most, in octets.
SIZE = 5 * 1024 * 1024
#: How many recipients its narrow port takes in one transaction.
RECIPIENTS = 3

_MAIN = """
compatibility_level = 3.6
config_directory = {base}/etc
queue_directory = {base}/spool
data_directory = {base}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
meta_directory = /etc/postfix
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.test
mydestination = localhost, mx.test
mynetworks_style = host
# not 127.0.0.1: then it would trust every client, and relay for it
mynetworks = 127.0.0.77/32
local_recipient_maps =
alias_maps =
alias_database =
virtual_mailbox_domains = a.test
virtual_mailbox_base = {base}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
smtputf8_enable = yes
message_size_limit = {size}
mailbox_size_limit = 0
virtual_mailbox_limit = 0
maillog_file = {base}/maillog
maillog_file_prefixes = {base}
smtpd_tls_security_level = may
smtpd_tls_chain_files = {base}/etc/key.pem, {base}/etc/cert.pem
smtpd_tls_auth_only = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{auth}
smtpd_recipient_restrictions = permit_sasl_authenticated, reject_unauth_destination,
    check_recipient_access regexp:{base}/etc/rcpt.regexp
smtpd_delay_reject = no
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
relay_domains = regexp:{base}/etc/onward.regexp
smtp_tls_CAfile = {base}/etc/ca.pem
smtp_tls_verify_cert_match = localhost
smtp_sasl_password_maps = static:{{{user}:{password}}}
smtp_sasl_security_options =
smtp_tls_mandatory_protocols = >=TLSv1.2
"""

_ONWARD = r"""
/^[a-z]+-[0-9]+\.onward\.test$/   OK
"""

# A table of transports may not put what it has matched into its answers; this one may.
_RECIPIENTS = r"""
/^reject@/   550 5.1.1 no such user
/^defer@/    450 4.2.0 try later
/^drop@/     421 4.3.0 going away
/@([a-z]+)-([0-9]+)\.onward\.test$/   FILTER $1:[127.0.0.1]:$2
"""

_MASTER = """
127.0.0.1:{mx} inet n - n - - smtpd
127.0.0.1:{submission} inet n - n - - smtpd
  -o smtpd_sasl_auth_enable=yes -o smtpd_tls_security_level=encrypt
127.0.0.1:{submissions} inet n - n - - smtpd
  -o smtpd_sasl_auth_enable=yes -o smtpd_tls_wrappermode=yes
127.0.0.1:{strict} inet n - n - - smtpd
  -o smtpd_forbid_bare_newline=reject -o smtpd_forbid_bare_newline_exclusions=
  -o smtpd_forbid_unauth_pipelining=yes -o smtpd_data_restrictions=reject_unauth_pipelining
127.0.0.1:{narrow} inet n - n - - smtpd
  -o smtpd_recipient_limit={recipients}
127.0.0.1:{believing} inet n - n - - smtpd
  -o smtpd_authorized_xclient_hosts=127.0.0.1 -o smtpd_authorized_xforward_hosts=127.0.0.1
127.0.0.1:{impatient} inet n - n - - smtpd
  -o smtpd_timeout=1s
clear     unix  - - n - - smtp
  -o smtp_tls_security_level=none -o debug_peer_list=127.0.0.1 -o debug_peer_level=1
forward   unix  - - n - - smtp
  -o smtp_tls_security_level=none -o smtp_send_xforward_command=yes
verified  unix  - - n - - smtp
  -o smtp_tls_security_level=verify -o smtp_sasl_auth_enable=yes
wrapped   unix  - - n - - smtp
  -o smtp_tls_security_level=verify -o smtp_sasl_auth_enable=yes -o smtp_tls_wrappermode=yes
lmtp      unix  - - n - - lmtp
  -o debug_peer_list=127.0.0.1 -o debug_peer_level=1
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
local     unix  - n n - - local
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
postlog   unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True, slots=True)
class Postfix:
    """A running Postfix and its ports on 127.0.0.1.

    Every mailbox of a.test is there, but for reject@ (550), defer@ (450) and drop@ (421).

    Attributes:
        mx: STARTTLS is offered, AUTH is not.
        submission: no mail without TLS; AUTH behind it.
        submissions: TLS from the start.
        strict: refuses bare LF and commands sent ahead of their turn.
        narrow: takes no more than `RECIPIENTS` in one transaction.
        believing: takes XCLIENT and XFORWARD.
        impatient: says 421 to whoever is silent for a second.
        log: its log.
    """

    mx: int
    submission: int
    submissions: int
    strict: int
    narrow: int
    believing: int
    impatient: int
    log: Path
    _mail: Path

    def messages(self) -> Iterable[Arrived]:
        """Read what was delivered: one message for each recipient."""
        return from_maildirs(self._mail)()

    def onward(self, service: str, port: int) -> str:
        """Return the domain whose mail a client of Postfix hands to a port of ours.

        Args:
            service: "clear", "forward" (XFORWARD), "verified" (STARTTLS and AUTH), "wrapped" (TLS
                from the start and AUTH) or "lmtp".
            port: Ours, on 127.0.0.1.
        """
        return f"{service}-{port}.onward.test"

    def flights(self, port: int) -> list[list[str]]:
        """Return what its clients "clear" and "lmtp" said to a port, a list for each round trip."""
        logged = self.log.read_text("utf-8", "replace")
        said = re.findall(rf"([<>]) 127\.0\.0\.1\[127\.0\.0\.1\]:{port}: (.*)", logged)
        flights: list[list[str]] = []
        heard = True
        for side, line in said:
            if side == ">" and heard:
                flights.append([])
            heard = side == "<"
            if side == ">":
                flights[-1].append(line)
        return flights

    def fates(self, domain: str) -> dict[str, str]:
        """Return what Postfix has logged last of each recipient in a domain: "sent", ..."""
        logged = self.log.read_text("utf-8", "replace")
        return dict(re.findall(rf"to=<([^>]*@{re.escape(domain)})>.* status=(\w+)", logged))


@pytest.fixture(scope="session")
def postfix(certificate_zoo: CertificateZoo, dovecot: Dovecot) -> Iterator[Postfix]:
    """Run a Postfix for the whole session, with a configuration and a queue of its own."""
    binary = program("postfix")
    root("Postfix changes its user")
    with scratch_directory("pf") as base:
        names = ("mx", "submission", "submissions", "strict", "narrow", "believing", "impatient")
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        _configure(base, ports, certificate_zoo, dovecot.auth)
        command = [binary, "-c", str(base / "etc")]
        try:
            subprocess.run(
                [*command, "start"], capture_output=True, check=True, stdin=subprocess.DEVNULL
            )
            lifeline.tie(_master(base))
            for port in ports.values():
                wait_until(lambda port=port: accepts(port), f"Postfix on port {port}")
            yield Postfix(log=base / "maillog", _mail=base / "mail", **ports)
        finally:
            _stop(base)


def _configure(base: Path, ports: dict[str, int], zoo: CertificateZoo, auth: int) -> None:
    for name in ("etc", "spool", "data", "mail"):
        (base / name).mkdir()
    for name in ("data", "mail"):
        chown(base / name, "postfix")
    account = pwd.getpwnam("postfix")
    etc = base / "etc"
    (etc / "cert.pem").write_bytes(zoo["server"].chain.read_bytes())
    (etc / "key.pem").write_bytes(zoo["server"].key.read_bytes())
    (etc / "ca.pem").write_bytes(zoo.ca.read_bytes())
    main = _MAIN.format(
        base=base,
        uid=account.pw_uid,
        gid=account.pw_gid,
        auth=auth,
        size=SIZE,
        user=USER,
        password=PASSWORD,
    )
    (etc / "main.cf").write_text(main)
    (etc / "master.cf").write_text(_MASTER.format(recipients=RECIPIENTS, **ports))
    (etc / "rcpt.regexp").write_text(_RECIPIENTS)
    (etc / "onward.regexp").write_text(_ONWARD)


def _master(base: Path) -> int:
    """Return the master's process, which leads a group of its own; 0 where there is none."""
    try:
        return int((base / "spool" / "pid" / "master.pid").read_text())
    except (OSError, ValueError):
        return 0


def _stop(base: Path) -> None:
    """End the master and its children."""
    master = _master(base)
    if not master:
        return
    with suppress(ProcessLookupError):
        os.kill(master, signal.SIGTERM)
    try:
        wait_until(lambda: not Path(f"/proc/{master}").exists(), "the end of Postfix", 10)
    except TimeoutError:
        os.killpg(master, signal.SIGKILL)
    lifeline.untie(master)
