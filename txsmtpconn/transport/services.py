"""Where well-known providers take mail, by name, domain or address.

    >>> find("Gmail").host
    'smtp.gmail.com'
    >>> find("someone@icloud.com").host
    'smtp.mail.me.com'

All of them are reached under TLS: from the first octet (RFC 8314) where the source has port 465 for
that, else by STARTTLS, which is then required. These are facts as published; each has its source
and the day on which it was read, and NONE IS VERIFIED against the live service. What a provider
says today counts more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Service:
    """One provider's submission server.

    Attributes:
        name: What the provider is called.
        host: The server.
        port: Its port.
        secure: Whether TLS comes first; else STARTTLS is required.
        also: Other names.
        domains: Domains of addresses that belong to it.
    """

    name: str
    host: str
    port: int = 465
    secure: bool = True
    also: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()

    @property
    def options(self) -> dict[str, Any]:
        """The options of a connection to it, by name."""
        options: dict[str, Any] = {"host": self.host, "port": self.port, "secure": self.secure}
        return options if self.secure else options | {"require_tls": True}


def _by_starttls(
    name: str, host: str, also: tuple[str, ...] = (), domains: tuple[str, ...] = ()
) -> Service:
    return Service(name, host, 587, secure=False, also=also, domains=domains)


# "ISPDB" is Thunderbird's public autoconfiguration data, github.com/thunderbird/autoconfig.
SERVICES: tuple[Service, ...] = (
    # ISPDB, googlemail.com.xml, 2026-11-20; also developers.google.com/workspace/gmail/imap
    Service(
        "Gmail", "smtp.gmail.com", also=("Google Mail",), domains=("gmail.com", "googlemail.com")
    ),
    # ISPDB, hotmail.com.xml, 2026-11-20; OAuth 2.0 only
    _by_starttls(
        "Outlook.com",
        "smtp-mail.outlook.com",
        also=("Outlook", "Hotmail"),
        domains=("outlook.com", "hotmail.com", "live.com", "msn.com", "windowslive.com"),
    ),
    # ISPDB, office365.com, 2026-11-20
    _by_starttls(
        "Microsoft 365",
        "smtp.office365.com",
        also=("Office 365", "Outlook 365"),
        domains=("onmicrosoft.com", "office365.com"),
    ),
    # ISPDB, me.com.xml, 2026-11-20
    _by_starttls("iCloud", "smtp.mail.me.com", domains=("icloud.com", "me.com", "mac.com")),
    # ISPDB, yahoo.com.xml, 2026-11-20
    Service(
        "Yahoo",
        "smtp.mail.yahoo.com",
        also=("Yahoo Mail",),
        domains=(
            *("yahoo.com", "yahoo.co.uk", "yahoo.de", "yahoo.fr", "yahoo.it", "yahoo.es"),
            *("ymail.com", "myyahoo.com", "rocketmail.com"),
        ),
    ),
    # ISPDB, aol.com.xml, 2026-11-20
    Service("AOL", "smtp.aol.com", also=("AOL Mail",), domains=("aol.com", "aol.de", "aim.com")),
    # ISPDB, gmx.com.xml, 2026-11-20
    Service(
        "GMX",
        "mail.gmx.com",
        also=("GMX.com",),
        domains=("gmx.com", "gmx.us", "gmx.co.uk", "gmx.fr", "gmx.es", "gmx.it"),
    ),
    # ISPDB, gmx.net.xml, 2026-11-20; of the same house, and other servers
    Service("GMX.net", "mail.gmx.net", domains=("gmx.net", "gmx.de", "gmx.at", "gmx.ch", "gmx.eu")),
    # ISPDB, web.de.xml, 2026-11-20
    Service("WEB.DE", "smtp.web.de", domains=("web.de",)),
    # fastmail.com/help/technical/servernamesandports.html, 2026-11-20
    Service("Fastmail", "smtp.fastmail.com", domains=("fastmail.com", "fastmail.fm")),
    # ISPDB, mailbox.org.xml, 2026-11-20
    Service("mailbox.org", "smtp.mailbox.org", domains=("mailbox.org",)),
    # ISPDB, posteo.de.xml, 2026-11-20
    Service("Posteo", "posteo.de", domains=("posteo.de", "posteo.net", "posteo.eu", "posteo.org")),
    # ISPDB, migadu.com.xml, 2026-11-20
    Service("Migadu", "smtp.migadu.com"),
    # ISPDB, mail.ru, 2026-11-20
    Service("Mail.ru", "smtp.mail.ru", domains=("mail.ru", "inbox.ru", "list.ru", "bk.ru")),
    # ISPDB, yandex.ru.xml, 2026-11-20
    Service("Yandex", "smtp.yandex.com", domains=("yandex.com", "yandex.ru", "yandex.by", "ya.ru")),
    # ISPDB, zoho.com.xml, 2026-11-20; accounts of the United States
    Service("Zoho", "smtp.zoho.com", also=("Zoho Mail",), domains=("zoho.com", "zohomail.com")),
    # documentation.mailgun.com, user manual, SMTP relay, 2026-11-20; accounts of the United States
    _by_starttls("Mailgun", "smtp.mailgun.org"),
    # twilio.com/docs/sendgrid, integrating with the SMTP API, 2026-11-20
    Service("SendGrid", "smtp.sendgrid.net"),
    # postmarkapp.com/support/article/811, 2026-11-20; messages of the transactional stream
    _by_starttls("Postmark", "smtp.postmarkapp.com"),
    # developers.brevo.com/docs/smtp-integration and .../node-smtp-relay-example, 2026-11-20
    Service("Brevo", "smtp-relay.brevo.com", also=("Sendinblue",)),
    # resend.com/docs/send-with-smtp, 2026-11-20
    Service("Resend", "smtp.resend.com"),
    # rubydoc.info/gems/mailjet/Mailjet/Mailer, the provider's own library, 2026-11-20
    _by_starttls("Mailjet", "in-v3.mailjet.com"),
)

# docs.aws.amazon.com/ses/latest/dg/smtp-connect.html, 2026-11-20: a server in each region.
_SES = re.compile(r"(?:amazon)?ses-([a-z]{2}(?:-[a-z]{3,12}){1,2}-[0-9]{1,2})")


def _key(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


_BY_NAME = {_key(name): each for each in SERVICES for name in (each.name, *each.also)}
_BY_DOMAIN = {domain: each for each in SERVICES for domain in each.domains}


def find(text: str) -> Service | None:
    """Return the service of a name, a domain or an address, in any case; None if it is not known.

    Amazon SES has a server in each region and is named with it: ``"SES-eu-west-1"``.
    """
    wanted = text.strip().casefold()
    region = _SES.fullmatch(wanted)
    if region is not None:
        return _by_starttls(f"Amazon SES {region[1]}", f"email-smtp.{region[1]}.amazonaws.com")
    domain = wanted.rpartition("@")[2]
    found = _BY_DOMAIN.get(domain)
    return found if found is not None or "@" in wanted else _BY_NAME.get(_key(wanted))
