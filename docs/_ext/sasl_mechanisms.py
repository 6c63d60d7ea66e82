"""Lists the SASL mechanisms of client and server from the code: ``.. sasl-mechanisms::``."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from txsmtpconn.sasl import MECHANISMS, SERVER_MECHANISMS


class SaslMechanisms(SphinxDirective):
    """A list of two: what each side knows, in its order."""

    def run(self) -> list[nodes.Node]:
        """Draw the list."""
        items = nodes.bullet_list()
        for side, mechanisms in (("client", MECHANISMS), ("server", SERVER_MECHANISMS)):
            line = nodes.paragraph("", f"{side}: {', '.join(mechanisms)}")
            items += nodes.list_item("", line)
        return [items]


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directive."""
    app.add_directive("sasl-mechanisms", SaslMechanisms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
