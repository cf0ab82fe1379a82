// Counts, figures and the confusion matrix, whose parts open their clips.
import { $, element, percent } from "./elements.js";

const NONE = "nothing";

export const clipsAt = (filter) => `#clips?${new URLSearchParams(filter)}`;

export function showOverview(overview) {
  const tiles = [
    [overview.n_found, "sounds found"], [overview.n_annotated, "annotations"], [overview.n_decided, "decided"],
    ...overview.figures.slice(0, 7).map((one) => [one.value.toFixed(3), one.title, one.interval && `95 %: ${one.interval}`]),
  ];
  $("tiles").replaceChildren(...tiles.map(([value, name, title]) =>
    element("div", { title }, element("b", {}, String(value)), element("span", {}, name))));
  $("classes").replaceChildren(classHead(), element("tbody", {}, ...overview.classes
    .filter((one) => one.found || one.annotated).map((one) => classRow(one, overview.bands))));
  $("confusion").replaceChildren(...matrix(overview.confusion));
  $("problems").replaceChildren(...overview.problems.slice(0, 20).map((line) => element("li", {}, line)));
}

function classHead() {
  const names = ["Class", "found", "annotated", "precision", "recall", "decided", "by score 0 … 1", ""];
  return element("thead", {}, element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name))));
}

function classRow(one, bands) {
  const link = (filter, text) => element("a", { href: clipsAt({ class_name: one.name, ...filter }) }, String(text));
  return element("tr", {},
    element("th", { scope: "row", title: one.name }, link({ origin: "found" }, one.name)),
    element("td", {}, link({ origin: "found" }, one.found)),
    element("td", {}, link({ origin: "annotated" }, one.annotated)),
    element("td", { title: `${one.right} of ${one.judged}` }, percent(one.right, one.judged)),
    element("td", { title: `${one.heard} of ${one.tested}` }, percent(one.heard, one.tested)),
    element("td", {}, String(one.decided)),
    element("td", {}, bandBoxes(one.name, bands.filter((band) => band.class_name === one.name))),
    element("td", {}, one.found ? element("a", { href: `#verify?${new URLSearchParams({ class_name: one.name })}`, "aria-label": `Verify ${one.name}` }, "verify") : undefined));
}

function bandBoxes(name, bands) {
  const boxes = Array.from({ length: 10 }, (_, k) => {
    const band = bands.find((each) => each.band === k);
    if (!band) return element("i");
    const low = k / 10, high = Math.min(1, low + 0.1);
    const title = `${low.toFixed(1)} to ${high.toFixed(1)}: ${band.n} found; ${band.right} of ${band.judged} judged are right`;
    const href = clipsAt({ origin: "found", class_name: name, min_score: low, max_score: high });
    const fill = element("b", { style: { height: `${band.judged ? (100 * band.right) / band.judged : 0}%` } });
    return element("a", { href, title, "aria-label": title, class: band.judged ? "" : "unknown" }, fill);
  });
  return element("span", { class: "bands" }, ...boxes);
}

function matrix(cells) {
  const names = [...new Set(cells.flatMap((cell) => [cell.annotated, cell.found]))].filter(Boolean).sort();
  const all = [...names, ""];
  const largest = Math.max(1, ...cells.map((cell) => cell.n));
  const head = element("tr", {}, element("th"),
    ...all.map((name) => element("th", { scope: "col", title: name || NONE }, element("span", {}, name || NONE))));
  const rows = all.map((annotated) => element("tr", {},
    element("th", { scope: "row", title: annotated || NONE }, annotated || NONE),
    ...all.map((found) => {
      const cell = cells.find((each) => each.annotated === annotated && each.found === found);
      return cell ? filledCell(cell, largest) : element("td");
    })));
  return [element("thead", {}, head), element("tbody", {}, ...rows)];
}

function filledCell({ annotated, found, n }, largest) {
  const filter = found === "" ? { origin: "annotated", class_name: annotated, outcome: "missed" }
    : annotated === "" ? { origin: "found", class_name: found, outcome: "false positive" }
    : annotated === found ? { origin: "found", class_name: found, outcome: "correct" }
    : { origin: "found", class_name: found, outcome: "confused", other: annotated };
  const title = `${n} × ${annotated || NONE} found as ${found || NONE}`;
  const kind = annotated === found ? "right" : "wrong";
  return element("td", { class: kind, style: { "--share": n / largest } },
    element("a", { href: clipsAt(filter), title, "aria-label": title }, String(n)));
}
