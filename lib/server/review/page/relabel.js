// Which class a sound is: a field with type-ahead.
import { $, element } from "./elements.js";

let classes = [], matching = [], position = 0, answer = () => {};

export function startRelabel(names) {
  classes = names;
}

export function listenToRelabel() {
  const input = $("class-input"), dialog = $("relabel");
  input.addEventListener("input", () => show(0));
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) show(Math.max(0, Math.min(matching.length - 1, position + step)));
    else if (event.key === "Enter") pick(matching[position]);
    else return;
    event.preventDefault();
  });
  $("class-options").addEventListener("click", (event) => pick(event.target.closest("li")?.dataset.name));
  dialog.addEventListener("close", () => answer(dialog.returnValue || null));
}

/** The class that the user chooses; null: none. */
export function askClass() {
  $("class-input").value = "";
  $("relabel").returnValue = "";
  show(0);
  $("relabel").showModal();
  return new Promise((resolve) => { answer = resolve; });
}

function pick(name) {
  if (name !== undefined) $("relabel").close(name);
}

function rank(name, typed) {
  const text = name.toLowerCase();
  if (text.startsWith(typed)) return 0;
  if (text.split(/\s+/).some((word) => word.startsWith(typed))) return 1;
  return text.includes(typed) ? 2 : 3;
}

function show(at) {
  const typed = $("class-input").value.trim().toLowerCase();
  matching = classes.filter((name) => rank(name, typed) < 3).sort((a, b) => rank(a, typed) - rank(b, typed)).slice(0, 50);
  position = at;
  $("class-options").replaceChildren(...matching.map((name, k) =>
    element("li", { role: "option", id: `class-${k}`, "data-name": name, "aria-selected": k === at }, name)));
  $("class-input").setAttribute("aria-activedescendant", matching.length ? `class-${at}` : "");
  $(`class-${at}`)?.scrollIntoView({ block: "nearest" });
}
