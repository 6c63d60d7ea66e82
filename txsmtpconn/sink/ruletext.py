"""Rules as an operator writes them, on the command line or one to a line of a file.

    RCPT to=bob@* reject 550 5.1.1 No such user
    MAIL,RCPT 10% reject 451
    DATA from=*@slow.example delay 2-5
    CONTENT after=8192 5% drop reset
    MESSAGE once drop taken

First the verbs, then to whom and how often in any order, then what happens. This module imports no
Twisted.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from txsmtpconn.errors import ConfigError
from txsmtpconn.net.files import text_of
from txsmtpconn.sink.rules import Delay, Drop, Effect, Reject, Rule, verb_named

#: How a rule is narrowed down -> the attribute of `Rule`.
_NARROWED = {"to": "rcpt", "from": "mail_from", "user": "user"}
#: Octets of a file of rules.
LARGEST_FILE = 1024 * 1024
#: Digits of a number in a rule: more would be no number that anybody means.
_DIGITS = 18
#: An error shows so many characters of a rule.
_SHOWN = 200


def parse_rule(text: str) -> list[Rule]:
    """Read a rule; it is one rule for each verb that it names.

    Raises:
        ConfigError: It is none; with the rule and the word that makes no sense.
    """
    try:
        return _rules(_words(text))
    except ConfigError as error:
        raise ConfigError(f"the rule {text[:_SHOWN]!r}: {error}") from None


def _rules(words: list[str]) -> list[Rule]:
    verbs = [verb_named(name) for name in words.pop(0).split(",")]
    told: dict[str, Any] = {}
    while words and words[0].lower() not in _EFFECTS:
        _narrow(told, words.pop(0))
    if not words:
        raise ConfigError(f"it does not say what happens: {', '.join(_EFFECTS)}")
    make = _EFFECTS[words.pop(0).lower()]
    return [Rule(make(verb, words), verb, **told) for verb in verbs]


def read_rules(path: str | Path) -> list[Rule]:
    """Read a file of rules; empty lines, and those that begin with ``#``, are skipped.

    Raises:
        ConfigError: It cannot be read, or a line is no rule; with the line's number.
    """
    return parse_rules(text_of(path, LARGEST_FILE), str(path))


def parse_rules(text: str, whose: str) -> list[Rule]:
    """Read rules, one to a line.

    Args:
        text: The lines.
        whose: What an error calls them.

    Raises:
        ConfigError: A line is no rule; with its number.
    """
    rules: list[Rule] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            rules += parse_rule(line)
        except ConfigError as error:
            raise ConfigError(f"{whose}, line {number}: {error}") from None
    return rules


def rule_text(rule: Rule) -> str:
    """Write a rule so that `parse_rule` reads it."""
    words = [rule.verb]
    for key, name in _NARROWED.items():
        value = getattr(rule, name)
        if value is not None:
            words.append(shlex.quote(f"{key}={value}"))
    if rule.after:
        words.append(f"after={rule.after}")
    if rule.probability < 1:
        words.append(f"{_decimal(Decimal(str(rule.probability)) * 100)}%")
    if rule.times is not None:
        words.append(f"times={rule.times}")
    return " ".join([*words, *_effect_words(rule.effect)])


def _decimal(number: float | Decimal) -> str:
    """Write a number without an exponent."""
    return f"{Decimal(str(number)).normalize():f}"


def _effect_words(effect: Effect) -> list[str]:
    match effect:
        case Reject():
            enhanced = [effect.enhanced] if effect.enhanced else ["-"]
            return ["reject", str(effect.code), *enhanced, shlex.quote(effect.text)]
        case Delay(seconds, up_to):
            span = [seconds] if up_to is None else [seconds, up_to]
            return ["delay", "-".join(map(_decimal, span))]
        case Drop():
            flags = {"reset": effect.reset, "taken": effect.taken}
            return ["drop", *(name for name, is_set in flags.items() if is_set)]


def _words(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"it cannot be read: {error}") from None
    if not words:
        raise ConfigError("it begins with a verb")
    return words


def _narrow(told: dict[str, Any], word: str) -> None:
    """Read to whom, or how often."""
    key, equals, value = word.partition("=")
    key = key.lower()
    name: str = key
    read: str | int | float
    if equals and key in _NARROWED:
        name, read = _NARROWED[key], value
    elif equals and key in ("times", "after"):
        read = _number(word, value)
    elif key == "once" and not equals:
        name, read = "times", 1
    elif word.endswith("%"):
        name, read = "probability", _percentage(word)
    else:
        raise ConfigError(
            f"{word!r} is neither to=, from=, user=, after=, times=, once nor a percentage, and"
            f" not what happens ({', '.join(_EFFECTS)})"
        )
    if name in told:
        raise ConfigError(f"{word!r} comes on top of another of its kind")
    told[name] = read


def _number(word: str, digits: str) -> int:
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _DIGITS):
        raise ConfigError(f"{word[:_SHOWN]!r} has no number")
    return int(digits)


def _percentage(word: str) -> float:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", word[:-1]):
        raise ConfigError(f"{word!r} is no percentage")
    return float(Decimal(word[:-1]) / 100)


def _reject(verb: str, words: list[str]) -> Effect:
    """Read ``reject [CODE [ENHANCED] [TEXT]]``; an enhanced status code of ``-`` is none."""
    code, enhanced = None, None
    if words and words[0].isdecimal():
        code = _number(words[0], words[0])
        words = words[1:]
    if words and (words[0] == "-" or re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", words[0])):
        enhanced = words[0].removeprefix("-")
        words = words[1:]
    effect = Reject.at(verb, code, enhanced)
    return replace(effect, text=" ".join(words)) if words else effect


def _delay(verb: str, words: list[str]) -> Effect:
    """Read ``delay SECONDS`` or ``delay SECONDS-SECONDS``."""
    del verb
    span = r"([0-9]+(?:\.[0-9]+)?)(?:-([0-9]+(?:\.[0-9]+)?))?"
    found = re.fullmatch(span, " ".join(words))
    if found is None:
        raise ConfigError(f"a delay is a number of seconds, or two: 2 or 0.5-3, not {words}")
    return Delay(float(found[1]), None if found[2] is None else float(found[2]))


def _drop(verb: str, words: list[str]) -> Effect:
    """Read ``drop [reset] [taken]``."""
    del verb
    flags = [word.lower() for word in words]
    unknown = [word for word in flags if word not in ("reset", "taken")]
    if unknown:
        raise ConfigError(f"a drop is 'reset' or 'taken', not {unknown[0]!r}")
    return Drop(reset="reset" in flags, taken="taken" in flags)


_EFFECTS: dict[str, Callable[[str, list[str]], Effect]] = {
    "reject": _reject,
    "delay": _delay,
    "drop": _drop,
}
