"""Write the notebooks that people open, plain Markdown without outputs: `python .ci/export.py [FOLDER]`.

The chapters in `book/` are authored in MyST, which Colab, Kaggle, JupyterLab and GitHub show raw. Each becomes a
notebook in `notebooks/`, with every exercise as an empty cell and its solution folded beneath, and one in
`notebooks/solved/`, with the solutions in place.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from pybtex.database import Entry, parse_file

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
# Installs the book's library if it is not there yet, and leaves the torch and the numpy that are there alone.
try:
    import l2l
except ModuleNotFoundError:
    %pip install --quiet git+{url}
"""


@dataclass
class Target:
    """Where a label stands, and what a reference to it says."""

    document: str
    says: str


@dataclass
class Book:
    """What references need to know of all chapters."""

    titles: dict[str, str] = field(default_factory=dict)
    labels: dict[str, Target] = field(default_factory=dict)
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
        book.titles[page.stem] = next(
            (line[2:] for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("# ")), page.stem
        )
    for chapter, path in enumerate(CHAPTERS, start=1):
        counts = dict.fromkeys(("Figure", "exercise", "equation"), 0)

        def number(kind: str, label: str, path: Path = path, counts: dict = counts, chapter: int = chapter) -> None:
            counts[kind] += 1
            if label:
                book.labels[label] = Target(path.stem, f"{kind} {chapter}.{counts[kind]}")

        waiting: list[str] = []
        for cell in nbformat.read(path, 4).cells:
            if figure := cell.metadata.get("mystnb", {}).get("figure"):
                number("Figure", figure.get("name", ""))
            for block in blocks(cell.source) if cell.cell_type == "markdown" else ():
                if isinstance(block, Directive):
                    if block.name == "exercise":
                        number("exercise", block.label)
                    elif block.label:
                        book.labels[block.label] = Target(path.stem, block.argument)
                    continue
                kind, lines = block
                if kind == "myst_target":
                    waiting.append(lines.strip("()="))
                elif kind == "heading_open":
                    title = lines.lstrip("# ")
                    book.titles.setdefault(path.stem, title)
                    book.labels |= {label: Target(path.stem, title) for label in waiting}
                    waiting = []
                elif kind == "math_block_label":
                    number("equation", lines.rpartition("(")[2].strip(") "))
    return book


def cited(entry: Entry) -> tuple[str, str, str]:
    """(authors, year, address) of a source."""
    persons = entry.persons.get("author", [])
    names = [" ".join(person.prelast_names + person.last_names).strip("{}") for person in persons]
    names = names or [entry.fields.get("organization", entry.fields.get("title", "")).strip("{}")]
    authors = names[0] if len(names) == 1 else " and ".join(names) if len(names) == 2 else f"{names[0]} et al."
    fields = entry.fields
    homes = {"url": "", "doi": "https://doi.org/", "eprint": "https://arxiv.org/abs/"}
    return authors, fields["year"], next((home + fields[name] for name, home in homes.items() if name in fields), "")


