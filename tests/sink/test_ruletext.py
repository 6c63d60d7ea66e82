"""Rules as text: what each word means, what is no rule, and that writing undoes reading."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsmtpconn.errors import ConfigError
from txsmtpconn.sink.rules import KNOWN_AT, VERBS, Delay, Drop, Effect, Reject, Rule
from txsmtpconn.sink.ruletext import parse_rule, read_rules, rule_text


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("RCPT reject", [Rule(Reject(550, "5.1.1", "Refused by a rule"), "RCPT")]),
        ("rcpt REJECT 450", [Rule(Reject(450, "4.1.1", "Refused by a rule"), "RCPT")]),
        (
            "RCPT to=bob@* reject 550 5.1.1 No such  user",
            [Rule(Reject(550, "5.1.1", "No such user"), "RCPT", rcpt="bob@*")],
        ),
        ("EHLO reject 421 Go away", [Rule(Reject(421, "", "Go away"), "EHLO")]),
        ("MAIL reject 451 - Later", [Rule(Reject(451, "", "Later"), "MAIL")]),
        (
            "MAIL,RCPT 12.5% drop",
            [
                Rule(Drop(), "MAIL", probability=0.125),
                Rule(Drop(), "RCPT", probability=0.125),
            ],
        ),
        ("HELO,LHLO drop reset", [Rule(Drop(reset=True), "EHLO")] * 2),
        ("MESSAGE once drop taken", [Rule(Drop(taken=True), "MESSAGE", times=1)]),
        ("MAIL from= times=3 delay 2", [Rule(Delay(2), "MAIL", mail_from="", times=3)]),
        ("DATA delay 0.5-3", [Rule(Delay(0.5, 3), "DATA")]),
        ("CONTENT after=8192 drop", [Rule(Drop(), "CONTENT", after=8192)]),
        ("AUTH 'user=a b' drop", [Rule(Drop(), "AUTH", user="a b")]),
    ],
)
def test_a_rule_is_read(text: str, rules: list[Rule]) -> None:
    """Verbs, whom it is about, how often, what happens."""
    assert parse_rule(text) == rules


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "begins with a verb"),
        ("DANCE drop", "DANCE"),
        ("RCPT,, drop", "''"),
        ("RCPT", "does not say what happens"),
        ("RCPT to=x 5%", "does not say what happens"),
        ("RCPT explode", "'explode' is neither"),
        ("RCPT 5 % drop", "'5' is neither"),
        ("RCPT x% drop", "no percentage"),
        ("RCPT 0% drop", "probability"),
        ("RCPT 101% drop", "probability"),
        ("RCPT 5% 6% drop", "on top"),
        ("RCPT to=a to=b drop", "on top"),
        ("RCPT once times=2 drop", "on top"),
        ("RCPT times=many drop", "no number"),
        (f"RCPT times={'9' * 5000} drop", "no number"),
        (f"RCPT reject {'9' * 5000}", "no number"),
        ("RCPT to= drop", "no recipient"),
        ("RCPT once reject 250 ok", "the rule 'RCPT once reject 250 ok': a refusal has a code"),
        ("RCPT times=0 drop", "once or more"),
        ("RCPT after=5 drop", "octets of mail data"),
        ("MAIL to=a drop", "rcpt is not known at MAIL"),
        ("RCPT drop taken", "no message is there"),
        ("RCPT drop quickly", "'quickly'"),
        ("RCPT delay", "number of seconds"),
        ("RCPT delay soon", "soon"),
        ("RCPT delay 0", "more than 0"),
        ("RCPT delay 3-1", "from 3.0 to 1.0"),
        ("RCPT reject 250", "400 to 599"),
        ("RCPT reject 450 5.1.1", "no enhanced status code of 450"),
        ("RCPT reject 'open", "No closing quotation"),
    ],
)
def test_what_is_no_rule(text: str, told: str) -> None:
    """One sentence that names the word."""
    with pytest.raises(ConfigError, match=told):
        parse_rule(text)


def test_a_file_of_rules(tmp_path: Path) -> None:
    """Empty lines and comments are skipped, and a mistake is told with the line."""
    path = tmp_path / "rules"
    path.write_text("# chaos\n\nMAIL drop\n  # more\nRCPT,DATA delay 1\n")
    assert [rule.verb for rule in read_rules(path)] == ["MAIL", "RCPT", "DATA"]
    path.write_text("MAIL drop\nMAIL jump\n")
    with pytest.raises(ConfigError, match=r"rules, line 2: the rule 'MAIL jump': 'jump'"):
        read_rules(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    """A file that is not there, no text, or without end, is a mistake and no traceback."""
    with pytest.raises(ConfigError, match="No such file"):
        read_rules(tmp_path / "none")
    (tmp_path / "octets").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="octets"):
        read_rules(tmp_path / "octets")
    with pytest.raises(ConfigError, match="more than"):
        read_rules("/dev/zero")


PATTERNS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
EFFECTS = st.one_of(
    st.builds(Delay, st.floats(1e-9, 1e15)),
    st.builds(Delay, st.floats(0.1, 1), st.floats(1, 1e15)),
    st.builds(Drop, reset=st.booleans()),
    st.builds(
        lambda code, text: Reject(code, "", text),
        st.integers(400, 599),
        st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20),
    ),
    st.just(Reject(550, "5.1.1", "No such user")),
)


@given(
    EFFECTS,
    st.sampled_from(sorted(VERBS)),
    st.dictionaries(st.sampled_from(sorted(KNOWN_AT)), PATTERNS),
    st.none() | st.integers(1, 10**6),
    st.sampled_from([1.0, 0.5, 0.001, 0.333]),
)
def test_writing_undoes_reading(
    effect: Effect, verb: str, who: dict[str, str], times: int | None, probability: float
) -> None:
    """Every rule can be written as text that is read as the same rule."""
    known = {name: value for name, value in who.items() if verb in KNOWN_AT[name]}
    known = {name: value for name, value in known.items() if value or name != "rcpt"}
    rule = Rule(effect, verb, times=times, probability=probability, **known)
    assert parse_rule(rule_text(rule)) == [rule]
