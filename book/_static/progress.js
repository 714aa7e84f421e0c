// Each exercise can be ticked. The ticks stay in this browser's local storage; nothing is sent anywhere.

const KEY = "l2l-exercises-done";
const done = () => new Set(JSON.parse(localStorage.getItem(KEY) ?? "[]")); // read anew: another tab may have ticked

for (const exercise of document.querySelectorAll(".admonition.exercise[id]")) {
  const box = Object.assign(document.createElement("input"), {type: "checkbox", checked: done().has(exercise.id)});
  box.ariaLabel = `done: ${exercise.querySelector(".admonition-title").textContent.trim()}`;
  box.addEventListener("change", () => {
    const ticked = done();
    ticked[box.checked ? "add" : "delete"](exercise.id);
    localStorage.setItem(KEY, JSON.stringify([...ticked]));
  });
  const label = document.createElement("label");
  label.className = "l2l-done";
  label.append(box, " done");
  exercise.append(label);
}

// The course's page says how many.
for (const place of document.querySelectorAll(".l2l-progress"))
  place.textContent = `Ticked so far in this browser: ${done().size}.`;
