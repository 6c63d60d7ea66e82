"""A Kerberos realm of the test's own: a KDC, a user with a keytab, and Dovecot as a service."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.peers.available import program, python_package, root
from tests.interop.peers.dovecot import Dovecot, serving
from tests.interop.peers.process import free_ports, running, scratch_directory
from txsmtpconn.testing import CertificateZoo

REALM = "A.TEST"
#: Who may log in; Dovecot knows the mailbox of the same name.
PRINCIPAL = f"alice@{REALM}"

_LIBRARY = """
[libdefaults]
default_realm = {realm}
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
rdns = false
udp_preference_limit = 1
default_ccache_name = FILE:{base}/ccache
[realms]
{realm} = {{
  kdc = 127.0.0.1:{port}
}}
[domain_realm]
localhost = {realm}
"""

_KDC = """
[kdcdefaults]
kdc_listen = 127.0.0.1:{port}
kdc_tcp_listen = 127.0.0.1:{port}
[realms]
{realm} = {{
  database_name = {base}/principal
  key_stash_file = {base}/stash
  acl_file = {base}/acl
}}
"""

_DOVECOT = """
auth_mechanisms = plain scram-sha-256 gssapi
auth_krb5_keytab = {base}/service.keytab
auth_gssapi_hostname = "$ALL"
auth_realms = {realm}
import_environment = $import_environment KRB5_CONFIG={base}/krb5.conf KRB5RCACHETYPE=none
auth_username_format = %Lu
"""


@dataclass(frozen=True, slots=True)
class Realm:
    """A running realm.

    Attributes:
        dovecot: A service of it, which takes tickets.
        environment: What makes a process of ours a client of it, with the user's keytab.
        dead: The same where no KDC answers.
    """

    dovecot: Dovecot
    environment: dict[str, str]
    dead: dict[str, str]


@pytest.fixture(scope="session")
def realm(certificate_zoo: CertificateZoo) -> Iterator[Realm]:
    """Run a KDC and a Dovecot for the whole session."""
    python_package("gssapi", "txsmtpconn[gssapi]")
    kdc = program("krb5kdc", "krb5-kdc")
    if not Path("/usr/lib/dovecot/modules/auth/libmech_gssapi.so").exists():
        program("libmech_gssapi", "dovecot-gssapi")
    root("Dovecot changes its user")
    with scratch_directory("krb") as base:
        port, closed = free_ports(2)
        for name, number in (("krb5.conf", port), ("dead.conf", closed)):
            text = _LIBRARY.format(realm=REALM, base=base, port=number)
            (base / name).write_text(text)
        (base / "kdc.conf").write_text(_KDC.format(realm=REALM, base=base, port=port))
        env = {"KRB5_CONFIG": str(base / "krb5.conf"), "KRB5_KDC_PROFILE": str(base / "kdc.conf")}
        _fill(base, env)
        with running([kdc, "-n"], base, env) as process:
            process.wait_for_ports(port)
            more = _DOVECOT.format(base=base, realm=REALM)
            with serving(certificate_zoo, more, env) as dovecot:
                client = {
                    "KRB5_CONFIG": env["KRB5_CONFIG"],
                    "KRB5_CLIENT_KTNAME": str(base / "user.keytab"),
                    "KRB5CCNAME": f"FILE:{base}/ccache",
                }
                dead = {
                    "KRB5_CONFIG": str(base / "dead.conf"),
                    "KRB5CCNAME": f"FILE:{base}/ccache-dead",
                }
                yield Realm(dovecot, client, client | dead)


def _fill(base: Path, env: dict[str, str]) -> None:
    """Make the realm's database, its principals and their keytabs."""
    (base / "acl").write_text("")
    commands = [[program("kdb5_util", "krb5-kdc"), "create", "-s", "-r", REALM, "-P", "throw-away"]]
    admin = program("kadmin.local", "krb5-kdc")
    for name, keytab in (
        (f"smtp/localhost@{REALM}", "service"),
        (PRINCIPAL, "user"),
    ):
        commands.append([admin, "-r", REALM, "-q", f"addprinc -randkey {name}"])
        commands.append([admin, "-r", REALM, "-q", f"ktadd -k {base}/{keytab}.keytab {name}"])
    for command in commands:
        done = subprocess.run(
            command, env=os.environ | env, cwd=base, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    (base / "service.keytab").chmod(0o644)
