"""Rules of a capture server: what it refuses, holds up or breaks off, for whom and how often.

    server.reject(rcpt="bob@b.test", code=550, enhanced="5.1.1", text="No such user")
    server.reject("MAIL", code=451, times=1)
    server.mailbox_full("carol@b.test")
    server.delay("DATA", seconds=2)
    server.drop("MESSAGE", taken=True)

A rule is about one verb, and perhaps one kind of recipient, sender or user. Rules are asked in the
order in which they were made; a delay lets the next one speak too. This module imports no Twisted.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from txsmtpconn.errors import ConfigError
from txsmtpconn.wire.enhanced import EnhancedStatusCode
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.reply import Reply

#: Every verb that a rule can be about -> the code of a refusal, and what follows the class in its
#: enhanced status code; greetings and hellos have none (RFC 2034 section 4). CONNECT is the
#: greeting, EHLO also HELO and LHLO, DATA also the first BDAT; MESSAGE is the end of mail data.
VERBS: Mapping[str, tuple[int, str]] = {
    "CONNECT": (554, ""),
    "EHLO": (550, ""),
    "STARTTLS": (454, "7.0"),
    "AUTH": (535, "7.8"),
    "MAIL": (550, "7.1"),
    "RCPT": (550, "1.1"),
    "DATA": (554, "7.1"),
    "MESSAGE": (554, "7.1"),
    "RSET": (502, "5.1"),
    "NOOP": (502, "5.1"),
    "VRFY": (502, "5.1"),
    "HELP": (502, "5.1"),
    "QUIT": (502, "5.1"),
}
_SAME_AS = {"HELO": "EHLO", "LHLO": "EHLO", "BDAT": "DATA"}

_KNOW_MESSAGE = ("RCPT", "DATA", "MESSAGE")
#: What a rule can be narrowed down to -> the verbs at which that is known.
_KNOWN_AT: Mapping[str, Collection[str]] = {
    "rcpt": _KNOW_MESSAGE,
    "mail_from": ("MAIL", *_KNOW_MESSAGE),
    "user": ("AUTH", "MAIL", *_KNOW_MESSAGE),
}


#: Those concerned by a verb that is about nobody.
NOBODY: Mapping[str, Collection[str]] = {}


@dataclass(frozen=True, slots=True)
class Reject:
    """Say no."""

    code: int
    enhanced: str
    text: str

    @property
    def reply(self) -> Reply:
        """What is said."""
        prefix = f"{self.enhanced} " if self.enhanced else ""
        return Reply.of(self.code, *(prefix + line for line in self.text.split("\n")))

    def __str__(self) -> str:
        return f"reject with {self.reply}"


@dataclass(frozen=True, slots=True)
class Delay:
    """Wait so many seconds before the answer."""

    seconds: float

    def __str__(self) -> str:
        return f"delay by {self.seconds:g} s"


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
        return "reset the connection" if self.reset else "drop the connection"


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

    def __post_init__(self) -> None:
        verb = self.verb.upper()
        object.__setattr__(self, "verb", _SAME_AS.get(verb, verb))
        if self.verb not in VERBS:
            raise ConfigError(
                f"no rule can be about {self.verb!r}: it is one of {', '.join(VERBS)}"
            )
        for name, verbs in _KNOWN_AT.items():
            if getattr(self, name) is not None and self.verb not in verbs:
                raise ConfigError(f"{name} is not known at {self.verb}")
        if self.times is not None and self.times < 1:
            raise ConfigError(f"a rule holds once or more often, not {self.times} times")
        if isinstance(self.effect, Drop) and self.effect.taken and self.verb != "MESSAGE":
            raise ConfigError(f"no message is there to be taken at {self.verb}")

    def concerns(self, verb: str, who: Mapping[str, Collection[str]]) -> bool:
        """Tell whether the rule is about this verb and these people.

        Args:
            verb: One of `VERBS`.
            who: Those concerned, under the names ``rcpt``, ``mail_from`` and ``user``.
        """
        return self.verb == verb and all(
            any(_fits(pattern, name) for name in who.get(role, ()))
            for role in _KNOWN_AT
            if (pattern := getattr(self, role)) is not None
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
        whom = ", ".join(
            f"{name}={value!r}" for name in _KNOWN_AT if (value := getattr(self, name)) is not None
        )
        often = "" if self.times is None else f", {self.times} times"
        return f"at {self.verb}{f' ({whom})' if whom else ''}: {self.effect}{often}"


def _fits(pattern: str, value: str) -> bool:
    parts = map(re.escape, pattern.casefold().split("*"))
    return re.fullmatch(".*".join(parts), value.casefold()) is not None


class RuleBook:
    """The rules of one server, in order, and how often each has struck."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._hits: dict[int, int] = {}
        self._last = 0

    def add(self, rule: Rule) -> Rule:
        """Add a rule behind the others; return it with its number."""
        self._last += 1
        numbered = Rule(
            rule.effect, rule.verb, rule.rcpt, rule.mail_from, rule.user, rule.times, self._last
        )
        self._rules.append(numbered)
        self._hits[numbered.number] = 0
        return numbered

    def clear(self) -> None:
        """Forget all rules."""
        self._rules.clear()
        self._hits.clear()

    def hits(self, rule: Rule) -> int:
        """Return how often a rule has struck; 0 once it is forgotten."""
        return self._hits.get(rule.number, 0)

    def strike(
        self,
        verb: str,
        who: Mapping[str, Collection[str]] = NOBODY,
        *,
        for_each: bool = False,
    ) -> tuple[Effect, ...]:
        """Return what is to happen now: delays, and at most one refusal or end behind them.

        Args:
            verb: One of `VERBS`.
            who: Those concerned; see `Rule.concerns`.
            for_each: Ask only rules for certain recipients: the others were asked already.
        """
        if not self._rules:
            return ()
        effects: list[Effect] = []
        for rule in self._rules:
            hits = self._hits[rule.number]
            if (for_each and rule.rcpt is None) or (rule.times is not None and hits >= rule.times):
                continue
            if rule.concerns(verb, who):
                self._hits[rule.number] = hits + 1
                effects.append(rule.effect)
                if not isinstance(rule.effect, Delay):
                    break
        return tuple(effects)

    def __str__(self) -> str:
        return "\n".join(f"{rule} (struck: {self.hits(rule)})" for rule in self._rules)


