"""The directive `explorer`: one of `l2l.explorer`'s explorers in a page, as in ```` ```{explorer} adapt ````."""

from importlib.resources import files

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from l2l import explorer


class ExplorerDirective(SphinxDirective):
    required_arguments = 1
    option_spec = {"compact": directives.flag}  # noqa: RUF012 (docutils' way)

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(explorer.__file__)
        for folder in ("js", "data"):
            for source in (files("l2l") / folder).iterdir():
                self.env.note_dependency(str(source))
        shown = getattr(explorer, self.arguments[0])(**dict.fromkeys(self.options, True))
        return [nodes.raw("", shown.html, format="html")]


def setup(app: Sphinx) -> dict:
    app.add_directive("explorer", ExplorerDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
