"""One setting holds the repository's public address, and every file that names it agrees."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml
from set_repository import PLACEHOLDER, set_repository

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = re.compile(r"https://github\.com/[\w.-]+/learning-to-learn")


def setting(root):
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]


def holders(root):
    return [root / "_config.yml", root / "README.md", root / "CITATION.cff", *sorted(root.glob("book/*.ipynb"))]


@pytest.fixture
def copy(tmp_path):
    for path in (ROOT / "pyproject.toml", *holders(ROOT), *sorted(ROOT.glob("book/*.md"))):
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    return tmp_path


def assert_consistent(root):
    url = setting(root)
    real = url != PLACEHOLDER
    for path in holders(root):
        text = path.read_text(encoding="utf-8")
        assert url in text, path
        if not real:
            assert set(ADDRESS.findall(text)) == {url}, path
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    assert config["repository"]["url"] == url
    assert bool(config["launch_buttons"]["colab_url"]) == real
    assert all(config["html"][f"use_{b}_button"] is real for b in ("repository", "issues", "edit_page"))


def test_all_files_agree():
    assert_consistent(ROOT)


def test_setting_it_changes_every_file_and_back_again(copy):
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    url = "https://github.com/some-group/a.book"
    changed = set_repository(url, copy)
    assert setting(copy) == url
    assert_consistent(copy)
    assert not any("YOUR_ORG" in path.read_text(encoding="utf-8") for path in holders(copy))
    assert len(changed) >= len(holders(copy)) + 1
    set_repository(PLACEHOLDER, copy)
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "url", ["", "github.com/a/b", "https://github.com/a", "https://github.com/a/b.git", "https://x/a b/c"]
)
def test_bad_addresses_are_refused(copy, url):
    with pytest.raises(ValueError, match="URL must look like"):
        set_repository(url, copy)
