"""Send one message by aiosmtplib for `peers.clients`: aiosmtplib_client.py SETTINGS-AS-JSON."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from pathlib import Path
from typing import Any

import aiosmtplib


async def send(settings: dict[str, Any]) -> None:
    """Connect, log in and send, as the settings say."""
    client = aiosmtplib.SMTP(
        hostname="localhost",
        port=settings["port"],
        local_hostname="client.test",
        timeout=30,
        use_tls=settings["tls"] == "implicit",
        start_tls=settings["tls"] == "starttls",
        tls_context=ssl.create_default_context(cafile=settings["ca"]),
    )
    async with client:
        if settings["user"]:
            mechanism = settings["mechanism"] or "PLAIN"
            login = getattr(client, "auth_" + mechanism.lower().replace("-", "_"))
            await client.ehlo()
            await login(settings["user"], settings["password"])
        await client.sendmail(
            settings["mail_from"],
            settings["rcpt_to"],
            Path(settings["message"]).read_bytes(),
            mail_options=["BODY=8BITMIME"],
        )


if __name__ == "__main__":
    asyncio.run(send(json.loads(sys.argv[1])))
