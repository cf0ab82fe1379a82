// Elements are made of text, never of markup: names of classes and files may be anything.
const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function shape(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "style") Object.entries(value).forEach(([name, text]) => made.style.setProperty(name, text));
    else if (value !== undefined && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== undefined));
  return made;
}

export function say(text, isFault = false) {
  $("status").textContent = text;
  $("status").classList.toggle("fault", isFault);
}

export function clock(seconds) {
  const sign = seconds < 0 ? "-" : "";
  const tenths = Math.round(Math.abs(seconds) * 10);
  const minutes = Math.floor(tenths / 600);
  return `${sign}${minutes}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
}

/** What tells that only the first seconds of a sound are shown; empty: all of it is. */
export const shownPart = (seconds, most) => (seconds > most + 0.05 ? `, shown: first ${Math.floor(most)} s of ${clock(seconds)}` : "");

export const percent = (part, whole) => (whole ? `${Math.round((100 * part) / whole)} %` : "–");
