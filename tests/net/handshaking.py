"""TLS handshakes in memory."""

from __future__ import annotations

from OpenSSL import SSL


def shake(*ends: SSL.Connection) -> None:
    """Let two connections shake hands."""
    for _ in range(8):
        for one, other in (ends, ends[::-1]):
            try:
                one.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                other.bio_write(one.bio_read(65536))
            except SSL.WantReadError:
                pass
