"""The Python and the URLs that we show to newcomers are such as the code takes.

What the examples do is proved elsewhere; here they are kept from growing old.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import txsmtpconn
from txsmtpconn.client.options import make_options
from txsmtpconn.transport.settings import make_settings

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.rst")])
OPTIONS = {field.name for field in dataclasses.fields(txsmtpconn.ConnectionOptions)}

_BLOCKS = re.compile(
    r"^```python\n([\s\S]*?)^```|^( *)\.\. code-block:: python\n\n((?:\2   .*\n|\n)+)", re.MULTILINE
)
_URL = re.compile(r"""(?<=["' ])(?:smtps?|lmtp(?:\+unix)?):/[^\s"'`]+""")


def page_id(page: Path) -> str:
    """Name a page in the test's report."""
    return page.relative_to(ROOT).as_posix()


def examples(page: Path) -> Iterator[ast.Module]:
    """Parse each Python block of a page; ``await`` may stand at the top, as in a REPL."""
    for match in _BLOCKS.finditer(page.read_text("utf-8")):
        source = textwrap.dedent(match[1] or match[3])
        compile(source, page_id(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        yield ast.parse(source)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_examples_compile_and_name_what_exists(page: Path) -> None:
    """Each example compiles, imports public names only, and gives `connect` known options."""
    for tree in examples(page):
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "txsmtpconn":
                assert {alias.name for alias in node.names} <= set(txsmtpconn.__all__)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                given = {keyword.arg for keyword in node.keywords}
                assert node.func.id != "connect" or given <= OPTIONS


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_urls_are_such_as_we_take(page: Path) -> None:
    """Each SMTP or LMTP URL on a page can be read, its options too: a pool's by a transport."""
    for url in _URL.findall(page.read_text("utf-8")):
        pooled = "pool=" in url
        made = make_settings(url, None, {}).connection if pooled else make_options(url, {})
        assert isinstance(made, txsmtpconn.ConnectionOptions)


def test_examples_are_found() -> None:
    """The two tests above look at something."""
    assert sum(1 for page in PAGES for _ in examples(page)) > 10
    assert sum(len(_URL.findall(page.read_text("utf-8"))) for page in PAGES) > 10
