"""The shelf: what is on it, what has no room, and what is left of that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from txsmtpconn.errors import ConfigError
from txsmtpconn.sink.mailbox import Mailbag, TemporaryMailbag
from txsmtpconn.sink.shelf import Shelf


def keep(bag: Mailbag, octets: bytes = b"x") -> str:
    """Keep a message; return its name."""
    message = bag.begin({"mail_from": "a@x.test"})
    message.write(octets)
    message.finish(rcpt_to=["b@y.test"])
    return message.name


def files(bag: Mailbag) -> list[str]:
    """Name the messages whose files are there."""
    return sorted(path.stem for path in bag.path.glob("*.json"))


def test_what_was_there_is_found_in_order(tmp_path: Path) -> None:
    """A sink that starts again shows what it kept, with size and facts."""
    bag = Mailbag(tmp_path)
    names = [keep(bag, b"x" * size) for size in (1, 2, 3)]
    shelf = Shelf(Mailbag(tmp_path))
    assert list(shelf) == sorted(names)
    assert (len(shelf), shelf.octets, shelf[names[2]]) == (3, 6, 3)
    assert shelf.mailbag.facts_of(names[0])["rcpt_to"] == ["b@y.test"]


def test_the_oldest_makes_room(tmp_path: Path) -> None:
    """Within a number, and within a size; its files go with it."""
    bag = Mailbag(tmp_path)
    shelf = Shelf(bag, messages=3, octets=100, discards=True)
    gone: list[str] = []
    shelf.watch(lambda name: None, gone.extend)
    names = []
    for size in (10, 10, 10, 10, 85):
        names.append(keep(bag, b"x" * size))
        shelf.add(names[-1], size)
    assert list(shelf) == names[3:]
    assert gone == names[:3]
    assert shelf.octets == 95
    assert files(bag) == sorted(names[3:])


def test_without_leave_nothing_is_removed(tmp_path: Path) -> None:
    """What somebody asked to store stays, and is only not shown any more."""
    bag = Mailbag(tmp_path)
    names = [keep(bag) for _ in range(3)]
    shelf = Shelf(bag, messages=2)
    assert list(shelf) == sorted(names)[1:]
    assert len(files(bag)) == 3


def test_the_newest_stays_however_large(tmp_path: Path) -> None:
    """Whoever sends one large message sees it."""
    bag = Mailbag(tmp_path)
    shelf = Shelf(bag, octets=10, discards=True)
    for size in (5, 500):
        shelf.add(keep(bag, b"x" * size), size)
    assert [shelf[name] for name in shelf] == [500]


def test_removing(tmp_path: Path) -> None:
    """Files and all; names that are not there are no mistake; everybody is told once."""
    bag = Mailbag(tmp_path)
    shelf = Shelf(bag)
    names = [keep(bag) for _ in range(3)]
    told: list[list[str]] = []
    added: list[str] = []
    shelf.watch(added.append, lambda gone: told.append(list(gone)))
    for name in names:
        shelf.add(name, 1)
    assert shelf.remove([names[0], "../../etc/passwd", names[0]]) == [names[0]]
    assert shelf.remove(["nothing"]) == []
    assert (added, told) == (names, [[names[0]]])
    assert names[0] not in shelf
    assert files(bag) == sorted(names[1:])
    assert shelf.octets == 2


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    """They are no messages of the sink's: it does not show them, and never makes room of them."""
    bag = Mailbag(tmp_path)
    others = ["mine.eml", "00000000.eml", os.fsdecode(b"\xff.eml")]
    for name in others:
        (tmp_path / name).write_bytes(b"Subject: mine\r\n\r\n")
    names = [keep(bag), keep(bag)]
    assert (bag.names(), len(bag)) == (sorted(names), 2)
    shelf = Shelf(bag, messages=1, discards=True)
    shelf.remove([*shelf, "mine"])
    assert sorted(path.name for path in tmp_path.glob("*.eml")) == sorted(others)


def test_facts_that_are_none(tmp_path: Path) -> None:
    """A broken or missing file of facts says nothing."""
    bag = Mailbag(tmp_path)
    for text in ("", "[1]", "{", "nul"):
        (tmp_path / "x.json").write_text(text)
        assert bag.facts_of("x") == {}
    assert bag.facts_of("y") == {}


def test_a_temporary_mailbag_is_there_while_it_is_needed() -> None:
    """Nobody else can enter it, none is taken over, and all of it goes."""
    bag = TemporaryMailbag()
    assert not bag.path.exists()
    assert list(Shelf(bag)) == []
    bag.make()
    assert bag.path.stat().st_mode & 0o777 == 0o700
    with pytest.raises(FileExistsError):
        bag.make()
    keep(bag)
    bag.discard()
    assert not bag.path.exists()
    bag.discard()


def test_a_mailbag_still_says_where_it_cannot_be(tmp_path: Path) -> None:
    """Named directories are checked at once, as before."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError):
        Mailbag(tmp_path / "file")
