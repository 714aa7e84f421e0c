"""Write the notebooks that people open, plain Markdown without outputs: `python .ci/export.py [FOLDER]`.

The chapters in `book/` are authored in MyST, which Colab, Kaggle, JupyterLab and GitHub show raw. Each becomes a
notebook in `notebooks/`, with every exercise as a cell to be filled, hints and a solution folded around it, and one
in `notebooks/solved/`, with the solutions in place.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from urllib.parse import quote

import nbformat
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from pybtex.backends.markdown import Backend
from pybtex.database import Entry, parse_file
from pybtex.plugin import find_plugin
from set_repository import PLACEHOLDER

from l2l.check import EXERCISES

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
CHAPTERS = sorted(BOOK.glob("[0-9]*.ipynb"))
URL = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
MYST = create_md_parser(
    MdParserConfig(enable_extensions={"amsmath", "colon_fence", "deflist", "dollarmath", "html_image"}), RendererHTML
)
ROLE = re.compile(r"\{([a-z:]+)\}`([^`]+)`")
DIRECTIVE = re.compile(r"\{([\w-]+)\}\s*(.*)")
SETUP = """# @title Set-up: run this cell first
# Installs the book's library where it is missing; the torch and the numpy that are there stay.
import importlib.util
import subprocess
import sys
from importlib.metadata import version

if importlib.util.find_spec("l2l") is None:
    if sys.platform == "emscripten":
        raise SystemExit("There is no PyTorch in a browser: open this notebook in Colab, Kaggle or Jupyter.")
    there = [f"{{p}}=={{version(p)}}" for p in ("torch", "numpy") if importlib.util.find_spec(p)]
    wanted = ["l2l @ git+{url}", *there]
    if subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *wanted]).returncode:
        raise SystemExit("Not installed. Is there a network (on Kaggle: Settings, Internet)? Then restart the kernel.")
    importlib.invalidate_caches()
