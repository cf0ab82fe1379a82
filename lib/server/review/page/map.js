// The map of sounds: points near each other sound alike; they open their clips.
import { $, element, shape } from "./elements.js";
import { get } from "./server.js";

const WIDTH = 100, HEIGHT = 56, MOST_OPENED = 300;
const HUES = 12; // colours repeat after so many classes; the text below the map tells them apart
let points = [], current = 0, from = null, open = () => {};

const color = (k) => `hsl(${(k % HUES) * (360 / HUES)} 65% ${k % 2 ? 42 : 58}%)`;

export function startMap(opened) {
  open = opened;
  const svg = $("points");
  svg.addEventListener("pointerdown", (event) => { from = place(event); });
  svg.addEventListener("pointermove", (event) => from && frame(from, place(event)));
  svg.addEventListener("pointerup", (event) => {
    const to = place(event), size = Math.hypot(to.x - from.x, to.y - from.y);
    svg.querySelector("rect")?.remove();
    const within = points.filter((one) => between(one.cx, from.x, to.x) && between(one.cy, from.y, to.y));
    from = null;
    if (size > 1 && within.length) open(within.slice(0, MOST_OPENED).map((one) => one.id));
    else if (size <= 1 && event.target.dataset.k) { move(Number(event.target.dataset.k)); open([points[current].id]); }
  });
  svg.addEventListener("pointerover", (event) => event.target.dataset.k && move(Number(event.target.dataset.k)));
}

const between = (value, a, b) => value >= Math.min(a, b) && value <= Math.max(a, b);

function place(event) {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform($("points").getScreenCTM().inverse());
  return { x: at.x, y: at.y };
}

function frame(a, b) {
  const svg = $("points"), rect = svg.querySelector("rect") ?? svg.appendChild(shape("rect"));
  const box = { x: Math.min(a.x, b.x), y: Math.min(a.y, b.y), width: Math.abs(a.x - b.x), height: Math.abs(a.y - b.y) };
  Object.entries(box).forEach(([key, value]) => rect.setAttribute(key, value));
}

export async function showMap() {
  $("pointed").textContent = "Laying out the map …";
  points = (await get("/map")).map((one) => ({ ...one, cx: one.x * WIDTH, cy: (1 - one.y) * HEIGHT }));
  const names = [...new Set(points.map((one) => one.class_name))].sort();
  $("legend").replaceChildren(...names.slice(0, 40).map((name, k) =>
    element("span", {}, element("i", { style: { background: color(k) } }), name)));
  $("points").replaceChildren(...points.map((one, k) => shape("circle", {
    cx: one.cx, cy: one.cy, r: 0.6, fill: color(names.indexOf(one.class_name)), "fill-opacity": one.decision ? 1 : 0.75, "data-k": k })));
  $("pointed").textContent = points.length ? `${points.length} sounds` : "No sound has embeddings";
  if (points.length) move(0);
  $("points").focus({ preventScroll: true });
}

function move(k) {
  $("points").querySelector(".current")?.classList.remove("current");
  current = k;
  $("points").children[k]?.classList.add("current");
  const one = points[k];
  $("pointed").textContent = `${one.class_name}, ${one.origin}${one.decision && `, ${one.decision}`}`;
}

export function mapKey(event) {
  const ways = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
  if (event.key === "Enter" && points.length) open([points[current].id]);
  else if (event.key in ways && points.length) {
    const [dx, dy] = ways[event.key], here = points[current];
    let best = current, least = Infinity;
    points.forEach((one, k) => {
      const along = (one.cx - here.cx) * dx + (one.cy - here.cy) * dy;
      const across = Math.abs((one.cx - here.cx) * dy) + Math.abs((one.cy - here.cy) * dx);
      if (along > 0.05 && along + 2 * across < least) { best = k; least = along + 2 * across; }
    });
    move(best);
  } else return false;
  return true;
}
