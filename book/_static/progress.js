// Each exercise can be ticked. The ticks stay in this browser's local storage; nothing is sent anywhere.

const KEY = "l2l-exercises-done";
const done = new Set(JSON.parse(localStorage.getItem(KEY) ?? "[]"));

for (const exercise of document.querySelectorAll(".admonition.exercise[id]")) {
  const box = Object.assign(document.createElement("input"), {type: "checkbox", checked: done.has(exercise.id)});
  box.addEventListener("change", () => {
    done[box.checked ? "add" : "delete"](exercise.id);
    localStorage.setItem(KEY, JSON.stringify([...done]));
  });
  const label = document.createElement("label");
  label.className = "l2l-done";
  label.append(box, " done");
  exercise.append(label);
}

// The course's page says how many.
for (const place of document.querySelectorAll(".l2l-progress"))
  place.textContent = `Ticked so far in this browser: ${done.size}.`;
