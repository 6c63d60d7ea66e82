"""HAProxy: in front of a port of ours, saying by the PROXY protocol who its clients are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.interop.peers.available import program
from tests.interop.peers.process import free_ports, running, scratch_directory

_CONFIGURATION = """
global
  maxconn 100
defaults
  mode tcp
  timeout connect 5s
  timeout client 20s
  timeout server 20s
  option smtpchk EHLO haproxy.test
frontend in
  bind 127.0.0.1:{port}
  default_backend out
backend out
  server ours 127.0.0.1:{to} {how}
"""


@contextmanager
def haproxy(to: int, how: str) -> Iterator[int]:
    """Run a HAProxy for as long as the block lasts.

    Args:
        to: Our port on 127.0.0.1.
        how: Options of its ``server``, such as ``send-proxy-v2``.

    Yields:
        Its port on 127.0.0.1.
    """
    binary = program("haproxy")
    with scratch_directory("ha") as base:
        (port,) = free_ports()
        (base / "haproxy.cfg").write_text(_CONFIGURATION.format(port=port, to=to, how=how))
        with running([binary, "-db", "-f", base / "haproxy.cfg"], base):
            yield port
