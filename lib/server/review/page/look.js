// How spectrograms look: settings of this browser.
import { $, element } from "./elements.js";

let defaults = {};
export let look = {};
const listeners = [];
export const onLook = (listener) => listeners.push(listener);

export function startLook(overview) {
  defaults = {
    height: 260, min_freq: overview.min_freq, max_freq: overview.max_freq, range_db: overview.range_db, contrast: 1,
    colors: overview.colors[0], context: overview.context,
  };
  const form = $("look-form");
  form.colors.replaceChildren(...overview.colors.map((name) => element("option", {}, name)));
  try {
    look = { ...defaults, ...JSON.parse(localStorage.getItem("look") ?? "{}") };
  } catch {
    look = { ...defaults };
  }
  show();
  form.addEventListener("input", () => {
    for (const key of Object.keys(defaults)) {
      const text = form[key].value;
      if (text !== "") look[key] = key === "colors" ? text : Number(text);
    }
    changed();
  });
  $("look-reset").addEventListener("click", () => {
    look = { ...defaults };
    show();
    changed();
  });
}

function show() {
  for (const [key, value] of Object.entries(look)) if (key in defaults) $("look-form")[key].value = value;
}

function changed() {
  localStorage.setItem("look", JSON.stringify(look));
  listeners.forEach((listener) => listener());
}

/** What a picture of that size is asked for with. */
export function pictured(start, end, width, height) {
  const { min_freq, max_freq, range_db, contrast, colors } = look;
  return { start: start.toFixed(6), end: end.toFixed(6), width, height, min_freq, max_freq, range_db, contrast, colors };
}
