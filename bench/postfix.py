"""A private Postfix on loopback: a real server to send to, and the relay to compare ours with."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.certificates import Certificates
from bench.peers import find_tool
from bench.processes import ServerError, pinned, wait_for_port

MAIN = """\
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
myhostname = relay.test
mydestination =
mynetworks = 127.0.0.0/8
local_recipient_maps =
alias_maps =
alias_database =
default_transport = {transport}
message_size_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_recipient_limit = 2000
default_process_limit = 200
maillog_file = {base}/maillog
maillog_file_prefixes = {base}
"""

TLS = """\
smtpd_tls_security_level = may
smtpd_tls_chain_files = {key}, {chain}
"""

MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
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
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


def missing() -> str | None:
    """Return why Postfix cannot be run here, or None."""
    if find_tool("postfix") is None:
        return "postfix is not installed"
    if os.geteuid() != 0:
        return "postfix starts only as root"
    return None


@contextlib.contextmanager
def run(
    base: Path,
    port: int,
    *,
    transport: str,
    tls: Certificates | None = None,
    core: int | None = None,
) -> Iterator[int]:
    """Run a Postfix for the length of a ``with`` block, without touching the system's own.

    Args:
        base: Folder to make, for configuration, queue and log; all users must be able to enter
            its parents.
        port: Where its smtpd listens.
        transport: Where all mail goes, as Postfix writes it.
        tls: What it offers STARTTLS with.
        core: The core to tie all its processes to.

    Yields:
        The process id of its master.

    Raises:
        ServerError: It did not start.
    """
    _configure(base, port, transport, tls)
    control = [find_tool("postfix") or "postfix", "-c", str(base / "etc")]
    done = subprocess.run(
        pinned([*control, "start"], core), check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise ServerError(f"postfix: {_reason(base, done.stderr)}")
    try:
        wait_for_port(port)
        yield int((base / "spool" / "pid" / "master.pid").read_text())
    finally:
        # "abort" and not "stop": it does not wait for deliveries.
        subprocess.run([*control, "abort"], check=False, capture_output=True)


def _reason(base: Path, said: str) -> str:
    """Return the last thing that a Postfix which did not start had to say."""
    log = base / "maillog"
    lines = said.splitlines() + (log.read_text().splitlines() if log.exists() else [])
    return lines[-1] if lines else "it did not say why it did not start"


def _configure(base: Path, port: int, transport: str, tls: Certificates | None) -> None:
    for name in ("etc", "spool", "data"):
        (base / name).mkdir(parents=True)
    base.chmod(0o755)
    shutil.chown(base / "data", "postfix")
    main = MAIN.format(base=base, transport=transport)
    if tls:
        main += TLS.format(key=tls.key, chain=tls.chain)
    (base / "etc" / "main.cf").write_text(main)
    (base / "etc" / "master.cf").write_text(MASTER.format(port=port))
