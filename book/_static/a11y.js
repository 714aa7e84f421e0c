// Corrections to markup that the theme and Sphinx write themselves.

// Names that differ from what is seen: the text itself (“Show code cell source”, “Search Ctrl+K”) is the name.
for (const part of document.querySelectorAll("summary[aria-label], .search-button-field"))
  part.removeAttribute("aria-label");
// doc-biblioentry is deprecated, and was never allowed within a list.
for (const entry of document.querySelectorAll("[role=doc-biblioentry]")) entry.setAttribute("role", "listitem");
// The indexes are lists laid out as tables, without a header.
for (const table of document.querySelectorAll(".indextable")) table.setAttribute("role", "presentation");
// A wide table's frame takes the focus, to be scrolled: so it needs a role and a name.
document.querySelectorAll(".pst-scrollable-table-container").forEach((frame, i) => {
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", `Table ${i + 1}`);
});
// The theme makes what scrolls sideways reachable by keyboard, but measures only at a resize: tell it when a part unfolds.
document.addEventListener("click", (event) => {
  if (event.target.closest("summary, .toggle")) window.dispatchEvent(new Event("resize"));
});