"""


@dataclass
class Target:
    """Where a label stands, what a reference to it says, and the anchor there.

    Under a heading the anchor is the one that JupyterLab makes of it, since it removes all others.
    """

    document: str
    says: str
    anchor: str


@dataclass
class Book:
    """What references need to know of all chapters."""

    titles: dict[str, str] = field(default_factory=dict)
    labels: dict[str, Target] = field(default_factory=dict)
    figures: dict[tuple[str, str], str] = field(default_factory=dict)
    minutes: dict[str, str] = field(default_factory=dict)
    sources: dict[str, Entry] = field(default_factory=dict)


@dataclass
class Directive:
    name: str
    argument: str
    label: str
    body: str


def blocks(text: str) -> Iterator[Directive | tuple[str, str]]:
    """The blocks of a cell, in order: directives, and (kind, lines) of everything else."""
    lines = text.splitlines()
    done = 0
    for token in MYST.parse(text):
        if token.level or token.map is None or token.map[0] < done:
            continue
        begin, done = token.map
        found = DIRECTIVE.fullmatch(token.info.strip()) if token.type in ("fence", "colon_fence") else None
        if found:
            options, body = re.match(r"((?::[\w-]+:[^\n]*\n)*)(.*)", token.content, re.DOTALL).groups()
            label = re.search(r":(?:label|name): (.*)", options)
            yield Directive(*found.groups(), label.group(1).strip() if label else "", body.strip("\n"))
        else:
            yield token.type, "\n".join(lines[begin:done]).rstrip()


def survey() -> Book:
    """Number figures, exercises and equations as the pages do, and note where every label stands."""
    book = Book(sources=dict(parse_file(str(BOOK / "references.bib")).entries))
    for page in sorted(BOOK.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        book.titles[page.stem] = next((line[2:] for line in text.splitlines() if line.startswith("# ")), page.stem)
        if page.stem == "index":
            book.minutes = dict(re.findall(r"\((\d\d-[\w-]+)\.ipynb\).*\| (\d+), and", text))
    for chapter, path in enumerate(CHAPTERS, start=1):
        counts = dict.fromkeys(("Figure", "exercise", "equation"), 0)

        def number(kind: str, label: str, path: Path = path, counts: dict = counts, chapter: int = chapter) -> str:
            counts[kind] += 1
            says = f"{kind} {chapter}.{counts[kind]}"
            if label:
                book.labels[label] = Target(path.stem, says, headed(says.capitalize()) if kind == "exercise" else label)
            return says

        waiting: list[str] = []
        for cell in nbformat.read(path, 4).cells:
            if figure := cell.metadata.get("mystnb", {}).get("figure"):
                book.figures[path.stem, cell.id] = number("Figure", figure.get("name", ""))
            for block in blocks(cell.source) if cell.cell_type == "markdown" else ():
                if isinstance(block, Directive):
                    if block.name == "exercise":
                        number("exercise", block.label)
                    elif block.label:
                        book.labels[block.label] = Target(path.stem, block.argument, block.label)
                    continue
                kind, lines = block
                if kind == "myst_target":
                    waiting.append(lines.strip("()="))
                elif kind == "heading_open":
                    title = lines.lstrip("# ")
                    book.titles.setdefault(path.stem, title)
                    book.labels |= {label: Target(path.stem, title, headed(title)) for label in waiting}
                    waiting = []
                elif kind == "math_block_label":
                    number("equation", lines.rpartition("(")[2].strip(") "))
    return book


def cited(entry: Entry) -> tuple[str, str]:
    """(authors, year) of a source."""
    persons = entry.persons.get("author", [])
    names = [" ".join(person.prelast_names + person.last_names).strip("{}") for person in persons]
    names = names or [entry.fields.get("organization", entry.fields.get("title", "")).strip("{}")]
    authors = names[0] if len(names) == 1 else " and ".join(names) if len(names) == 2 else f"{names[0]} et al."
    return authors, entry.fields["year"]


def page(document: str) -> str:
    """The address of a page, once that of the repository is real."""
    owner, name = URL.split("/")[-2:]
    return "" if URL == PLACEHOLDER else f"https://{owner.lower()}.github.io/{name}/book/{document}.html"


@dataclass
class Export:
    """One chapter, in one edition."""

    book: Book
    path: Path
    solved: bool
    cites: list[str] = field(default_factory=list)

    def link(self, text: str, document: str, label: str = "") -> str:
        """A link to a place in this notebook, or to another notebook and its page."""
        here = f"#{quote(self.book.labels[label].anchor)}" if label else ""
        if document == self.path.stem:
            return f"[{text}]({here})" if label else text
        if (BOOK / f"{document}.ipynb").exists():
            also = f" ([page]({page(document)}{f'#{label}' * bool(label)}))" if page(document) else ""
            return f"[{text}]({document}.ipynb{here}){also}"
        source = f"../{'../' * self.solved}book/{document}.md"
        return f"[{text}]({page(document) or source})"

    def anchor(self, label: str) -> str:
        return f'<a id="{escape(self.book.labels[label].anchor)}"></a>'

    def role(self, match: re.Match) -> str:
        """Plain Markdown for a role."""
        name, content = match.groups()
        said, target = re.fullmatch(r"(?:(.*?)\s*<([^<>]+)>)?(.*)", content, re.DOTALL).group(1, 2)
        target = target or content
        if name == "term":
            return said or content
        if name in ("cite", "cite:t"):
            parts = []
            for key in target.split(","):
                authors, year = cited(self.book.sources[key.strip()])
                text = f"{authors} ({year})" if name == "cite:t" else f"{authors}, {year}"
                parts.append(f"[{text}](#References)")
                self.cites.append(key.strip())
            return ", ".join(parts) if name == "cite:t" else f"({'; '.join(parts)})"
        if name == "doc":
            return self.link(said or self.book.titles[target], target)
        if name in ("py:func", "func"):
            return f"`{said or target}`"
        place = self.book.labels[target]
        number = f"({place.says.split()[-1]})" if name == "eq" else place.says
        return self.link(said or number, place.document, target)

    def inline(self, text: str) -> str:
        return ROLE.sub(self.role, text)

    def plain(self, text: str) -> str:
        """A cell's MyST as plain Markdown."""
        return "\n\n".join(part for block in blocks(text) if (part := self.block(block)))

    def block(self, block: Directive | tuple[str, str]) -> str:
        if isinstance(block, tuple):
            kind, lines = block
            if kind == "myst_target":
                return self.anchor(lines.strip("()="))
            if kind == "math_block_label":
                formula, _, rest = lines.rpartition("(")
                label = rest.strip(") ")
                number = self.book.labels[label].says.split()[-1]
                return f"{self.anchor(label)}\n\n{formula.rstrip().removesuffix('$$').rstrip()} \\tag{{{number}}}\n$$"
            return lines if kind in ("fence", "code_block", "math_block", "amsmath") else self.inline(lines)
        anchor = f"{self.anchor(block.label)}\n\n" if block.label else ""
        if block.name == "code-block":
            return f"{anchor}```{block.argument}\n{block.body}\n```"
        if block.name == "admonition":
            return anchor + quoted(f"**{block.argument}**\n\n{self.plain(block.body)}")
        if block.name == "exercise":
            title = self.book.labels[block.label].says.capitalize()
            return f"{anchor}### {title}\n\n{self.plain(block.body)}"
        raise ValueError(f"{self.path.name} has a directive that isn't known here: {block.name}")

    def cells(self) -> Iterator[NotebookNode]:
        """The cells of the edition, in order."""
        _, title, *cells = nbformat.read(self.path, 4).cells  # the first is the set-up
        heading, _, rest = title.source.partition("\n")
        yield from markdown([heading, self.header(), self.plain(rest)], title.id)
        yield code(SETUP.format(url=URL), "set-up", hidden=True)
        solution: list[str] | None = None  # that of an exercise whose solution is being read
        answer: NotebookNode | None = None  # the cell for the reader's own, after the hints
        helpers = ""  # what nobody sees on the page, and the next folded cell takes along
        for cell in cells:
            tags, text = set(cell.metadata.get("tags", ())), cell.source
            if cell.cell_type == "code":
                if "time.perf_counter() - began" in text:
                    continue
                if "remove-cell" in tags:
                    helpers += without_asserts(text)
                elif solution is not None and not self.solved:
                    solution += [] if "Markdown(" in text else [f"```python\n{text}\n```"]
                else:
                    yield from self.code_cell(cell, helpers)
                    helpers = ""
                continue
            waiting: list[str] = []
            for n, block in enumerate(blocks(text)):
                name = block.name if isinstance(block, Directive) else ""
                if name.startswith("solution") or name == "exercise":
                    yield from markdown(waiting, f"{cell.id}-{n}")
                    waiting = []
                if name.startswith("solution") and answer is not None:
                    yield answer
                    answer = None
                if name == "solution-start":
                    solution = []
                elif name == "solution-end":
                    helpers = helpers if self.solved else ""
                    yield from self.folded(solution, f"{cell.id}-solution-{n}")
                    solution = None
                elif name == "solution":
                    yield from self.folded([self.plain(block.body)], f"{cell.id}-solution-{n}")
                elif name == "exercise":
                    waiting.append(self.block(block))
                    answer = None if self.solved else code(stub(block.body), f"{cell.id}-answer-{n}")
                elif solution is not None:
                    solution.append(self.block(block))
                    if self.solved:
                        yield from markdown([solution.pop()], f"{cell.id}-{n}")
                else:
                    waiting.append(self.block(block))
            yield from markdown(waiting, cell.id)
        if self.cites:
            yield from markdown(['<a id="References"></a>', "## References", *self.references()], "references")

    def header(self) -> str:
        number = CHAPTERS.index(self.path) + 1
        about = f"*Learning to Learn*, chapter {number} of {len(CHAPTERS)}"
        about += f", {self.book.minutes[self.path.stem]} minutes" + ("; with solutions." if self.solved else ".")
        if not page(self.path.stem):
            return about
        here = f"notebooks/{'solved/' * self.solved}{self.path.name}"
        on_github = URL.removeprefix("https://")
        return (
            f"{about} [Page]({page(self.path.stem)}) · "
            f"[Open in Colab](https://colab.research.google.com/{on_github.replace('.com', '', 1)}/blob/main/{here}) · "
            f"[Open in Kaggle](https://kaggle.com/kernels/welcome?src={URL}/blob/main/{here})"
        )

    def references(self) -> Iterator[str]:
        style = find_plugin("pybtex.style.formatting", "unsrt")()
        keys = dict.fromkeys(self.cites)
        for entry in style.format_entries([self.book.sources[key] for key in keys]):
            yield entry.text.render(Backend())

    def folded(self, parts: list[str], identity: str) -> Iterator[NotebookNode]:
        body = "\n\n".join(parts)
        if body and self.solved:
            yield new_markdown_cell(body, id=identity[:64])
        elif body:
            fold = f"<details>\n<summary>Solution</summary>\n\n{body}\n\n</details>"
            yield new_markdown_cell(fold, id=identity[:64])

    def code_cell(self, cell: NotebookNode, helpers: str) -> Iterator[NotebookNode]:
        hidden = set(cell.metadata.get("tags", ())) & {"hide-input", "remove-input"}
        if helpers and not hidden:
            yield code(f"# @title For what follows\n{helpers}", f"{cell.id}-helpers", hidden=True)
        number = self.book.figures.get((self.path.stem, cell.id))
        what = number or ("The numbers of the text" if "Markdown(" in cell.source else "For what follows")
        source = f"# @title {what}\n{helpers}{without_asserts(cell.source)}" if hidden else cell.source
        if source.rstrip() != f"# @title {what}":
            yield code(source, cell.id, bool(hidden))
        if number:
            figure = cell.metadata["mystnb"]["figure"]
            anchor = self.anchor(figure["name"]) if "name" in figure else ""
            yield new_markdown_cell(
                f"{anchor}*{number}.* {self.inline(figure['caption'])}", id=f"{cell.id}-caption"[:64]
            )

    def notebook(self) -> NotebookNode:
        made = nbformat.v4.new_notebook(cells=list(self.cells()))
        given = nbformat.read(self.path, 4).metadata
        made.metadata = {key: given[key] for key in ("kernelspec", "language_info") if key in given}
        nbformat.validate(made)
        return made


