// Verification of a class: its sample, how far it is decided, and precision by score.
import { $, element, percent, say, shape } from "./elements.js";
import { get } from "./server.js";
import { clipsAt } from "./overview.js";

const WIDTH = 640, HEIGHT = 270, LEFT = 46, RIGHT = 12, TOP = 26, BOTTOM = 40;
const MORE = 96;
let shown = { sample: MORE, wanted: 0.9 };

export const verificationAt = (values) => `#verify?${new URLSearchParams(values)}`;
const x = (score) => LEFT + score * (WIDTH - LEFT - RIGHT);
const y = (precision) => TOP + (1 - precision) * (HEIGHT - TOP - BOTTOM);
const fixed = (score) => score.toFixed(3);

export function startVerification() {
  const form = $("verify-form");
  form.addEventListener("change", () => {
    if (!form.checkValidity()) return say("Give a number of clips, and a precision above 0 and below 1", true);
    location.hash = verificationAt({ class_name: shown.class_name, sample: form.sample.value, wanted: form.wanted.value });
  });
  form.addEventListener("submit", (event) => event.preventDefault());
}

export async function showVerification({ class_name = "", sample = shown.sample, wanted = shown.wanted }) {
  const values = { class_name, sample, wanted };
  shown = values;
  $("verify-title").textContent = `Verify ${class_name}`;
  Object.assign($("verify-form").sample, { value: sample });
  Object.assign($("verify-form").wanted, { value: wanted });
  $("verify-state").hidden = $("verify-body").hidden = true;
  say("Comparing decisions with scores …");
  const found = await get("/verification", { class_name, n: sample, wanted });
  if (shown !== values) return;
  say("");
  $("verify-state").hidden = $("verify-body").hidden = false;
  const list = { origin: "found", class_name: found.class_name, sample };
  const isDone = found.first_undecided === null, more = Math.min(MORE, found.n_found - found.n_sample);
  $("verify-progress").textContent = `${found.n_decided} of ${found.n_sample} clips decided`;
  Object.assign($("verify-bar"), { max: Math.max(1, found.n_sample), value: found.n_decided });
  $("verify-links").replaceChildren(...(isDone ? [] : [link(`#clip?${new URLSearchParams({ ...list, at: found.first_undecided })}`,
    found.n_decided ? `Continue at clip ${found.first_undecided + 1}` : "Start", "primary")]),
  ...(isDone && more > 0 ? [link(verificationAt({ ...values, sample: found.n_sample + more }), `${more} more clip${more === 1 ? "" : "s"}`)] : []),
  link(clipsAt(list), "Show as grid"));
  $("verify-result").replaceChildren(...resultLine(found, isDone));
  $("precision-chart").replaceChildren(...chart(found));
  $("precision-chart").setAttribute("aria-label", `Precision by score, as in the table. ${$("verify-result").textContent}`);
  $("precision-table").replaceChildren(...table(found));
  (isDone ? $("verify-result") : $("verify-links").firstChild).focus({ preventScroll: true });
}

const link = (href, text, kind = "") => element("a", { href, class: `button ${kind}` }, text);

function resultLine(found, isDone) {
  const known = found.n_checked ? `People accepted, rejected or relabelled ${found.n_checked} of ${found.n_found.toLocaleString("en")} sounds.` : "";
  if (found.threshold === null) {
    const remedy = isDone ? "Check more clips, or ask for a lower precision." : "";
    return [element("strong", {}, `No threshold${isDone ? "" : " yet"}: ${found.fault}.`), ` ${remedy} ${known}`];
  }
  const interval = found.low === null ? "interval unknown: all of one recording" : `95 %: ${fixed(found.low)} to ${fixed(found.high)}`;
  return [element("strong", {}, `${isDone ? "Precision" : "So far, precision"} ${Number((100 * found.wanted).toFixed(2))} % from a score of ${fixed(found.threshold)} on`),
    ` (${interval}); `, element("code", {}, "infer.min_score"), ` can be set to it. ${known}`];
}

function chart(found) {
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  const grid = ticks.flatMap((at) => [
    shape("line", { class: "grid", x1: x(0), x2: x(1), y1: y(at), y2: y(at) }),
    shape("text", { x: LEFT - 8, y: y(at) + 4, "text-anchor": "end" }, percent(at, 1)),
  ]);
  const axis = [0, 0.2, 0.4, 0.6, 0.8, 1].map((at) => shape("text", { x: x(at), y: HEIGHT - BOTTOM + 18, "text-anchor": "middle" }, String(at)));
  const bands = found.bands.filter((band) => band.checked).flatMap((band) => {
    const middle = (band.min_score + band.max_score) / 2, half = (x(0.1) - x(0)) * 0.32;
    return [
      shape("rect", { class: "range", x: x(middle) - half, width: 2 * half, y: y(band.high), height: Math.max(1, y(band.low) - y(band.high)), rx: 3 }),
      shape("line", { class: "mean", x1: x(middle) - half, x2: x(middle) + half, y1: y(band.precision), y2: y(band.precision) }),
    ];
  });
  return [...grid, ...axis, shape("text", { x: x(0.5), y: HEIGHT - 4, "text-anchor": "middle" }, "score"),
    ...bands, shape("line", { class: "wanted", x1: x(0), x2: x(1), y1: y(found.wanted), y2: y(found.wanted) }), ...threshold(found)];
}

function threshold({ threshold: at, low, high }) {
  if (at === null) return [];
  const anchor = at > 0.85 ? "end" : at < 0.15 ? "start" : "middle";
  return [
    ...(low === null ? [] : [shape("rect", { class: "interval", x: x(low), width: Math.max(1, x(high) - x(low)), y: TOP, height: y(0) - TOP })]),
    shape("line", { class: "threshold", x1: x(at), x2: x(at), y1: TOP - 6, y2: y(0) }),
    shape("text", { class: "threshold", x: x(at), y: TOP - 11, "text-anchor": anchor }, `threshold ${fixed(at)}`),
  ];
}

function table(found) {
  const names = ["Score", "found", "checked", "right", "precision", "95 % interval"];
  const rows = [...found.bands].reverse().map((band) => {
    const { min_score, max_score } = band, text = `${min_score.toFixed(1)} to ${max_score.toFixed(1)}`;
    const href = clipsAt({ origin: "found", class_name: found.class_name, min_score, max_score });
    const interval = band.checked ? `${percent(band.low, 1)} to ${percent(band.high, 1)}` : "–";
    const cells = [band.detections, band.checked, band.right, band.checked ? percent(band.precision, 1) : "–", interval];
    return element("tr", {}, element("th", { scope: "row" }, element("a", { href }, text)), ...cells.map((cell) => element("td", {}, String(cell))));
  });
  return [element("thead", {}, element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name)))), element("tbody", {}, ...rows)];
}
