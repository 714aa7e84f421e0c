"""Put the built pages under their version, beside those of other versions: `python .ci/release.py [FOLDER]`.

FOLDER (_build/site unless given) is what a server shows: a folder for each version, `versions.js` with the switch that
each page loads, and a front page that leads to the newest. A version is written once, and whole or not at all.
"""

import argparse
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

from archive import VERSION
from pdf import HTML

ROOT = Path(__file__).resolve().parent.parent
SWITCH = """// A list of the versions in every page; the chosen one opens at the same page, where it has it.
(() => {
  const versions = VERSIONS, script = document.currentScript, root = new URL(".", script.src);
  const {here, page} = script.dataset, choice = document.createElement("select");
  Object.assign(choice, {className: "form-select", ariaLabel: "version", style: "width: auto; margin: 0.5rem 1rem"});
  for (const {version, pages} of versions) {
    const there = new URL(`${version}/${pages.includes(page) ? page : "index.html"}`, root);
    choice.append(new Option(`version ${version}`, there, false, version === here));
  }
  choice.addEventListener("change", () => { location.href = choice.value; });
  (document.querySelector(".bd-sidebar-primary") ?? document.body).prepend(choice);
})();
"""


def newest_first(versions: list[str]) -> list[str]:
    return sorted(versions, key=lambda version: [int(part) for part in re.findall(r"\d+", version)], reverse=True)


def release(html: Path, site: Path, version: str) -> None:
    """Copy built pages into a site under their version, and name it in the switch.

    Raises:
        FileExistsError: the site has this version already.
        FileNotFoundError: the pages are not built.
    """
    if not (html / "index.html").is_file():
        raise FileNotFoundError(f"{html} holds no pages; make book builds them")
    if (site / version).exists():
        raise FileExistsError(f"{site} has version {version}; give pyproject.toml and CITATION.cff another")
    site.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=site) as folder:
        copy = Path(folder) / version
        shutil.copytree(html, copy, ignore=shutil.ignore_patterns("*.part", ".buildinfo"))
        for path in copy.rglob("*.html"):
            page = path.relative_to(copy).as_posix()
            up = "../" * (page.count("/") + 1)
            tag = f'<script defer src="{up}versions.js" data-here="{version}" data-page="{page}"></script></body>'
            path.write_text(path.read_text(encoding="utf-8").replace("</body>", tag), encoding="utf-8")
        os.replace(copy, site / version)
    write_switch(site)


def write_switch(site: Path) -> None:
    known = newest_first([path.name for path in site.iterdir() if (path / "index.html").is_file()])
    pages = {v: sorted(path.relative_to(site / v).as_posix() for path in (site / v).rglob("*.html")) for v in known}
    listed = [{"version": version, "pages": found} for version, found in pages.items()]
    front = f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={known[0]}/index.html">'
    for name, text in (("versions.js", SWITCH.replace("VERSIONS", json.dumps(listed))), ("index.html", front)):
        part = site / f"{name}.part"
        part.write_text(text, encoding="utf-8")
        os.replace(part, site / name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", nargs="?", type=Path, default=ROOT / "_build" / "site")
    site = parser.parse_args().site
    try:
        release(HTML, site, VERSION)
    except (FileExistsError, FileNotFoundError) as error:
        parser.error(str(error))
    print(f"Version {VERSION} is in {site}")
