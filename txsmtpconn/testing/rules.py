"""The ways to tell a capture server how to misbehave.

    server.reject(rcpt="bob@b.test", code=550, enhanced="5.1.1", text="No such user")
    server.reject("MAIL", code=451, times=1)
    server.mailbox_full("carol@b.test")
    server.delay("DATA", seconds=2)
    server.drop("MESSAGE", taken=True)

Rules are those of the sink (`sink.rules`). This module imports no Twisted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from txsmtpconn.errors import ConfigError
from txsmtpconn.sink.rules import REFUSED, Delay, Drop, Reject, Rule


class Ruled(ABC):
    """A server that follows rules: the ways to make them.

    All take ``verb`` (one of `sink.rules.VERBS`), ``rcpt``, ``mail_from``, ``user``, ``times``,
    ``probability`` and ``after`` as `Rule` describes them. A rule with ``rcpt`` is about RCPT if it
    does not say, one with ``mail_from`` about MAIL, one with ``user`` about AUTH.
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
        text: str = REFUSED,
        **narrowed: Any,
    ) -> Rule:
        """Refuse.

        Args:
            verb: At which verb.
            code: 400 to 599; by default what such a refusal usually has. 421 ends the session.
            enhanced: The enhanced status code; by default one that fits the verb, and empty for
                none.
            text: For a person to read; a line feed begins another line.
            **narrowed: ``rcpt``, ``mail_from``, ``user``, ``times``, ``probability``, ``after``.

        Raises:
            ConfigError: These make no refusal.
        """
        verb = self._verb(verb, narrowed)
        effect = Reject.at(verb, code, enhanced, text)
        return self.add_rule(Rule(effect, verb, **narrowed))

    def mailbox_full(
        self, rcpt: str, *, permanent: bool = False, verb: str = "RCPT", **narrowed: Any
    ) -> Rule:
        """Have no room for a recipient's mail.

        Args:
            rcpt: The recipient.
            permanent: 552 5.2.2, and not 452 4.2.2.
            verb: RCPT, or MESSAGE: for LMTP, which has a reply for each recipient there.
            **narrowed: ``mail_from``, ``user``, ``times``, ``probability``.
        """
        code, enhanced = (552, "5.2.2") if permanent else (452, "4.2.2")
        return self.reject(
            verb, rcpt=rcpt, code=code, enhanced=enhanced, text="Mailbox full", **narrowed
        )

    def delay(
        self,
        verb: str | None = None,
        *,
        seconds: float,
        up_to: float | None = None,
        **narrowed: Any,
    ) -> Rule:
        """Answer only after so many seconds, and then as the rules that follow say; see `Delay`."""
        return self.add_rule(Rule(Delay(seconds, up_to), self._verb(verb, narrowed), **narrowed))

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
            return verb
        for name, default in self._DEFAULT_VERB.items():
            if narrowed.get(name) is not None:
                return default
        raise ConfigError("a rule needs a verb, a rcpt, a mail_from or a user")
