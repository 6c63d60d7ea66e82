"""Send one message by smtplib for `peers.clients`: usage: smtplib_client.py SETTINGS-AS-JSON."""

from __future__ import annotations

import json
import smtplib
import ssl
import sys
from pathlib import Path
from typing import Any


def send(settings: dict[str, Any]) -> None:
    """Connect, log in and send, as the settings say."""
    context = ssl.create_default_context(cafile=settings["ca"])
    address = ("localhost", settings["port"], "client.test")
    if settings["tls"] == "implicit":
        client: smtplib.SMTP = smtplib.SMTP_SSL(*address, context=context, timeout=30)
    else:
        client = smtplib.SMTP(*address, timeout=30)
    with client:
        if settings["tls"] == "starttls":
            client.starttls(context=context)
        if settings["user"]:
            client.ehlo()
            client.user, client.password = settings["user"], settings["password"]
            mechanism = settings["mechanism"] or "PLAIN"
            method = getattr(client, "auth_" + mechanism.lower().replace("-", "_"))
            client.auth(mechanism, method)
        client.sendmail(
            settings["mail_from"],
            settings["rcpt_to"],
            Path(settings["message"]).read_bytes(),
            mail_options=["BODY=8BITMIME"],
        )


if __name__ == "__main__":
    send(json.loads(sys.argv[1]))
