"""aiosmtpd on asyncio, or on uvloop with a second argument ``uvloop``."""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiosmtpd.smtp import SMTP, Envelope, Session


class Discard:
    """Accepts what it is given."""

    async def handle_DATA(  # noqa: N802 - the name is aiosmtpd's
        self, _server: SMTP, _session: Session, _envelope: Envelope
    ) -> str:
        return "250 2.0.0 Ok"


async def serve(port: int) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Discard(), loop=loop), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    run = uvloop.run if "uvloop" in sys.argv else asyncio.run
    run(serve(int(sys.argv[1])))
