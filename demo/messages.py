"""The mail of the demonstration: one message for each thing that can go wrong with mail."""

from __future__ import annotations

import random
from base64 import encodebytes
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8

from txsmtpconn import Envelope

_ATTACHMENT_OCTETS = 20 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Mail:
    """A message, its envelope, and what it is for."""

    title: str
    envelope: Envelope
    octets: bytes


def mails() -> list[Mail]:
    """Return the messages, in the order in which they are sent."""
    return [_plain(), _international(), _eight_bit(), _attachment(), _many_recipients()]


def _message(subject: str, text: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Ann <ann@sender.example>"
    message["To"] = "Bob <bob@receiver.example>"
    message["Subject"] = subject
    message["Message-ID"] = f"<{random.Random(subject).getrandbits(64):x}@sender.example>"
    message.set_content(text)
    return message


def _plain() -> Mail:
    text = "Good morning,\n\n.this line begins with a dot, and the next is one:\n.\n\nAnn\n"
    envelope = Envelope("ann@sender.example", ["bob@receiver.example"])
    return Mail("a plain message", envelope, _message("Plain", text).as_bytes(policy=SMTP))


def _international() -> Mail:
    message = _message("Grüße aus Köln", "Straße, Übermut, Ärger\n")
    del message["To"]
    message["To"] = "Jürgen <jürgen@bücher.example>"
    envelope = Envelope("ann@sender.example", ["jürgen@bücher.example"], smtputf8=True)
    return Mail("UTF-8 addresses", envelope, message.as_bytes(policy=SMTPUTF8))


def _eight_bit() -> Mail:
    head = b"From: ann@sender.example\r\nTo: bob@receiver.example\r\nSubject: 8-bit\r\n"
    head += b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    head += b"Content-Transfer-Encoding: 8bit\r\n\r\n"
    body = "Ærøskøbing, Łódź, Αθήνα, 東京\r\n" * 40
    envelope = Envelope("ann@sender.example", ["bob@receiver.example"], body="8BITMIME")
    return Mail("an 8-bit body", envelope, head + body.encode())


def _attachment() -> Mail:
    boundary = b"=-=-demo-=-="
    head = b"From: ann@sender.example\r\nTo: bob@receiver.example\r\nSubject: 20 MiB\r\n"
    head += b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="' + boundary + b'"\r\n'
    part = b"\r\n--" + boundary + b"\r\nContent-Type: application/octet-stream\r\n"
    part += b"Content-Transfer-Encoding: base64\r\n\r\n"
    data = random.Random(1).randbytes(_ATTACHMENT_OCTETS)
    lines = encodebytes(data).replace(b"\n", b"\r\n")
    envelope = Envelope("ann@sender.example", ["bob@receiver.example"])
    return Mail("a 20 MiB attachment", envelope, head + part + lines + b"--" + boundary + b"--\r\n")


def _many_recipients() -> Mail:
    everybody = [f"member{number:03}@list.example" for number in range(200)]
    envelope = Envelope("list@sender.example", everybody)
    message = _message("To all members", "The meeting is on Friday.\n")
    return Mail("200 recipients", envelope, message.as_bytes(policy=SMTP))
