"""The floors of the house: who may import whom.

The table is that of the design page (docs/topics/design.rst). It is read from the source by `ast`,
so an import inside a function counts like one at the top. So does one under ``TYPE_CHECKING``: a
name in an annotation is a dependency for the reader, and a room that needs it stands on the wrong
floor. The one exception is the package's own ``__init__``, whose lazy names are outside the floors.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "txsmtpconn"

FACTS = {"errors", "envelope", "outcome"}  # one floor: an error lists outcomes, they hold errors
CORE = FACTS | {"wire", "sasl", "session"}

_NET = {"session", "wire"} | FACTS
_ENDS = _NET | {"net", "sasl"}
_TRANSPORT = _ENDS | {"client"}
_SINK = _ENDS | {"server"}
_RELAY = _ENDS | {"client", "server", "transport"}
_WEB = _RELAY | {"relay", "sink"}
_ALL = _WEB | {"web", "testing", "cli", "tap", "tap_numbers", "tap_start"}

MAY_IMPORT: dict[str, set[str]] = {
    "wire": set(),
    "sasl": {"wire"},
    "errors": FACTS | {"wire"},
    "envelope": FACTS | {"wire"},
    "outcome": FACTS | {"wire"},
    "session": FACTS | {"wire"},
    "net": _NET,
    "client": _ENDS,
    "server": _ENDS,
    "transport": _TRANSPORT,
    "sink": _SINK,
    "relay": _RELAY,
    "testing": _RELAY | {"sink"},
    "web": _WEB,
    "tap": _ALL,
    "tap_numbers": {"errors"},
    "tap_start": {"errors"},
    "tap_sink": _ALL,
    "cli": _ALL,
    "__main__": {"cli"},
}

# What of others' is used where: the core stands on the standard library alone, but for
# internationalised domain names and Kerberos. An installation has these (setup.cfg), or those with
# an extra (gssapi), pytest aside.
CORE_MAY_USE = {"wire": {"idna"}, "sasl": {"gssapi"}}
GLUE_MAY_USE = {
    *("OpenSSL", "cryptography", "idna", "jwt", "service_identity", "twisted", "zope"),
}
ROOM_MAY_USE = {"client": {"h11"}, "testing": {"pytest"}, "web": {"klein", "werkzeug"}}

MAY_IMPORT_REACTOR = {"net/clock.py", "tap.py", "tap_sink.py"}

LINES = 450
# Module -> why it may be longer.
MAY_BE_LONGER: dict[str, str] = {}

MODULES = sorted(PACKAGE.rglob("*.py"))


def module_id(path: Path) -> str:
    """Name a module in the test's report."""
    return path.relative_to(PACKAGE).as_posix()


def room_of(path: Path) -> str:
    """Name the room of a module: its folder, or its own name at the top of the package."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def dotted(path: Path) -> str:
    """Give the name under which a module is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports_in(source: str) -> Iterator[str]:
    """Yield the dotted name of everything imported, ``from a import b`` as ``a.b``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ("." * node.level + f"{node.module}.{alias.name}" for alias in node.names)


def faults_in(room: str, source: str) -> list[str]:
    """List the imports in a module's source that its room does not allow."""
    return [name for name in imports_in(source) if not _allowed(room, name)]


def _allowed(room: str, name: str) -> bool:
    top, _, rest = name.partition(".")
    if top == "txsmtpconn":
        target = rest.partition(".")[0]
        return target in {room, "__version__"} or target in MAY_IMPORT[room]
    others = CORE_MAY_USE.get(room, set()) if room in CORE else GLUE_MAY_USE
    return top in sys.stdlib_module_names | others | ROOM_MAY_USE.get(room, set())


@pytest.mark.parametrize("path", MODULES, ids=module_id)
def test_imports_point_down(path: Path) -> None:
    """A module imports from its own room and from those below it, and from nowhere else."""
    room = room_of(path)
    if room == "__init__":
        return
    assert room in MAY_IMPORT, f"{room} has no row in the table: give it one"
    assert faults_in(room, path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("wire", "import twisted"),
        ("wire", "from txsmtpconn.errors import SMTPError"),
        ("wire", "def f():\n    from twisted.internet import defer"),
        ("session", "if TYPE_CHECKING:\n    from txsmtpconn.net.tls import TLSOptions"),
        ("session", "from txsmtpconn.sasl import plain"),
        ("session", "from txsmtpconn import Envelope"),
        ("net", "from txsmtpconn.sasl import plain"),
        ("client", "from txsmtpconn.server import ServerOptions"),
        ("client", "from .options import ConnectionOptions"),
        ("transport", "import txsmtpconn.relay.spool"),
        ("relay", "from txsmtpconn import testing"),
        ("relay", "import requests"),
    ],
)
def test_the_table_bites(room: str, line: str) -> None:
    """Each kind of forbidden import is seen, wherever in the module it is written."""
    assert len(faults_in(room, line)) == 1


@pytest.mark.parametrize("path", MODULES, ids=module_id)
def test_reactor_is_an_argument(path: Path) -> None:
    """Only the entry points and the default clock import the global reactor."""
    if module_id(path) not in MAY_IMPORT_REACTOR:
        names = set(imports_in(path.read_text("utf-8")))
        assert not {name for name in names if name.startswith("twisted.internet.reactor")}


@pytest.mark.parametrize("path", MODULES, ids=module_id)
def test_modules_are_readable_in_one_sitting(path: Path) -> None:
    """A module is at most 450 lines long, or it says here why it must be longer."""
    lines = path.read_text("utf-8").count("\n")
    if module_id(path) in MAY_BE_LONGER:
        assert lines > LINES, "this exemption is no longer needed"
    else:
        assert lines <= LINES


@pytest.mark.parametrize("path", MODULES, ids=module_id)
def test_no_pattern_repeats_a_group_possessively(path: Path) -> None:
    """Up to Python 3.11.4 such a pattern matches too much (CPython issue 106052)."""
    tree = ast.parse(path.read_text("utf-8"))
    texts = [ast.literal_eval(node) for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    patterns = [
        text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text for text in texts
    ]
    assert not [
        pattern
        for pattern in patterns
        if isinstance(pattern, bytes) and re.search(rb"\)(?:[*+?]|\{[0-9,]+\})\+", pattern)
    ]


@pytest.mark.parametrize("room", ["__init__", *sorted(CORE)])
def test_the_core_leaves_twisted_out(room: str) -> None:
    """Importing the package, or every module of a room of its core, brings no Twisted along."""
    names = [dotted(path) for path in MODULES if room_of(path) == room]
    assert names
    script = (
        f"import sys, {', '.join(names)}\n"
        "print(*sorted({module.partition('.')[0] for module in sys.modules}"
        " & {'twisted', 'zope', 'OpenSSL', 'service_identity', 'cryptography'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
