"""The directive `explorer`: one of `l2l.explorer`'s explorers in a page, as in ```` ```{explorer} adapt ````."""

from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import l2l
from l2l import explorer

PACKAGE = Path(l2l.__file__).parent


class ExplorerDirective(SphinxDirective):
    required_arguments = 1
    option_spec = {"compact": directives.flag}  # noqa: RUF012 (docutils' way)

    def run(self) -> list[nodes.Node]:
        for pattern in ("explorer/*.py", "explorer/js/**/*.*", "data/*"):
            for source in PACKAGE.glob(pattern):
                self.env.note_dependency(str(source))
        shown = getattr(explorer, self.arguments[0])(**dict.fromkeys(self.options, True))
        return [nodes.raw("", shown.html, format="html")]


def setup(app: Sphinx) -> dict:
    app.add_directive("explorer", ExplorerDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
