"""The rules of one server, in order, how often each has struck, and the dice they are thrown with.

Chance can be repeated: each session has dice of its own, made of the book's seed and of its place
among the sessions. So the third session meets the same fate each time, whatever the others do
meanwhile, as long as it says the same. This module imports no Twisted.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from random import Random

from txsmtpconn.sink.rules import NOBODY, Delay, Effect, Rule

#: A seed that nobody has chosen is below this: short enough to be typed in again.
_SEEDS = 10**9


class RuleBook:
    """The rules of one server.

    Rules are asked in the order in which they were made; a delay lets the next one speak too.

    Args:
        seed: Decides what chance decides; None draws one.

    Attributes:
        seed: The same, or the one that was drawn.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = secrets.randbelow(_SEEDS) if seed is None else seed
        self._rules: list[Rule] = []
        self._hits: dict[int, int] = {}
        self._last = 0
        self._sessions = 0
        self._shared = self._dice(0)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._rules)

    def __len__(self) -> int:
        return len(self._rules)

    def add(self, rule: Rule) -> Rule:
        """Add a rule behind the others; return it with its number."""
        self._last += 1
        numbered = replace(rule, number=self._last)
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

    @property
    def by_chance(self) -> bool:
        """Whether chance has a say in any of the rules."""
        return any(rule.by_chance for rule in self._rules)

    def new_session(self) -> Random:
        """Return the dice of the session that begins now."""
        self._sessions += 1
        return self._dice(self._sessions)

    def strike(
        self,
        verb: str,
        who: Mapping[str, Collection[str]] = NOBODY,
        *,
        for_each: bool = False,
        dice: Random | None = None,
    ) -> tuple[Effect, ...]:
        """Return what is to happen now: delays, and at most one refusal or end behind them.

        Args:
            verb: One of `VERBS`.
            who: Those concerned; see `Rule.concerns`.
            for_each: Ask only rules for certain recipients: the others were asked already.
            dice: The session's; see `new_session`.
        """
        return tuple(effect for _, effect in self.struck(verb, who, for_each=for_each, dice=dice))

    def struck(
        self,
        verb: str,
        who: Mapping[str, Collection[str]] = NOBODY,
        *,
        for_each: bool = False,
        dice: Random | None = None,
    ) -> list[tuple[Rule, Effect]]:
        """Return the same as `strike`, each effect with its rule."""
        if not self._rules:
            return []
        dice = dice or self._shared
        struck: list[tuple[Rule, Effect]] = []
        for rule in self._rules:
            hits = self._hits[rule.number]
            if (for_each and rule.rcpt is None) or (rule.times is not None and hits >= rule.times):
                continue
            if rule.concerns(verb, who) and _falls(rule, dice):
                self._hits[rule.number] = hits + 1
                effect = rule.effect
                if not isinstance(effect, Delay):
                    struck.append((rule, effect))
                    break
                struck.append((rule, effect.settled(dice)))
        return struck

    def _dice(self, session: int) -> Random:
        return Random(f"{self.seed}/{session}")  # noqa: S311 - to be repeated is what it is for

    def __str__(self) -> str:
        lines = [f"{rule} (struck: {self.hits(rule)})" for rule in self._rules]
        if self.by_chance:
            lines.append(f"seed: {self.seed}")
        return "\n".join(lines)


def _falls(rule: Rule, dice: Random) -> bool:
    return rule.probability == 1 or dice.random() < rule.probability
