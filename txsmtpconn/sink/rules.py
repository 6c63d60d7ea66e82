"""Rules: what a server refuses, holds up or breaks off, for whom and how often.

A rule is about one verb, and perhaps one kind of recipient, sender or user. What happens is an
effect: `Reject`, `Delay` or `Drop`. A `RuleBook` holds the rules of one server. This module imports
no Twisted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from txsmtpconn.errors import ConfigError
from txsmtpconn.wire.enhanced import EnhancedStatusCode
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.reply import Reply

#: Every verb that a rule can be about -> the code of a refusal, and what follows the class in its
#: enhanced status code; greetings and hellos have none (RFC 2034 section 4). CONNECT is the
#: greeting, EHLO also HELO and LHLO, DATA also the first BDAT; CONTENT is the mail data on its way,
#: and MESSAGE its end.
VERBS: Mapping[str, tuple[int, str]] = {
    "CONNECT": (554, ""),
    "EHLO": (550, ""),
    "STARTTLS": (454, "7.0"),
    "AUTH": (535, "7.8"),
    "MAIL": (550, "7.1"),
    "RCPT": (550, "1.1"),
    "DATA": (554, "7.1"),
    "CONTENT": (554, "7.1"),
    "MESSAGE": (554, "7.1"),
    "RSET": (502, "5.1"),
    "NOOP": (502, "5.1"),
    "VRFY": (502, "5.1"),
    "HELP": (502, "5.1"),
    "QUIT": (502, "5.1"),
}
_SAME_AS = {"HELO": "EHLO", "LHLO": "EHLO", "BDAT": "DATA", ".": "MESSAGE"}

_KNOW_MESSAGE = ("RCPT", "DATA", "CONTENT", "MESSAGE")
#: What a rule can be narrowed down to -> the verbs at which that is known.
KNOWN_AT: Mapping[str, Collection[str]] = {
    "rcpt": _KNOW_MESSAGE,
    "mail_from": ("MAIL", *_KNOW_MESSAGE),
    "user": ("AUTH", "MAIL", *_KNOW_MESSAGE),
}

#: Those concerned by a verb that is about nobody.
NOBODY: Mapping[str, Collection[str]] = {}

#: What a refusal says that was given no text.
REFUSED = "Refused by a rule"


def verb_named(name: str) -> str:
    """Return the verb of `VERBS` that a name, in any case of letters, stands for.

    Raises:
        ConfigError: There is no such verb.
    """
    verb = name.upper() if isinstance(name, str) else ""
    verb = _SAME_AS.get(verb, verb)
    if verb not in VERBS:
        raise ConfigError(f"no rule can be about {name!r}: it is one of {', '.join(VERBS)}")
    return verb


@dataclass(frozen=True, slots=True)
class Reject:
    """Say no. At CONTENT, say it in the midst of the mail data and close.

    Attributes:
        code: 400 to 599. 421 ends the session.
        enhanced: The enhanced status code; empty for none.
        text: For a person to read; a line feed begins another line.

    Raises:
        ConfigError: These make no refusal.
    """

    code: int
    enhanced: str
    text: str

    def __post_init__(self) -> None:
        if type(self.code) is not int or not 400 <= self.code <= 599:
            raise ConfigError(f"a refusal has a code from 400 to 599, not {self.code!r}")
        if self.enhanced:
            status = EnhancedStatusCode.parse(self.enhanced)
            if status is None or status.klass != self.code // 100:
                raise ConfigError(f"{self.enhanced!r} is no enhanced status code of {self.code}")
        if not isinstance(self.text, str):
            raise ConfigError(f"the text of a refusal is text, not {self.text!r}")
        try:
            self.reply.encode()
        except LocalProtocolError as error:
            raise ConfigError(f"the text of a refusal: {error}") from None

    @classmethod
    def at(
        cls,
        verb: str,
        code: int | None = None,
        enhanced: str | None = None,
        text: str = REFUSED,
    ) -> Reject:
        """Make a refusal as it is usual at a verb.

        Args:
            verb: The verb.
            code: By default what such a refusal usually has.
            enhanced: By default one that fits verb and code.
            text: For a person to read.

        Raises:
            ConfigError: There is no such verb, or this makes no refusal.
        """
        usual, detail = VERBS[verb_named(verb)]
        code = usual if code is None else code
        if enhanced is None:
            enhanced = f"{code // 100}.{detail}" if detail and type(code) is int else ""
        return cls(code, enhanced, text)

    @property
    def reply(self) -> Reply:
        """What is said."""
        prefix = f"{self.enhanced} " if self.enhanced else ""
        return Reply.of(self.code, *(prefix + line for line in self.text.split("\n")))

    def __str__(self) -> str:
        return f"reject with {self.reply}"


@dataclass(frozen=True, slots=True)
class Delay:
    """Wait before the answer; at CONTENT, before any more is read.

    Attributes:
        seconds: How long.
        up_to: If not None, a time between the two, by chance.

    Raises:
        ConfigError: It is no time, or the second is below the first.
    """

    seconds: float
    up_to: float | None = None

    def __post_init__(self) -> None:
        if not (_is_number(self.seconds) and 0 < self.seconds < math.inf):
            raise ConfigError(f"a delay lasts more than 0 seconds, not {self.seconds!r}")
        if self.up_to is not None and not (
            _is_number(self.up_to) and self.seconds <= self.up_to < math.inf
        ):
            raise ConfigError(f"a delay from {self.seconds!r} to {self.up_to!r} seconds is none")

    def settled(self, dice: Random) -> Delay:
        """Return the delay with a time that is certain."""
        if self.up_to is None:
            return self
        return Delay(dice.uniform(self.seconds, self.up_to))

    def __str__(self) -> str:
        most = "" if self.up_to is None else f" to {self.up_to:g}"
        return f"delay by {self.seconds:g}{most} s"


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection instead of an answer.

    Attributes:
        reset: By a reset, which may overtake replies that were given before.
        taken: At MESSAGE, take the message first: the client is left in doubt.
    """

    reset: bool = False
    taken: bool = False

    def __str__(self) -> str:
        what = "reset the connection" if self.reset else "drop the connection"
        return f"take the message, {what}" if self.taken else what


