"""Unbound: a validating resolver, with zones of the test's own and a trust anchor for them."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.interop.peers.available import program
from tests.interop.peers.process import free_ports, running, scratch_directory

_SERVER = """
server:
  interface: 127.0.0.1
  port: {port}
  do-daemonize: no
  use-syslog: no
  username: ""
  chroot: ""
  directory: "{base}"
  pidfile: "{base}/unbound.pid"
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  do-ip6: no
  module-config: "validator iterator"
  trust-anchor-file: "{base}/anchors"
  local-zone: "test." nodefault
  val-log-level: 2
remote-control:
  control-enable: no
"""

_ZONE = """
auth-zone:
  name: "{name}"
  zonefile: "{base}/{file}"
  for-downstream: no
  for-upstream: yes
  fallback-enabled: no
"""

_HEAD = """$ORIGIN {name}.
$TTL 300
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
"""


def tlsa(certificate: Path) -> str:
    """Return a record of kind 3 1 1 for a certificate, as a zone has it."""
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    key = found.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"TLSA 3 1 1 {hashlib.sha256(key).hexdigest()}"


@pytest.fixture
def unbound() -> Iterator[Callable[..., int]]:
    """Return a function that starts one with signed and unsigned zones, and returns its port.

    Args of the function are names of zones with their records, and two sets: those that are not
    signed, and texts that are altered after signing, so that what they stand in is bogus.
    """
    path = program("unbound")
    signer, keys = program("ldns-signzone", "ldnsutils"), program("ldns-keygen", "ldnsutils")
    with ExitStack() as stack:

        def start(
            zones: dict[str, str],
            unsigned: frozenset[str] = frozenset(),
            altered: dict[str, str] | None = None,
        ) -> int:
            base = stack.enter_context(scratch_directory("unbound"))
            (port,) = free_ports()
            text = _SERVER.format(port=port, base=base)
            anchors = []
            for name, records in zones.items():
                file = f"{name}.zone"
                (base / file).write_text(_HEAD.format(name=name) + records)
                if name not in unsigned:
                    key = _run(base, keys, "-a", "ECDSAP256SHA256", "-k", name)
                    _run(base, signer, file, key)
                    anchors.append((base / f"{key}.key").read_text())
                    file += ".signed"
                for old, new in (altered or {}).items():
                    signed = (base / file).read_text()
                    (base / file).write_text(signed.replace(old, new))
                text += _ZONE.format(name=name, base=base, file=file)
            (base / "anchors").write_text("".join(anchors))
            (base / "unbound.conf").write_text(text)
            command = [path, "-d", "-c", base / "unbound.conf"]
            stack.enter_context(running(command, base)).wait_for_ports(port)
            return port

        yield start


def _run(directory: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True)
    return done.stdout.strip()
