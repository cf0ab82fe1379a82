// Clips as a grid of spectrograms; only those in view exist.
import { $, clock, element, shownPart } from "./elements.js";
import { load } from "./server.js";
import { look, pictured } from "./look.js";

const WIDTH = 216, HEIGHT = 164, MOST_SECONDS = 12;
let list = null, current = 0, columns = 1, anchor = 0, open = () => {};
const cells = new Map();

export const gridList = () => list;
export const gridIndex = () => current;

export function startGrid(opened) {
  open = opened;
  const grid = $("grid");
  grid.addEventListener("scroll", draw);
  new ResizeObserver(draw).observe(grid);
  $("cells").addEventListener("click", (event) => {
    const cell = event.target.closest(".cell");
    if (!cell) return;
    const index = Number(cell.dataset.index);
    if (event.shiftKey) extend(index);
    else if (event.ctrlKey || event.metaKey) toggle(index);
    move(index, event.shiftKey);
  });
  $("cells").addEventListener("dblclick", () => open(current));
  $("cells").addEventListener("mousedown", (event) => event.shiftKey && event.preventDefault());
}

export async function showGrid(newList, index = 0) {
  list = newList;
  $("total").textContent = "…";
  await list.ready;
  if (list !== newList) return;
  clear();
  current = Math.min(index, Math.max(0, list.total - 1));
  anchor = current;
  draw();
  move(current);
}

export function redrawGrid() {
  clear();
  if (list && !$("clips").hidden) draw();
}

function clear() {
  cells.forEach((cell) => cell.remove());
  cells.clear();
}

function draw() {
  const grid = $("grid");
  if (!list || !grid.clientWidth) return;
  columns = Math.max(1, Math.floor((grid.clientWidth - 4) / WIDTH));
  const width = Math.floor((grid.clientWidth - 4) / columns);
  $("cells").style.height = `${Math.ceil(list.total / columns) * HEIGHT}px`;
  const first = Math.max(0, Math.floor(grid.scrollTop / HEIGHT) - 1) * columns;
  const last = Math.min(list.total, Math.ceil((grid.scrollTop + grid.clientHeight) / HEIGHT + 1) * columns);
  for (const [index, cell] of cells) {
    if (index >= first && index < last) continue;
    cell.remove();
    cells.delete(index);
  }
  for (let index = first; index < last; index++) {
    const cell = cells.get(index) ?? newCell(index);
    Object.assign(cell.style, {
      left: `${(index % columns) * width}px`, top: `${Math.floor(index / columns) * HEIGHT}px`,
      width: `${width - 6}px`, height: `${HEIGHT - 6}px`,
    });
    cell.classList.toggle("current", index === current);
    fill(cell, index);
  }
  grid.setAttribute("aria-activedescendant", `cell-${current}`);
  $("total").textContent = `${list.total.toLocaleString("en")} clip${list.total === 1 ? "" : "s"}`;
  $("chosen").textContent = list.selected.size ? `${list.selected.size} selected` : list.total ? `at ${(current + 1).toLocaleString("en")}` : "";
}

function newCell(index) {
  const cell = element("div", { class: "cell", role: "option", id: `cell-${index}`, "data-index": index });
  cells.set(index, cell);
  $("cells").append(cell);
  return cell;
}

function fill(cell, index) {
  const clip = list.known(index);
  if (!clip) {
    const shown = list;
    list.at(index).then(() => shown === list && cells.get(index) === cell && fill(cell, index), () => {});
    return;
  }
  cell.setAttribute("aria-selected", list.selected.has(clip.id));
  cell.setAttribute("aria-setsize", list.total);
  cell.setAttribute("aria-posinset", index + 1);
  const state = `${clip.id} ${clip.decision} ${clip.new_class}`;
  if (cell.dataset.state === state) return;
  const image = cell.querySelector("img") ?? element("img", { alt: "" });
  const score = clip.score === null ? clip.outcome || "annotated" : clip.score.toFixed(3);
  cell.replaceChildren(image,
    element("div", { class: "name" }, element("span", {}, clip.class_name), element("span", {}, score)),
    element("small", {}, `${clip.recording} ${clock(clip.start)}${shownPart(clip.end - clip.start, MOST_SECONDS)}`));
  if (clip.decision) cell.append(element("span", { class: `badge ${clip.decision}` }, clip.new_class || clip.decision));
  if (!cell.dataset.state) setTimeout(() => cell.isConnected && picture(image, clip), 60); // not of those scrolled past
  cell.dataset.state = state;
}

function picture(image, clip) {
  const values = pictured(clip.start, Math.min(clip.end, clip.start + MOST_SECONDS), 200, 104);
  load(`/media/tile/${clip.id}`, values).then((tile) => { image.src = tile.url; }, () => { image.alt = "cannot be read"; });
}

function move(index, keeps = false) {
  current = Math.max(0, Math.min(list.total - 1, index));
  if (!keeps) anchor = current;
  const grid = $("grid"), top = Math.floor(current / columns) * HEIGHT;
  if (top < grid.scrollTop) grid.scrollTop = top;
  else if (top + HEIGHT > grid.scrollTop + grid.clientHeight) grid.scrollTop = top + HEIGHT - grid.clientHeight;
  draw();
}

async function toggle(index) {
  const clip = await list.at(index);
  if (!list.selected.delete(clip.id)) list.selected.add(clip.id);
  draw();
}

async function extend(index) {
  const [from, to] = [Math.min(anchor, index), Math.max(anchor, index)];
  for (let k = from; k <= to; k++) list.selected.add((await list.at(k)).id);
  draw();
}

/** The clips that a decision is about: those selected, else the current one. */
export async function chosenIds() {
  if (list.selected.size) return [...list.selected];
  const clip = await list.at(current);
  return clip ? [clip.id] : [];
}

/** Select none of these clips; without any: none at all. */
export function clearSelection(of = list, ids = [...(of?.selected ?? [])]) {
  ids.forEach((id) => of.selected.delete(id));
  draw();
}

export function gridKey(event) {
  const page = Math.max(1, Math.floor($("grid").clientHeight / HEIGHT)) * columns;
  const steps = {
    ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, PageDown: page, PageUp: -page,
    Home: -current, End: list.total - 1 - current, n: 1, p: -1,
  };
  if (event.key in steps && !event.ctrlKey) {
    const index = Math.max(0, Math.min(list.total - 1, current + steps[event.key]));
    if (event.shiftKey) extend(index);
    move(index, event.shiftKey);
  } else if (event.key === " ") toggle(current);
  else if (event.key === "Enter") open(current);
  else if (event.key === "Escape") clearSelection();
  else if (event.key === "A") extend(Math.min(list.total - 1, anchor + 4999));
  else return false;
  return true;
}