@dataclass
class Export:
    """One chapter, in one edition."""

    book: Book
    path: Path
    solved: bool

    def link(self, text: str, document: str, anchor: str = "") -> str:
        if document == self.path.stem:
            return f"[{text}](#{anchor})" if anchor else text
        up = "../" * (1 + self.solved)
        notebook = BOOK / f"{document}.ipynb"
        there = f"{document}.ipynb" if notebook.exists() else f"{up}book/{document}.md"
        return f"[{text}]({there}{'#' * bool(anchor)}{anchor})"

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
                authors, year, address = cited(self.book.sources[key.strip()])
                text = f"{authors} ({year})" if name == "cite:t" else f"{authors}, {year}"
                parts.append(f"[{text}]({address})" if address else text)
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
                return f'<a id="{lines.strip("()=")}"></a>'
            if kind == "math_block_label":
                formula, _, label = lines.rpartition("(")
                return formula.rstrip().removesuffix("$$").rstrip() + (
                    f" \\tag{{{self.book.labels[label.strip(') ')].says.split()[-1]}}}\n$$"
                )
            return lines if kind in ("fence", "code_block", "math_block", "amsmath") else self.inline(lines)
        if block.name == "code-block":
            return f"```{block.argument}\n{block.body}\n```"
        if block.name == "admonition":
            anchor = f'<a id="{block.label}"></a>\n\n' * bool(block.label)
            return anchor + quoted(f"**{block.argument}**\n\n{self.plain(block.body)}")
        if block.name == "exercise":
            title = self.book.labels[block.label].says.capitalize()
            return f'<a id="{block.label}"></a>\n\n### {title}\n\n{self.plain(block.body)}'
        raise ValueError(f"{self.path.name} has a directive that isn't known here: {block.name}")

    def cells(self) -> Iterator[NotebookNode]:
        """The cells of the edition, in order."""
        notebook, solution = nbformat.read(self.path, 4), None
        yield code(SETUP.format(url=URL), "set-up", hidden=True)
        for cell in notebook.cells[1:]:  # the first is the set-up
            text = cell.source
            if cell.cell_type == "code":
                if "time.perf_counter() - began" in text or checks_only(text):
                    continue
                if solution is not None and not self.solved:
                    solution.append(f"```python\n{text}\n```")
                else:
                    yield from self.code_cell(cell)
                continue
            waiting: list[str] = []
            for n, block in enumerate(blocks(text)):
                name = block.name if isinstance(block, Directive) else ""
                if name.startswith("solution") or name == "exercise":
                    yield from markdown(waiting, f"{cell.id}-{n}")
                    waiting = []
                if name == "solution-start":
                    solution = []
                elif name == "solution-end":
                    yield from self.folded(solution, f"{cell.id}-solution-{n}")
                    solution = None
                elif name == "solution":
                    yield from self.folded([self.plain(block.body)], f"{cell.id}-solution-{n}")
                elif name == "exercise":
                    yield from markdown([self.block(block)], f"{cell.id}-exercise-{n}")
                    yield code(stub(block.body), f"{cell.id}-answer-{n}")
                elif solution is not None:
                    solution.append(self.block(block))
                    if self.solved:
                        yield from markdown([solution.pop()], f"{cell.id}-{n}")
                else:
                    waiting.append(self.block(block))
            yield from markdown(waiting, cell.id)

    def folded(self, parts: list[str], identity: str) -> Iterator[NotebookNode]:
        body = "\n\n".join(parts)
        if body and self.solved:
            yield new_markdown_cell(body, id=identity[:64])
        elif body:
            fold = f"<details>\n<summary>Solution</summary>\n\n{body}\n\n</details>"
            yield new_markdown_cell(fold, id=identity[:64])

    def code_cell(self, cell: NotebookNode) -> Iterator[NotebookNode]:
        tags, text = set(cell.metadata.get("tags", ())), cell.source
        figure = cell.metadata.get("mystnb", {}).get("figure")
        hidden = bool(tags & {"hide-input", "remove-input", "remove-cell"})
        what = "Draws the figure" if figure else "Computes what the text says" if "Markdown(" in text else "Plumbing"
        yield code(f"# @title {what}\n{text}" if hidden else text, cell.id, hidden)
        if figure:
            label = self.book.labels.get(figure.get("name", ""))
            number = f"*{label.says}.* " if label else ""
            anchor = f'<a id="{figure["name"]}"></a>' if label else ""
            yield new_markdown_cell(f"{anchor}{number}{self.inline(figure['caption'])}", id=f"{cell.id}-caption"[:64])

    def notebook(self) -> NotebookNode:
        made = nbformat.v4.new_notebook(cells=list(self.cells()))
        given = nbformat.read(self.path, 4).metadata
        made.metadata = {key: given[key] for key in ("kernelspec", "language_info") if key in given}
        nbformat.validate(made)
        return made


def checks_only(text: str) -> bool:
    try:
        return all(isinstance(statement, ast.Assert) for statement in ast.parse(text).body)
    except SyntaxError:  # a magic
        return False


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
    """An empty cell for an answer: the signature and the line that checks it, where there is one to be written."""
    signature = re.search(r"Write `(my_\w+\([^`]*\))`", exercise)
    checked = re.search(r"`(check\.\w+\(my_\w+\))`", exercise)
    if not (signature and checked):
        return "# Your answer, or your experiment"
    return (
        f"from l2l import check\n\n\ndef {signature.group(1)}:\n    ...  # your lines\n\n\n"
        f"# {checked.group(1)}  # take the first # away when it is written"
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
