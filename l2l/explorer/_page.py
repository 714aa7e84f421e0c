"""What explorers share: a page of one piece, with the modules that it needs joined into one script."""

import base64
import json
import posixpath
import re
from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from l2l.net import Params, flatten
from l2l.plots import METHOD_STYLE, TRUTH_STYLE, png_source
from l2l.run import Run

SCRIPTS = Path(__file__).parent / "js"
IMPORT = re.compile(r'^import \{\s*\w+(?:,\s*\w+)*,?\s*\} from "(\.[\w./]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:const|let|function|class) )", re.MULTILINE)
DASHES = {"-": "", "--": "8 4", "-.": "9 3 2 3", ":": "2 3"}


class Explorer:
    """A piece of HTML that shows itself in a notebook; without JavaScript, a still picture and a sentence.

    Attributes:
        html: the whole of it, self-contained.
    """

    def __init__(self, kind: str, settings: dict, figure: Figure, alt: str):
        build = f"build{kind.capitalize()}(root, panel, {_literal(settings)})"
        start = f"mount({json.dumps(kind)}, (root, panel) => {build});"
        self.html = (
            f'<div class="l2l-explorer" data-kind="{kind}">\n<style>\n{_source("explorer.css")}</style>\n'
            f'<figure class="l2l-still"><img alt="{alt}" src="{png_source(figure, dpi=90)}">'
            "<figcaption>A still picture. Where JavaScript runs, you can move everything in it.</figcaption></figure>\n"
            f"<script>\n(() => {{\n{joined('page/mount.js', f'{kind}/main.js')}{start}\n}})();\n</script>\n</div>"
        )
        self._kind = kind
        plt.close(figure)

    def __repr__(self) -> str:
        return f"<explorer {self._kind!r}>"

    def _repr_html_(self) -> str:
        return self.html


@cache
def joined(*modules: str) -> str:
    """Join modules, and all that they import, into one script: each after what it imports, in one scope.

    Args:
        modules: paths in `js`, such as "line10/main.js".

    Returns:
        The script, without import and export statements.

    Raises:
        ValueError: modules import each other in a circle, or import or export in a way that cannot be left out.
    """
    parts: dict[str, str] = {}

    def visit(module: str, importers: tuple[str, ...] = ()) -> None:
        if module in importers:
            raise ValueError(f"modules must not import in a circle, got {' → '.join((*importers, module))}")
        if module in parts:
            return
        source = _source(module)
        for path in IMPORT.findall(source):
            visit(posixpath.normpath(posixpath.join(posixpath.dirname(module), path)), (*importers, module))
        parts[module] = EXPORT.sub("", IMPORT.sub("", source))
        if left := re.search(r"""^\s*(?:import\b.*["'(]|export\b).*""", parts[module], re.MULTILINE):  # not Python code
            raise ValueError(
                f'{module} must `import {{name, …}} from "./…";` and export declarations only, got {left[0].strip()!r}'
            )

    for module in modules:
        visit(module)
    return '"use strict";\n' + "".join(parts.values())


@cache
def shipped_runs() -> dict[str, Run]:
    """Return the package's own run of each built-in method, with checkpoints; `make paper` trains these runs again."""
    return {method: Run.stored(method) for method in ("maml", "fomaml", "pretrain")}


def moments(run: Run) -> dict[int, Params]:
    """Return parameters at every checkpoint, and at the end, by iteration."""
    return run.checkpoints | {run.iteration: run.theta}


def line_styles(*names: str) -> dict:
    """Return labels, colours and line styles of `l2l.plots`, as SVG has them."""

    def dash(linestyle: str | tuple[int, tuple[int, ...]]) -> str:
        return DASHES[linestyle] if isinstance(linestyle, str) else " ".join(str(2 * n) for n in linestyle[1])

    styles = {"truth": {"color": TRUTH_STYLE["color"], "width": 5, "opacity": TRUTH_STYLE["alpha"]}} | {
        method: {"label": style["label"], "color": style["color"], "dash": dash(style["linestyle"])}
        for method, style in METHOD_STYLE.items()
    }
    return {name: style for name, style in styles.items() if name in names}


def encoded(params: Params) -> str:
    """Return the first replica's parameters as float32 in base64."""
    return base64.b64encode(flatten(params, axes=1)[0].numpy().astype("<f4").tobytes()).decode()


@cache
def _source(name: str) -> str:
    return (SCRIPTS / name).read_text(encoding="utf-8")


def _literal(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
