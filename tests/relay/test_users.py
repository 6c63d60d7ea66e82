"""Who may log in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from tests.relay.threads import InlineReactor, InlineThreads
from txsmtpconn.errors import ConfigError
from txsmtpconn.relay.users import PasswordHash, Users
from txsmtpconn.sasl import Finished
from txsmtpconn.server import NotBelieved
from txsmtpconn.testing.results import failure_result_of, success_result_of

SECRET = "correct horse ü"


class Reactor(InlineReactor):
    """A reactor whose threads are none."""

    def getThreadPool(self) -> InlineThreads:
        return InlineThreads()


@pytest.fixture(scope="module")
def line() -> str:
    """A line of the file, for the user u."""
    return f"u:{PasswordHash.of(SECRET)}"


def users(tmp_path: Path, text: str) -> Users:
    """Users of a file with this text."""
    path = tmp_path / "users"
    path.write_text(text, encoding="utf-8")
    return Users.read(str(path), Reactor())


def test_right_password_is_believed(tmp_path: Path, line: str) -> None:
    """A user of the file with his password is who he says, also when he acts as himself."""
    some = users(tmp_path, f"# who may relay\n\n{line}\n")
    for claimed in (Finished("u", password=SECRET), Finished("u", "u", password=SECRET)):
        assert success_result_of(some(cast(Any, None), claimed)) == "u"


@pytest.mark.parametrize(
    "claimed",
    [
        Finished("u", password="wrong"),
        Finished("u", password=""),
        Finished("u"),
        Finished("U", password=SECRET),
        Finished("nobody", password=SECRET),
        Finished("", password=""),
        Finished("u", "root", password=SECRET),
        Finished("u", token=SECRET),
    ],
)
def test_everybody_else_is_not(tmp_path: Path, line: str, claimed: Finished) -> None:
    """A wrong password, an unknown name, another's name, a token: all get the same answer."""
    failure_result_of(users(tmp_path, line)(cast(Any, None), claimed), NotBelieved)


@pytest.mark.parametrize(
    "text",
    [
        f"u:{SECRET}",
        "u",
        "u:scrypt$16384$8$1$$",
        "u:scrypt$16384$8$1$AAAA$AAAA",
        "u:scrypt$1048576$80$1$AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "u:scrypt$3$8$1$AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "u:md5$1$1$1$AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ],
)
def test_malformed_line_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    """A password in clear where a hash should be is an error that does not repeat it."""
    with pytest.raises(ConfigError, match="line 1") as caught:
        users(tmp_path, text)
    assert SECRET not in str(caught.value)


def test_missing_file_is_refused() -> None:
    """No file, no relay."""
    with pytest.raises(ConfigError, match="cannot read"):
        Users.read("/nonexistent/users", Reactor())


def test_hash_shows_nothing(line: str) -> None:
    """Two hashes of one password differ, and their representation is empty."""
    assert str(PasswordHash.of(SECRET)) != line.partition(":")[2]
    assert repr(PasswordHash.of(SECRET)) == "PasswordHash(...)"
