// Previews: what a link within the book points to is shown beside it, while the pointer or the keyboard's focus is on the link.
// They come from previews-data.js, which _ext/previews.py writes: nothing is requested, and they work from disk as well.
// A preview stays while the pointer is on it, and Escape closes it.

(() => {
  const root = new URL(document.documentElement.dataset.content_root ?? "./", location.href).href;
  const article = document.querySelector("article.bd-article");
  let shown, under; // the link whose preview is shown, and the link under the pointer

  // The HTML to show for a link, or nothing.
  function previewOf(link) {
    return link.href.startsWith(root) ? window.l2lPreviews?.[decodeURI(link.href.slice(root.length))] : undefined;
  }

  // Below the link, or above it where there is room only there; never beyond the sides of the window.
  function place(box) {
    const origin = article.getBoundingClientRect(), line = [...shown.getClientRects()].at(-1);
    const above = line.bottom + box.offsetHeight > innerHeight && line.top >= box.offsetHeight;
    const left = Math.max(8, Math.min(line.left, document.documentElement.clientWidth - box.offsetWidth - 8));
    box.style.left = `${left - origin.left}px`;
    box.style.top = `${(above ? line.top - box.offsetHeight : line.bottom) - origin.top}px`;
  }

  function close() {
    document.getElementById("l2l-preview")?.remove();
    shown?.removeAttribute("aria-describedby");
    shown = undefined;
  }

  async function show(link) {
    close();
    shown = link;
    const template = document.createElement("template"); // in which no image is loaded before its address is right
    template.innerHTML = previewOf(link);
    for (const image of template.content.querySelectorAll("img"))
      image.src = new URL(image.getAttribute("src"), link.href).href;
    const box = Object.assign(document.createElement("div"), {id: "l2l-preview", role: "tooltip"});
    box.append(template.content);
    article.append(box);
    link.setAttribute("aria-describedby", box.id);
    place(box);
    await window.MathJax?.startup?.promise;
    if (box.isConnected) await window.MathJax?.typesetPromise?.([box]);
    if (box.isConnected) place(box);
  }

  const links = new Set([...(article?.querySelectorAll("a.internal") ?? [])].filter(previewOf));
  for (const link of links) {
    link.removeAttribute("title"); // the browser would show it over the preview
    link.addEventListener("focus", () => link.matches(":focus-visible") && link !== shown && show(link));
    link.addEventListener("blur", () => link === shown && link !== under && close());
  }
  document.addEventListener("pointerover", ({target, pointerType}) => {
    if (pointerType === "touch" || target.closest("#l2l-preview")) return; // a tap follows the link
    const link = target.closest("a");
    if (links.has(link) && link !== under && link !== shown) show(link);
    else if (!links.has(link) && shown !== document.activeElement) close();
    under = link;
  });
  document.addEventListener("keydown", ({key}) => key === "Escape" && close());
})();
