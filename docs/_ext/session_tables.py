"""Draws the tables of ``txsmtpconn.session`` into a page: ``.. session-table:: NAME``.

The pages show what the code obeys, because they are made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from txsmtpconn.session.client.tables import EFFECTS, MAY_LEAVE, Effect, Verb, effect
from txsmtpconn.session.server.tables import LEGALITY, VERBS, Phase

Rows = list[list[str]]


def may_leave() -> Rows:
    """State by state, the commands that a client may write."""
    rows = [["state", "may leave"]]
    for state, row in MAY_LEAVE.items():
        verbs = (verb.name.replace("_", " ") for verb in Verb if row[verb])
        rows.append([_code(state.name), ", ".join(verbs) or "nothing"])
    return rows


def effects() -> Rows:
    """What a reply does to a client session, by what it answers and by its code."""
    rows = [["answers", "2yz", "3yz", "4yz", "5yz", "but"]]
    for expected, (*classes, single) in EFFECTS.items():
        codes = dict(single)
        if 421 not in codes:
            codes[421] = effect(expected, 421)
        but = "; ".join(f"{_ranges(codes, each)} {_word(each.name)}" for each in _in_order(codes))
        rows.append([_code(expected.value), *(_word(each.name) for each in classes), but])
    return rows


def legality() -> Rows:
    """Phase by phase, the commands that a server obeys, and how it refuses the others."""
    rows = [["command", *(_code(phase.name) for phase in Phase)]]
    for verb in VERBS:
        refusals = [LEGALITY[phase, verb] for phase in Phase]
        rows.append(
            [_code(verb), *("yes" if each is None else str(each.code) for each in refusals)]
        )
    return rows


def _in_order(codes: dict[int, Effect]) -> Iterable[Effect]:
    return dict.fromkeys(codes[code] for code in sorted(codes))


def _ranges(codes: dict[int, Effect], wanted: Effect) -> str:
    return ", ".join(str(code) for code in sorted(codes) if codes[code] is wanted)


def _word(name: str) -> str:
    return name.lower().replace("_", " ").replace("tls", "TLS")


def _code(text: str) -> str:
    return f"``{text}``"


TABLES: dict[str, Callable[[], Rows]] = {
    "effects": effects,
    "legality": legality,
    "may-leave": may_leave,
}


class SessionTable(SphinxDirective):
    """A table of the code as a table of the page."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Write the rows as a ``list-table``, and let docutils make the rest."""
        lines = [".. list-table::", "   :header-rows: 1", "   :stub-columns: 1", ""]
        for row in TABLES[self.arguments[0]]():
            lines += [f"   {'*' if first else ' '} - {cell}" for first, cell in _marked(row)]
        container = nodes.container()
        self.state.nested_parse(StringList(lines, "session-table"), self.content_offset, container)
        return container.children


def _marked(row: list[str]) -> Iterable[tuple[bool, str]]:
    return ((index == 0, cell) for index, cell in enumerate(row))


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directive."""
    app.add_directive("session-table", SessionTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
