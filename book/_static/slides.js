// Formulas first, since they decide what fits; then a slide that is too full is set smaller.
start();

async function start() {
  while (!window.MathJax?.typesetPromise) await new Promise(done => setTimeout(done, 20));
  await MathJax.typesetPromise();
  await Reveal.initialize({
    width: 1200, height: 720, margin: 0.06, center: false, hash: true, slideNumber: true, transition: "none",
    plugins: [RevealNotes],
  });
  const full = slide => slide.scrollHeight > 720 || slide.scrollWidth > 1200;
  const fit = slide => {
    for (let size = 1; full(slide) && size > 0.4; size -= 0.05) slide.style.fontSize = `${size}em`;
  };
  Reveal.on("slidechanged", ({currentSlide}) => fit(currentSlide));
  fit(Reveal.getCurrentSlide());
  document.documentElement.dataset.ready = "yes";
}