Effect = Reject | Delay | Drop
_EFFECTS: Mapping[str, type[Effect]] = {"reject": Reject, "delay": Delay, "drop": Drop}


@dataclass(frozen=True, slots=True)
class Rule:
    """What is to happen, and when.

    Attributes:
        effect: What happens.
        verb: At which of `VERBS`.
        rcpt: For which recipient, in any case of letters; ``*`` stands for any text. None: for all.
        mail_from: For which reverse-path; empty is the null reverse-path.
        user: For which user.
        times: How often it happens; None for ever.
        number: Tells rules of one server apart.
        probability: How likely it is to happen each time that it could: above 0, at most 1.
        after: At CONTENT, behind so many octets of mail data.

    Raises:
        ConfigError: There is no such verb, or what the rule asks for is not known at that verb.
    """

    effect: Effect
    verb: str
    rcpt: str | None = None
    mail_from: str | None = None
    user: str | None = None
    times: int | None = None
    number: int = 0
    probability: float = 1.0
    after: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "verb", verb_named(self.verb))
        for name, verbs in KNOWN_AT.items():
            self._check_pattern(name, getattr(self, name), verbs)
        if self.times is not None and not (type(self.times) is int and self.times >= 1):
            raise ConfigError(f"a rule holds once or more often, not {self.times!r} times")
        if not (_is_number(self.probability) and 0 < self.probability <= 1):
            raise ConfigError(f"a probability is above 0 and at most 1, not {self.probability!r}")
        if type(self.after) is not int or self.after < 0 or (self.after and self.verb != "CONTENT"):
            raise ConfigError(f"no {self.after!r} octets of mail data come before {self.verb}")
        if isinstance(self.effect, Drop) and self.effect.taken and self.verb != "MESSAGE":
            raise ConfigError(f"no message is there to be taken at {self.verb}")

    def _check_pattern(self, name: str, pattern: object, verbs: Collection[str]) -> None:
        if pattern is None:
            return
        if not isinstance(pattern, str):
            raise ConfigError(f"{name} is text, one rule for each, not {pattern!r}")
        if self.verb not in verbs:
            raise ConfigError(f"{name} is not known at {self.verb}")
        if name == "rcpt" and not pattern:
            raise ConfigError("no recipient is called ''")

    def concerns(self, verb: str, who: Mapping[str, Collection[str]]) -> bool:
        """Tell whether the rule is about this verb and these people.

        Args:
            verb: One of `VERBS`.
            who: Those concerned, under the names ``rcpt``, ``mail_from`` and ``user``.
        """
        return self.verb == verb and all(
            any(fits(pattern, name) for name in who.get(role, ()))
            for role in KNOWN_AT
            if (pattern := getattr(self, role)) is not None
        )

    @property
    def by_chance(self) -> bool:
        """Whether chance has a say in what happens."""
        return self.probability < 1 or (
            isinstance(self.effect, Delay) and self.effect.up_to is not None
        )

    def as_json(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        kind = type(self.effect).__name__.lower()
        return asdict(self) | {"effect": {"kind": kind, **asdict(self.effect)}}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Rule:
        """Make a rule of what `as_json` returned."""
        effect = dict(told["effect"])
        return cls(**{**told, "effect": _EFFECTS[effect.pop("kind")](**effect)})

    def __str__(self) -> str:
        whom = [
            f"{name}={value!r}" for name in KNOWN_AT if (value := getattr(self, name)) is not None
        ]
        if self.after:
            whom.append(f"after {self.after} octets")
        chance = "" if self.probability == 1 else f", {self.probability * 100:g} % of the time"
        often = "" if self.times is None else f", {self.times} times"
        about = f" ({', '.join(whom)})" if whom else ""
        return f"at {self.verb}{about}: {self.effect}{chance}{often}"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def fits(pattern: str, value: str) -> bool:
    """Tell whether a pattern, in which ``*`` stands for any text, is about a value."""
    parts = map(re.escape, pattern.casefold().split("*"))
    return re.fullmatch(".*".join(parts), value.casefold(), re.DOTALL) is not None
