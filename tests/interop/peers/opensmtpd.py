"""OpenSMTPD of Debian 12, whose TLS does not work: a server that says 220 and then fails.

Its paths are compiled in, so it runs in a mount namespace where they are its own.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.peers.arrived import Arrived, from_maildirs
from tests.interop.peers.available import program, root, unpacked
from tests.interop.peers.process import free_ports, running, scratch_directory
from txsmtpconn.testing import CertificateZoo

_USERS = {"opensmtpd": 64331, "opensmtpq": 64332, "vmail": 64340}

_CONFIGURATION = """
pki srv cert "{base}/etc/cert.pem"
pki srv key "{base}/etc/key.pem"
table vmap file:{base}/etc/vmap
smtp max-message-size 5M
listen on 127.0.0.1 port {mx} tls pki srv hostname mx.test
action "in" maildir "{base}/mail/Maildir" virtual <vmap>
match from any for domain "a.test" action "in"
"""

_START = """
set -e
for name in passwd group shadow; do mount --bind {base}/etc/$name /etc/$name; done
mkdir -p /var/spool/smtpd /var/lib/opensmtpd/empty /usr/libexec/opensmtpd
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=711 tmpfs /var/spool/smtpd
mount -t tmpfs -o mode=755 tmpfs /var/lib/opensmtpd/empty
mount --bind {tree}/usr/libexec/opensmtpd /usr/libexec/opensmtpd
exec {tree}/usr/sbin/smtpd -F -f {base}/etc/smtpd.conf
"""


@dataclass(frozen=True, slots=True)
class OpenSMTPD:
    """A running OpenSMTPD, its port on 127.0.0.1, and the mail it delivered."""

    mx: int
    _mail: Path

    def messages(self) -> Iterable[Arrived]:
        """Read what was delivered."""
        return from_maildirs(self._mail)()


@pytest.fixture(scope="session")
def opensmtpd(certificate_zoo: CertificateZoo) -> Iterator[OpenSMTPD]:
    """Run an OpenSMTPD for the whole session."""
    tree = unpacked("opensmtpd")
    root("OpenSMTPD needs a mount namespace and changes its user")
    unshare = program("unshare", "util-linux")
    with scratch_directory("os") as base:
        (mx,) = free_ports()
        _lay_out(base, certificate_zoo)
        etc = base / "etc"
        (etc / "smtpd.conf").write_text(_CONFIGURATION.format(base=base, mx=mx))
        (base / "start.sh").write_text(_START.format(base=base, tree=tree))
        base.chmod(0o711)
        command = [unshare, "-m", "--propagation", "private", "bash", base / "start.sh"]
        with running(command, base) as process:
            process.wait_for_ports(mx)
            yield OpenSMTPD(mx, base / "mail")


def _lay_out(base: Path, zoo: CertificateZoo) -> None:
    etc = base / "etc"
    etc.mkdir()
    (base / "mail").mkdir()
    os.chown(base / "mail", _USERS["vmail"], _USERS["vmail"])
    forms = {
        "passwd": "{name}:x:{number}:{number}::" + str(base / "mail") + ":/bin/sh",
        "group": "{name}:x:{number}:",
        "shadow": "{name}:*:19000:0:99999:7:::",
    }
    for file, form in forms.items():
        present = Path(f"/etc/{file}").read_text("utf-8").splitlines()
        others = [line for line in present if line.partition(":")[0] not in _USERS]
        ours = [form.format(name=name, number=number) for name, number in _USERS.items()]
        (etc / file).write_text("\n".join([*others, *ours]) + "\n", "utf-8")
    (etc / "shadow").chmod(0o600)
    (etc / "cert.pem").write_bytes(zoo["server-rsa"].chain.read_bytes())
    (etc / "key.pem").write_bytes(zoo["server-rsa"].key.read_bytes())
    (etc / "key.pem").chmod(0o600)
    (etc / "vmap").write_text("@a.test vmail\n")
    (etc / "mailname").write_text(f"mx-{secrets.token_hex(4)}.test\n")
