// Compares a pasted gradient with a golden case, and names a known mistake, as `python -m l2l verify --answers` does.

(() => {
  const form = document.getElementById("verify-answer"), golden = window.l2lGolden;
  if (!form || !golden) return;
  const {problem, given, gradient} = form.elements, chosen = form.elements.case;
  const says = form.querySelector("[role=status]");
  const TOLERANCE = 1e-4;
  const dot = (v, w) => v.reduce((sum, value, j) => sum + value * w[j], 0);
  const apart = (v, w) => Math.sqrt(dot(v.map((x, j) => x - w[j]), v.map((x, j) => x - w[j])) / dot(w, w));
  const stored = () => golden.problems[problem.value].cases[chosen.value];

  const fill = (select, values) => select.replaceChildren(...values.map(([value, text]) => new Option(text, value)));
  function show() {
    const {theta, batch, alpha, steps} = stored();
    given.value = JSON.stringify({theta, batch, alpha, steps});
    says.textContent = "";
  }
  function showProblem() {
    const {cases} = golden.problems[problem.value];
    fill(chosen, cases.map(({steps}, i) => [i, `${i}: ${steps} inner step${steps > 1 ? "s" : ""}`]));
    show();
  }

  // All numbers in the order of θ; throws a sentence where they are not a gradient.
  function numbers(text, theta) {
    let answer;
    try { answer = JSON.parse(text); } catch { throw "This is not JSON: an object like theta, or one list of numbers."; }
    if (answer && !Array.isArray(answer) && typeof answer === "object") {
      const missing = Object.keys(theta).filter(name => !(name in answer));
      if (missing.length) throw `The gradient lacks ${missing.join(", ")}.`;
      answer = Object.keys(theta).map(name => answer[name]);
    }
    const flat = [answer].flat(Infinity), size = Object.values(theta).flat(Infinity).length;
    if (!flat.every(Number.isFinite)) throw "The gradient must hold finite numbers, and nothing else.";
    if (flat.length !== size) throw `The gradient must hold ${size} numbers, got ${flat.length}.`;
    return flat;
  }

  function verdict(answer, {gradient, mistakes}) {
    const right = Object.values(gradient).flat(Infinity), off = apart(answer, right);
    if (off <= TOLERANCE) return `Right: relative deviation ${off.toExponential(0)}.`;
    const wrong = `Not right: relative deviation ${off.toPrecision(2)}. `;
    if (!answer.some(Boolean)) return `${wrong}It is zero.`;
    const named = Object.entries(mistakes).find(([, other]) => apart(answer, other) <= TOLERANCE);
    if (named) return wrong + named[0];
    const times = (other, about) => {
      const c = dot(answer, other) / dot(other, other);
      return apart(answer, other.map(x => c * x)) <= TOLERANCE && `${about}times ${c.toPrecision(4)}.`;
    };
    const multiple = times(right, "It is the right gradient ")
      || Object.entries(mistakes).map(([sentence, other]) => times(other, `${sentence} And all of it `)).find(Boolean);
    return wrong + (multiple || "It is none of the mistakes that this file knows.");
  }

  fill(problem, Object.keys(golden.problems).map(name => [name, name]));
  showProblem();
  problem.addEventListener("change", showProblem);
  chosen.addEventListener("change", show);
  form.addEventListener("submit", event => {
    event.preventDefault();
    try { says.textContent = verdict(numbers(gradient.value, stored().theta), stored()); } catch (sentence) {
      if (typeof sentence !== "string") throw sentence;
      says.textContent = sentence;
    }
  });
  form.hidden = false;
})();
