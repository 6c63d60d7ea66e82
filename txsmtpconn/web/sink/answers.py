"""Answers of the JSON API, and what a request may ask for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import ConfigError, EnvelopeError
from txsmtpconn.outcome import RecipientOutcome
from txsmtpconn.sink.mailbox import Mailbag
from txsmtpconn.sink.rules import Rule
from txsmtpconn.sink.ruletext import parse_rule
from txsmtpconn.web.sink.frame import remote_references
from txsmtpconn.web.sink.reading import Reading

#: Addresses that one request may release a message to.
MOST_RECIPIENTS = 100
#: Rules that one request may set.
MOST_RULES = 1000


class Refusal(Exception):
    """What was asked for is not to be had.

    Args:
        code: The HTTP status code.
        text: Why, for a person to read.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def answer(request: Any, told: object, code: int = 200) -> bytes:
    """Return an answer in JSON."""
    request.setResponseCode(code)
    request.setHeader("Content-Type", "application/json")
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"


def argument(request: Any, name: str, default: str = "") -> str:
    """Return an argument of a URL's query.

    Raises:
        Refusal: It is there more than once, or is no text.
    """
    values = request.args.get(name.encode(), [])
    try:
        (value,) = values or [default.encode()]
        return str(value.decode())
    except ValueError:
        raise Refusal(400, f"{name} is given once, as text in UTF-8") from None


def number(request: Any, name: str, default: int, most: int) -> int:
    """Return an argument that is a number from 1 to `most`."""
    text = argument(request, name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 12 and 1 <= int(text) <= most):
        raise Refusal(400, f"{name} is a number from 1 to {most}")
    return int(text)


def body(request: Any) -> dict[str, Any]:
    """Return the JSON object that a request has sent.

    Raises:
        Refusal: It has sent none.
    """
    kind = (request.getHeader("Content-Type") or "").partition(";")[0].strip().lower()
    if kind != "application/json":
        # What a form can send without asking us first is never taken.
        raise Refusal(415, "the body is application/json")
    try:
        told = json.loads(request.content.read() or b"{}")
    except (ValueError, RecursionError):
        raise Refusal(400, "the body is no JSON") from None
    if not isinstance(told, dict):
        raise Refusal(400, "the body is a JSON object")
    return told


def recipients(told: dict[str, Any], default: Sequence[str]) -> list[str]:
    """Return for whom a message is to be released.

    Raises:
        Refusal: That is no list of addresses.
    """
    unknown = set(told) - {"to"}
    if unknown:
        raise Refusal(400, f"unknown: {', '.join(sorted(unknown))}")
    given = told.get("to", list(default))
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise Refusal(400, "to is a list of addresses")
    if not 1 <= len(given) <= MOST_RECIPIENTS:
        raise Refusal(400, f"to is a list of 1 to {MOST_RECIPIENTS} addresses")
    try:
        Envelope("", given)
    except EnvelopeError as error:
        raise Refusal(400, str(error)) from None
    return given


def rules(told: dict[str, Any]) -> list[Rule]:
    """Return the rules that the sink is to follow.

    Raises:
        Refusal: They are none.
    """
    given = told.get("rules")
    if set(told) != {"rules"} or not isinstance(given, list) or len(given) > MOST_RULES:
        raise Refusal(400, f"rules is a list of up to {MOST_RULES} rules")
    if not all(isinstance(each, str) for each in given):
        raise Refusal(400, "a rule is text, such as 'RCPT 10% reject 451'")
    try:
        return [rule for text in given for rule in parse_rule(text)]
    except ConfigError as error:
        raise Refusal(400, str(error)) from None


def detail(name: str, octets: int, mailbag: Mailbag, reading: Reading) -> dict[str, Any]:
    """Return all that there is to see of a message."""
    facts = {
        key: value for key, value in mailbag.facts_of(name).items() if key not in ("id", "octets")
    }
    return {
        "id": name,
        "octets": octets,
        "received": facts.pop("received", ""),
        "mail_from": facts.pop("mail_from", ""),
        "rcpt_to": facts.pop("rcpt_to", []),
        "transcript": facts.pop("transcript", []),
        "session": facts,
        "subject": reading.subject,
        "from": reading.first("from"),
        "to": reading.first("to"),
        "cc": reading.first("cc"),
        "date": reading.first("date"),
        "headers": [list(field) for field in reading.fields],
        "text": reading.text,
        "has_html": reading.html is not None,
        "truncated": reading.truncated,
        "remote": [] if reading.html is None else remote_references(reading.html[: 512 * 1024]),
        "attachments": [
            {
                "number": part.number,
                "name": part.name,
                "type": part.type,
                "content_id": part.content_id,
                "octets": part.octets,
                "inline": part.inline,
            }
            for part in reading.parts
        ],
        "defects": list(dict.fromkeys(reading.defects))[:100],
    }


def outcome(found: RecipientOutcome) -> dict[str, Any]:
    """Return what became of a recipient."""
    return {
        "address": found.address,
        "delivery": found.delivery.value,
        "reply": None if found.reply is None else str(found.reply),
        "error": None if found.error is None else f"{found.error.code}: {found.error}",
    }
