"""Write the repository's public address wherever it is needed: `python .ci/set_repository.py URL`.

The setting is `Repository` in pyproject.toml. The page's launch and repository buttons appear with a real
address and disappear with the placeholder.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACEHOLDER = "https://github.com/YOUR_ORG/learning-to-learn"


def set_repository(url: str, root: Path = ROOT) -> list[Path]:
    """Replace the present address by `url` in every file that holds it; return the files that changed."""
    if not re.fullmatch(r"https://[\w.-]+/[\w.-]+/[\w.-]+", url) or url.endswith(".git"):
        raise ValueError(f"URL must look like {PLACEHOLDER}, got {url!r}")
    present = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
    real = url != PLACEHOLDER
    changed = []
    files = [root / "pyproject.toml", root / "_config.yml", root / "README.md", root / "CITATION.cff"]
    for path in [*files, *sorted(root.glob("book/*.md")), *sorted(root.glob("book/*.ipynb"))]:
        old = path.read_text(encoding="utf-8")
        new = re.sub(re.escape(present) + r"(?![\w-])", url, old)
        if path.name == "_config.yml":
            colab = "https://colab.research.google.com" if real else ""
            new = re.sub(r"^  colab_url: .*$", f'  colab_url: "{colab}"', new, flags=re.M)
            new = re.sub(r"^  use_(\w+)_button: .*$", rf"  use_\1_button: {str(real).lower()}", new, flags=re.M)
        if new != old:
            path.write_text(new, encoding="utf-8")
            changed.append(path)
    return changed


if __name__ == "__main__":
    try:
        changed_files = set_repository(sys.argv[1])
    except (IndexError, ValueError) as error:
        sys.exit(f"set-repository: {error}")
    print("\n".join(str(path.relative_to(ROOT)) for path in changed_files) or "nothing to change")