class Ruled(ABC):
    """A server that follows rules: the ways to make them.

    All take ``verb`` (one of `VERBS`), ``rcpt``, ``mail_from``, ``user`` and ``times`` as `Rule`
    describes them. A rule with ``rcpt`` is about RCPT if it does not say, one with ``mail_from``
    about MAIL, one with ``user`` about AUTH.
    """

    _DEFAULT_VERB: ClassVar[Mapping[str, str]] = {
        "rcpt": "RCPT",
        "mail_from": "MAIL",
        "user": "AUTH",
    }

    @abstractmethod
    def add_rule(self, rule: Rule) -> Rule:
        """Add a rule; return it with its number."""

    def reject(
        self,
        verb: str | None = None,
        *,
        code: int | None = None,
        enhanced: str | None = None,
        text: str = "Refused by a rule",
        **narrowed: Any,
    ) -> Rule:
        """Refuse.

        Args:
            verb: At which verb.
            code: 400 to 599; by default what such a refusal usually has. 421 ends the session.
            enhanced: The enhanced status code; by default one that fits the verb, and empty for
                none.
            text: For a person to read; a line feed begins another line.
            **narrowed: ``rcpt``, ``mail_from``, ``user``, ``times``.

        Raises:
            ConfigError: These make no refusal.
        """
        verb = self._verb(verb, narrowed)
        usual, detail = VERBS.get(_SAME_AS.get(verb, verb), (550, ""))
        code = usual if code is None else code
        if enhanced is None:
            enhanced = f"{code // 100}.{detail}" if detail else ""
        effect = Reject(code, enhanced, text)
        _check_refusal(effect)
        return self.add_rule(Rule(effect, verb, **narrowed))

    def mailbox_full(
        self, rcpt: str, *, permanent: bool = False, verb: str = "RCPT", **narrowed: Any
    ) -> Rule:
        """Have no room for a recipient's mail.

        Args:
            rcpt: The recipient.
            permanent: 552 5.2.2, and not 452 4.2.2.
            verb: RCPT, or MESSAGE: for LMTP, which has a reply for each recipient there.
            **narrowed: ``mail_from``, ``user``, ``times``.
        """
        code, enhanced = (552, "5.2.2") if permanent else (452, "4.2.2")
        return self.reject(
            verb, rcpt=rcpt, code=code, enhanced=enhanced, text="Mailbox full", **narrowed
        )

    def delay(self, verb: str | None = None, *, seconds: float, **narrowed: Any) -> Rule:
        """Answer only after so many seconds, and then as the rules that follow say."""
        if not seconds > 0:
            raise ConfigError(f"a delay lasts more than 0 seconds, not {seconds!r}")
        return self.add_rule(Rule(Delay(seconds), self._verb(verb, narrowed), **narrowed))

    def drop(
        self,
        verb: str | None = None,
        *,
        reset: bool = False,
        taken: bool = False,
        **narrowed: Any,
    ) -> Rule:
        """Close the connection instead of an answer; see `Drop`."""
        return self.add_rule(Rule(Drop(reset, taken), self._verb(verb, narrowed), **narrowed))

    def _verb(self, verb: str | None, narrowed: Mapping[str, Any]) -> str:
        if verb is not None:
            return verb.upper()
        for name, default in self._DEFAULT_VERB.items():
            if narrowed.get(name) is not None:
                return default
        raise ConfigError("a rule needs a verb, a rcpt, a mail_from or a user")


def _check_refusal(effect: Reject) -> None:
    if type(effect.code) is not int or not 400 <= effect.code <= 599:
        raise ConfigError(f"a refusal has a code from 400 to 599, not {effect.code!r}")
    if effect.enhanced:
        status = EnhancedStatusCode.parse(effect.enhanced)
        if status is None or status.klass != effect.code // 100:
            raise ConfigError(f"{effect.enhanced!r} is no enhanced status code of {effect.code}")
    try:
        effect.reply.encode()
    except LocalProtocolError as error:
        raise ConfigError(f"the text of a refusal: {error}") from None
