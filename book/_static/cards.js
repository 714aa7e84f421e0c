// Review of the cards that are due. What a reader knew stays in this browser's local storage; nothing is sent anywhere.

const reviewed = document.querySelector(".l2l-review");

if (reviewed) {
  const KEY = "l2l-cards", DAY = 86_400_000, AFTER = [1, 3, 7, 16, 35, 90];  // days
  const cards = [...document.querySelectorAll("details.l2l-card")];
  const today = () => Math.floor(Date.now() / DAY);
  const known = () => JSON.parse(localStorage.getItem(KEY) ?? "{}");  // {id: [times known in a row, day when due]}
  const button = text => Object.assign(document.createElement("button"), {type: "button", textContent: text});
  const start = button(""), knew = button("I knew it"), not = button("Not yet"), end = button("End");
  const count = document.createElement("span"), bar = document.createElement("div");
  bar.className = "l2l-review-bar";
  count.setAttribute("aria-live", "polite");
  bar.append(count, knew, not, end);
  let queue = [];

  const due = () => { const kept = known(); return cards.filter(card => (kept[card.id]?.[1] ?? 0) <= today()); };
  const invite = () => {
    const n = due().length;
    start.textContent = n ? `Review ${n} due today` : "Nothing is due today";
    start.disabled = !n;
  };
  const show = () => {
    const current = queue[0];
    if (!current) return leave();
    for (const card of cards) Object.assign(card, {hidden: card !== current, open: false});
    knew.disabled = not.disabled = true;  // until the answer has been opened
    count.textContent = `${queue.length} to go`;
    current.after(bar);
    current.querySelector("summary").focus();
    return undefined;
  };
  const leave = () => {
    queue = [];
    bar.remove();
    document.body.classList.remove("l2l-reviewing");
    for (const card of cards) Object.assign(card, {hidden: false, open: false});
    invite();
    start.focus();
  };
  const grade = good => {
    const card = queue.shift(), kept = known(), row = good ? kept[card.id]?.[0] ?? 0 : 0;
    kept[card.id] = good ? [row + 1, today() + AFTER[Math.min(row, AFTER.length - 1)]] : [0, today() + 1];
    localStorage.setItem(KEY, JSON.stringify(kept));
    if (!good) queue.push(card);
    show();
  };

  for (const card of cards)
    card.addEventListener("toggle", () => { if (card === queue[0]) knew.disabled = not.disabled = !card.open; });
  start.addEventListener("click", () => {
    queue = due();
    document.body.classList.add("l2l-reviewing");
    show();
  });
  knew.addEventListener("click", () => grade(true));
  not.addEventListener("click", () => grade(false));
  end.addEventListener("click", leave);
  invite();
  reviewed.append(start);
}
