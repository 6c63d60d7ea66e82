"""``smtpconn queue``: what a relay's spool holds, and why."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from txsmtpconn.cli.out import tell
from txsmtpconn.errors import ConfigError, printable
from txsmtpconn.relay.inspection import SpoolView, looking_into
from txsmtpconn.relay.spool import HistoryEntry, QueuedMessage, QueuedRecipient, SpoolError, State

_SHOWN_STATES = [state.value for state in State if state not in (State.DELIVERED, State.REMOVED)]


def add_queue(commands: Any) -> None:
    """Add the command to those of ``smtpconn``."""
    parser = commands.add_parser(
        "queue",
        help="say what a relay's spool holds",
        description="List the messages in a relay's spool, or tell one message's story. It only"
        " reads, so it may run while the relay does.",
    )
    parser.add_argument("spool", help="the directory of the spool")
    parser.add_argument("message", nargs="?", help="a queue id, as listed and as in the log")
    parser.add_argument("--state", choices=_SHOWN_STATES, help="only what is in this state")
    parser.add_argument("--json", action="store_true", help="one JSON object on each line")
    parser.set_defaults(command=_queue)


async def _queue(reactor: Any, arguments: argparse.Namespace) -> int:
    del reactor
    if arguments.message is not None and arguments.state is not None:
        raise ConfigError("--state is for the list, and not for one message")
    try:
        with looking_into(arguments.spool) as view:
            lines = (
                _listed(view, arguments)
                if arguments.message is None
                else _told(view, arguments.message, as_json=arguments.json)
            )
            for line in lines:
                tell(line)
    except SpoolError as error:
        raise ConfigError(str(error)) from error
    return 0


def _listed(view: SpoolView, arguments: argparse.Namespace) -> Iterator[str]:
    state = None if arguments.state is None else State(arguments.state)
    for message in view.messages(state):
        if arguments.json:
            yield _as_json(message)
            continue
        yield _headline(message)
        for recipient in message.recipients:
            if state is None or recipient.state is state:
                yield _recipient(recipient)
    if not arguments.json:
        counts = view.counts()
        total = ", ".join(f"{count} {each.value}" for each, count in sorted(counts.items()))
        yield f"recipients: {total or 'none'}"


def _told(view: SpoolView, number: str, *, as_json: bool) -> Iterator[str]:
    message, history = view.show(number), view.why(number)
    if message is None and not history:
        raise ConfigError(f"{number!a} is not in this spool, nor in its history")
    if as_json:
        if message is not None:
            yield _as_json(message)
        yield from (_as_json(entry) for entry in history)
        return
    if message is None:
        yield f"{number}  has left the spool"
    else:
        yield _headline(message)
        yield from (_recipient(recipient) for recipient in message.recipients)
    yield from (_entry(entry) for entry in history)


def _headline(message: QueuedMessage) -> str:
    sender = printable(message.reverse_path)
    return f"{message.message}  {_moment(message.accepted_at)}  {message.size} octets  <{sender}>"


def _recipient(recipient: QueuedRecipient) -> str:
    text = f"    {recipient.state.value:<11} <{printable(recipient.address)}>"
    if recipient.attempts:
        text += f"  {recipient.attempts} attempt{'' if recipient.attempts == 1 else 's'}"
    if recipient.state is State.READY:
        text += f"  due in {max(0, round(recipient.due_in))} s"
    if recipient.last_reply:
        text += f"  {printable(recipient.last_reply)}"
    return text


def _entry(entry: HistoryEntry) -> str:
    about = f"<{printable(entry.recipient)}>" if entry.recipient else ""
    return f"    {_moment(entry.at)}  {entry.event.value:<11} {about}  {printable(entry.detail)}"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _as_json(value: QueuedMessage | HistoryEntry) -> str:
    return json.dumps(
        asdict(value),
        ensure_ascii=False,
        default=lambda octets: octets.decode("ascii", "backslashreplace"),
    )
