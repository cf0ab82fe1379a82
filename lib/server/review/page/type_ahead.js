// A field in which what is typed chooses from a list (a combobox).
import { $, element } from "./elements.js";

function rank(name, typed) {
  const text = name.toLowerCase();
  if (text.startsWith(typed)) return 0;
  if (text.split(/\s+/).some((word) => word.startsWith(typed))) return 1;
  return text.includes(typed) ? 2 : 3;
}

/** Those whose name fits what is typed, the best first. */
export function matching(all, typed, nameOf = (one) => one) {
  const fits = all.map((one) => [one, rank(nameOf(one), typed.toLowerCase())]).filter(([, rank]) => rank < 3);
  return fits.sort((a, b) => a[1] - b[1]).slice(0, 50).map(([one]) => one);
}

export class TypeAhead {
  /** options: of what is typed, the choices, each with a text and perhaps a note; null: they are not known yet, so that
      Enter counts once they are. picked: what to do with one. */
  constructor(inputId, listId, options, picked) {
    [this.input, this.list, this.options, this.picked, this.position] = [$(inputId), $(listId), options, picked, 0];
    this.choices = [];
    this.input.addEventListener("input", () => this.show(0));
    this.input.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step) this.show(Math.max(0, Math.min(this.choices.length - 1, this.position + step)));
      else if (event.key === "Enter") this.pick();
      else return;
      event.preventDefault();
    });
    this.list.addEventListener("click", (event) => {
      const item = event.target.closest("li");
      if (!item) return;
      this.position = Number(item.dataset.k);
      this.pick();
    });
  }

  start() {
    this.input.value = "";
    this.isAwaited = false;
    this.show(0);
  }

  pick() {
    this.isAwaited = !this.isKnown;
    if (this.choices[this.position]) this.picked(this.choices[this.position]);
  }

  show(position) {
    const options = this.options(this.input.value.trim());
    [this.choices, this.isKnown, this.position] = [options ?? [], options !== null, position];
    const id = (k) => `${this.list.id}-${k}`;
    this.list.replaceChildren(...this.choices.map((choice, k) => element("li",
      { role: "option", id: id(k), "data-k": k, "aria-selected": k === position }, choice.text,
      choice.note && element("small", {}, choice.note))));
    this.input.setAttribute("aria-activedescendant", this.choices.length ? id(position) : "");
    $(id(position))?.scrollIntoView({ block: "nearest" });
    if (this.isAwaited && this.isKnown) this.pick();
  }
}
