"""Rules: which verb, for whom, how often; and what makes no rule."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from txsmtpconn.errors import ConfigError
from txsmtpconn.sink.rulebook import RuleBook
from txsmtpconn.sink.rules import VERBS, Delay, Drop, Reject, Rule
from txsmtpconn.testing.rules import Ruled

NO = Reject(550, "5.1.1", "No such user")


class Book(Ruled):
    """Makes rules, and keeps them."""

    def __init__(self) -> None:
        self.rules = RuleBook()

    def add_rule(self, rule: Rule) -> Rule:
        return self.rules.add(rule)


@pytest.fixture
def book() -> Book:
    """A book without rules."""
    return Book()


def test_without_rules_nothing_happens(book: Book) -> None:
    """A book without rules has no effect at any verb."""
    assert [book.rules.strike(verb) for verb in VERBS] == [()] * len(VERBS)


@pytest.mark.parametrize(
    ("pattern", "address", "fits"),
    [
        ("bob@b.test", "bob@b.test", True),
        ("bob@b.test", "BOB@B.Test", True),
        ("*@b.test", "bob@b.test", True),
        ("bob*", "bob+tag@b.test", True),
        ("*", "anybody@anywhere.test", True),
        ("*@b.test", "bob@b.test.example", False),
        ("bob@b.test", "xbob@b.test", False),
        ("b.b@b.test", "bob@b.test", False),
        ("b?b@b.test", "bob@b.test", False),
        ("", "bob@b.test", False),
        ("", "", True),
    ],
)
def test_addresses_fit_in_any_case_and_by_asterisk(
    book: Book, pattern: str, address: str, fits: bool
) -> None:
    """An asterisk stands for any text, and no other character for anything but itself."""
    book.reject(mail_from=pattern)
    assert bool(book.rules.strike("MAIL", {"mail_from": [address]})) is fits


def test_a_rule_wants_everything_it_names(book: Book) -> None:
    """Recipient, sender and user must all fit, each of them one of those concerned."""
    book.reject("RCPT", rcpt="b@b.test", mail_from="a@a.test", user="u")
    everybody = {"rcpt": ["x@b.test", "b@b.test"], "mail_from": ["a@a.test"], "user": ["u"]}
    for role in everybody:
        assert not book.rules.strike("RCPT", {**everybody, role: ["other"]})
        assert not book.rules.strike("RCPT", {**everybody, role: []})
    assert not book.rules.strike("DATA", everybody)
    assert book.rules.strike("RCPT", everybody)


def test_a_rule_holds_as_often_as_it_says(book: Book) -> None:
    """Then the next one speaks; each knows how often it was its turn."""
    once = book.reject("NOOP", code=451, times=1)
    ever = book.reject("NOOP", code=502)
    struck = [book.rules.strike("NOOP")[0] for _ in range(3)]
    assert [effect.code for effect in struck if isinstance(effect, Reject)] == [451, 502, 502]
    assert (book.rules.hits(once), book.rules.hits(ever)) == (1, 2)
    book.rules.clear()
    assert book.rules.strike("NOOP") == ()
    assert book.rules.hits(ever) == 0


def test_delays_let_the_next_rule_speak(book: Book) -> None:
    """Delays add up, until something ends the matter."""
    book.delay("DATA", seconds=1)
    book.delay("DATA", seconds=2)
    book.drop("DATA")
    unheard = book.reject("DATA")
    assert book.rules.strike("DATA") == (Delay(1), Delay(2), Drop())
    assert book.rules.hits(unheard) == 0


def test_asked_for_each_recipient_only_rules_for_recipients_speak(book: Book) -> None:
    """So that LMTP does not carry out a rule for all of them once for each."""
    book.delay("MESSAGE", seconds=1)
    book.mailbox_full("b@b.test", verb="MESSAGE")
    assert book.rules.strike("MESSAGE") == (Delay(1),)
    (effect,) = book.rules.strike("MESSAGE", {"rcpt": ["b@b.test"]}, for_each=True)
    assert str(effect) == "reject with 452 4.2.2 Mailbox full"
    assert book.rules.strike("MESSAGE", {"rcpt": ["c@b.test"]}, for_each=True) == ()


@pytest.mark.parametrize(
    ("arguments", "verb"),
    [({"rcpt": "b@b.test"}, "RCPT"), ({"mail_from": ""}, "MAIL"), ({"user": "u"}, "AUTH")],
)
def test_who_is_named_says_which_verb(book: Book, arguments: dict[str, Any], verb: str) -> None:
    """A rule for a recipient is about RCPT, for a sender about MAIL, for a user about AUTH."""
    assert book.reject(**arguments).verb == verb
    assert book.delay(seconds=1, **arguments).verb == verb
    assert book.drop(**arguments).verb == verb


@pytest.mark.parametrize(
    ("given", "kept"), [("helo", "EHLO"), ("lhlo", "EHLO"), ("bdat", "DATA"), ("rcpt", "RCPT")]
)
def test_verbs_in_any_case_and_their_likes(book: Book, given: str, kept: str) -> None:
    """HELO and LHLO are EHLO, BDAT is DATA."""
    assert book.reject(given).verb == kept


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_refusal_of_its_own(book: Book, verb: str) -> None:
    """With a code, and where the RFC has them an enhanced one of the same class."""
    effect = book.reject(verb).effect
    assert isinstance(effect, Reject)
    assert effect.reply.code == VERBS[verb][0]
    assert (effect.reply.enhanced is None) is (verb in ("CONNECT", "EHLO"))


def test_a_refusal_as_one_likes_it(book: Book) -> None:
    """Code, enhanced code and text are the caller's; the class follows the code by default."""
    effect = book.reject("RCPT", code=450, text="Later\nperhaps").effect
    assert isinstance(effect, Reject)
    assert str(effect.reply) == "450-4.1.1 Later\n450 4.1.1 perhaps"
    effect = book.reject("RCPT", code=450, enhanced="", text="Later").effect
    assert isinstance(effect, Reject)
    assert str(effect.reply) == "450 Later"
    effect = book.mailbox_full("b@b.test", permanent=True).effect
    assert isinstance(effect, Reject)
    assert str(effect.reply) == "552 5.2.2 Mailbox full"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda book: book.reject(), "a rule needs a verb"),
        (lambda book: book.reject("FROM"), "'FROM'"),
        (lambda book: book.reject("RCPT", code=250), "400 to 599"),
        (lambda book: book.reject("RCPT", code=True), "400 to 599"),
        (lambda book: book.reject("RCPT", code=550, enhanced="4.1.1"), "4.1.1"),
        (lambda book: book.reject("RCPT", code=550, enhanced="5"), "'5'"),
        (lambda book: book.reject("RCPT", text="a\r\nb"), "text of a refusal"),
        (lambda book: book.reject("MAIL", rcpt="b@b.test"), "rcpt is not known at MAIL"),
        (lambda book: book.reject("CONNECT", user="u"), "user is not known at CONNECT"),
        (lambda book: book.reject("QUIT", mail_from="a@a.test"), "mail_from is not known"),
        (lambda book: book.reject("RCPT", times=0), "once or more often"),
        (lambda book: book.delay("RCPT", seconds=0), "more than 0 seconds"),
        (lambda book: book.delay("RCPT", seconds=float("nan")), "more than 0 seconds"),
        (lambda book: book.drop("RCPT", taken=True), "no message is there"),
        (lambda book: book.reject(rcpt=""), "no recipient"),
        (lambda book: book.reject(rcpt=["b@b.test"]), "rcpt is text"),
        (lambda book: book.reject(user=7), "user is text"),
        (lambda book: book.reject(7), "about 7"),
        (lambda book: book.reject("RCPT", text=7), "is text, not 7"),
        (lambda book: book.reject("RCPT", times="2"), "not '2' times"),
        (lambda book: book.reject("RCPT", times=1.5), r"not 1\.5 times"),
        (lambda book: book.reject("RCPT", probability="1"), "a probability"),
        (lambda book: book.reject("CONTENT", after="8"), "'8' octets"),
        (lambda book: book.delay("RCPT", seconds="2"), "more than 0 seconds"),
        (lambda book: book.delay("RCPT", seconds=1, up_to="2"), "1 to '2' seconds"),
    ],
)
def test_what_could_never_strike_is_refused(book: Book, make: Any, message: str) -> None:
    """A rule that makes no sense is an error where it is made, not a test that passes."""
    with pytest.raises(ConfigError, match=message):
        make(book)
    assert str(book.rules) == ""


