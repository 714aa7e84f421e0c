"""Where a browser keeps no storage for a page (private windows, blocked cookies, sandboxed frames), the page has some
of its own while it is open: first of all scripts, as the theme's need it at once, and would end without."""

from docutils import nodes
from sphinx.application import Sphinx

SCRIPT = """<script>
for (const name of ["localStorage", "sessionStorage"]) {
  try { window[name].length; } catch {
    const kept = new Map();
    Object.defineProperty(window, name, {value: {
      get length() { return kept.size; },
      key: i => [...kept.keys()][i] ?? null,
      getItem: key => kept.get(String(key)) ?? null,
      setItem: (key, value) => { kept.set(String(key), String(value)); },
      removeItem: key => { kept.delete(String(key)); },
      clear: () => kept.clear(),
    }});
  }
}
</script>
"""


def put_first(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """Put the script in front of everything else in a page's head."""
    context["metatags"] = SCRIPT + context.get("metatags", "")


def setup(app: Sphinx) -> dict:
    """Register what runs before a page is written."""
    app.connect("html-page-context", put_first, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
