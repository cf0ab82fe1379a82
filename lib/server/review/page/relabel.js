// Which class a sound is: a field with type-ahead.
import { $ } from "./elements.js";
import { TypeAhead, matching } from "./type_ahead.js";

let classes = [], field = null, answer = () => {};

export function startRelabel(names) {
  classes = names;
}

export function listenToRelabel() {
  field = new TypeAhead("class-input", "class-options",
    (typed) => matching(classes, typed).map((name) => ({ text: name })), (choice) => $("relabel").close(choice.text));
  $("relabel").addEventListener("close", () => answer($("relabel").returnValue || null));
}

/** The class that the user chooses; null: none. */
export function askClass() {
  $("relabel").returnValue = "";
  field.start();
  $("relabel").showModal();
  return new Promise((resolve) => { answer = resolve; });
}
