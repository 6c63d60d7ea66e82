"""Run aiosmtpd for `peers.scripted`: usage: aiosmtpd_server.py SETTINGS-AS-JSON."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import sys
from pathlib import Path
from typing import Any

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Takes:
    """Takes every message, but for recipients whose names say otherwise."""

    def __init__(self, mail: Path, implicit_tls: bool) -> None:
        self._mail = mail
        self._implicit_tls = implicit_tls
        self._taken = 0

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address.startswith("reject@"):
            return "550 5.1.1 no such user"
        if address.startswith("defer@"):
            return "450 4.2.0 try later"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self._taken += 1
        facts = {
            "mail_from": envelope.mail_from,
            "mail_options": envelope.mail_options,
            "rcpt_to": envelope.rcpt_tos,
            "data": base64.b64encode(envelope.original_content).decode(),
            "secure": self._implicit_tls or session.ssl is not None,
            "authenticated": bool(session.authenticated),
        }
        partial = self._mail / f".{self._taken:06}"
        partial.write_text(json.dumps(facts), "utf-8")
        partial.rename(self._mail / f"{self._taken:06}.json")
        return "250 2.0.0 taken"


def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    """Let one user in."""
    right = LoginPassword(b"alice@a.test", b"wonderland")
    return AuthResult(success=data == right, handled=False)


async def serve(settings: dict[str, Any]) -> None:
    """Serve until the process is ended."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings["certificate"], settings["key"])
    options = dict(settings["options"])
    implicit = options.pop("implicit_tls", False)
    kind = LMTP if options.pop("lmtp", False) else SMTP
    if options.pop("tls", False):
        options["tls_context"] = context
    takes = Takes(Path(settings["mail"]), implicit)

    def protocol() -> SMTP:
        return kind(takes, hostname="mx.test", authenticator=authenticate, **options)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        protocol, "127.0.0.1", settings["port"], ssl=context if implicit else None
    )
    print("ready", flush=True)  # noqa: T201
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