def test_rules_read_well(book: Book) -> None:
    """As they stand in the report of a failure."""
    book.reject(rcpt="b@b.test", code=550, text="No such user", times=2)
    book.delay("DATA", seconds=1.5)
    book.drop("MESSAGE", reset=True)
    book.rules.strike("DATA")
    assert str(book.rules).splitlines() == [
        "at RCPT (rcpt='b@b.test'): reject with 550 5.1.1 No such user, 2 times (struck: 0)",
        "at DATA: delay by 1.5 s (struck: 1)",
        "at MESSAGE: reset the connection (struck: 0)",
    ]


@pytest.mark.parametrize("effect", [NO, Delay(0.5), Drop(reset=True), Drop(taken=True)])
def test_rules_survive_json(effect: Any) -> None:
    """What goes to another process comes out as it was."""
    rule = Rule(effect, "MESSAGE", rcpt="b@b.test", mail_from="", user="u", times=3, number=7)
    assert Rule.from_json(json.loads(json.dumps(rule.as_json()))) == rule


def test_values_and_process_import_no_twisted() -> None:
    """Rules, what was captured, and the process's near end work without Twisted."""
    script = (
        "import sys, txsmtpconn.testing.process, txsmtpconn.testing.rules\n"
        "import txsmtpconn.sink.rulebook, txsmtpconn.testing.captured\n"
        "assert 'twisted' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