def without_asserts(text: str) -> str:
    """Plumbing without the book's own checks of what its text says, which other settings may break."""
    lines = text.splitlines()
    for statement in reversed(ast.parse(text).body):
        if isinstance(statement, ast.Assert):
            del lines[statement.lineno - 1 : statement.end_lineno]
    return "\n".join(lines).strip("\n") + "\n\n\n" if any(line.strip() for line in lines) else ""


def headed(title: str) -> str:
    """The anchor that JupyterLab makes of a heading."""
    return re.sub(r"[*`]", "", title).replace(" ", "-")


def quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def code(text: str, identity: str, hidden: bool = False) -> NotebookNode:
    cell = new_code_cell(text.strip("\n"), id=identity[:64])
    if hidden:
        cell.metadata = {"cellView": "form", "jupyter": {"source_hidden": True}}
    return cell


def markdown(parts: list[str], identity: str) -> Iterator[NotebookNode]:
    if parts:
        yield new_markdown_cell("\n\n".join(parts), id=identity[:64])


def stub(exercise: str) -> str:
    """A cell for an answer: the signature of what is to be written, what it returns, and the line that checks it."""
    signature = re.search(r"Write `(my_\w+)(\([^`]*\))`", exercise)
    checked = re.search(r"`check\.(\w+)\(my_\w+\)`", exercise)
    if not (signature and checked):
        return "# Your answer, or your experiment"
    name, arguments = signature.groups()
    about, _, more = (EXERCISES[checked.group(1)].__doc__ or "").partition("→ ")[2].partition("\n\n")
    doc = "\n\n".join(part for part in (about, more) if part and not part.startswith("Source:"))
    doc = re.sub(r"\s*Source: .*", "", doc).replace("\n", "\n    ")
    end = "\n    " if "\n" in doc else ""
    return (
        f'from l2l import check\n\n\ndef {name}{arguments}:\n    """Return {doc}{end}"""\n'
        f"    raise NotImplementedError  # in place of this line, yours\n\n\ncheck.{checked.group(1)}({name})"
    )


def export(folder: Path) -> None:
    """Write both editions of every chapter."""
    book = survey()
    for path in CHAPTERS:
        for solved in (False, True):
            target = folder / "solved" / path.name if solved else folder / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(Export(book, path, solved).notebook(), target)


if __name__ == "__main__":
    export(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "notebooks")
