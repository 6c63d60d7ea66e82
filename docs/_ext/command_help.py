"""Shows what a command says of itself: ``.. command-help:: PROGRAM [SUBCOMMAND]``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAMS = {
    "smtpconn": "from txsmtpconn.cli import main; main()",
    "twistd": "from twisted.scripts.twistd import run; run()",
}


class CommandHelp(SphinxDirective):
    """The output of ``--help`` as a literal block."""

    required_arguments = 1
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Run the command; a failure is a failure of the build."""
        program, *rest = self.arguments
        script = f"import sys; sys.argv[0] = {program!r}; {PROGRAMS[program]}"
        done = subprocess.run(
            [sys.executable, "-c", script, *rest, "--help"],
            cwd=ROOT,
            env=os.environ | {"COLUMNS": "88"},
            capture_output=True,
            text=True,
            check=True,
        )
        block = nodes.literal_block(done.stdout, done.stdout.strip("\n"))
        block["language"] = "text"
        return [block]


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directive."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
