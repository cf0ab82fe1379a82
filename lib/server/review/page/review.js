// The page: its views, its keys, and decisions.
import { $, element, say } from "./elements.js";
import { get, post, setToken } from "./server.js";
import { look, onLook, startLook } from "./look.js";
import { showOverview } from "./overview.js";
import { ClipList } from "./clip_list.js";
import * as grid from "./grid.js";
import * as view from "./clip_view.js";
import { mapKey, showMap, startMap } from "./map.js";
import { ISSUE_HELP, issuesKey, showIssues, startIssues } from "./issues.js";
import { addToIssue, startAddToIssue } from "./add_to_issue.js";
import { finishBatch, followBatch, giveBackBatch, showBatchBar, startBatchBar } from "./batch_bar.js";
import { showVerification, startVerification, verificationAt } from "./verification.js";
import { askClass, listenToRelabel, startRelabel } from "./relabel.js";

const DECISIONS = { a: "accept", r: "reject", l: "relabel", u: "unsure" };
const DONE = { accept: "Accepted", reject: "Rejected", relabel: "Relabelled", unsure: "Unsure" };
const VIEWS = ["overview", "clips", "clip", "map", "verify", "issues"];
const MOST_CHOSEN = 5000;
const lists = new Map();
let current = "", by = localStorage.getItem("by"), writing = Promise.resolve(), hasBegun = false;

function route() {
  const [name, query] = location.hash.slice(1).split("?");
  return { name: VIEWS.includes(name) ? name : "overview", values: Object.fromEntries(new URLSearchParams(query)) };
}

function listOf({ at, ...filter }) {
  const key = JSON.stringify(filter);
  if (!lists.has(key)) {
    const list = new ClipList(filter);
    list.ready.catch(() => lists.get(key) === list && lists.delete(key));
    lists.set(key, list);
  }
  return lists.get(key);
}

async function show(hasOverview = false) {
  const { name, values } = route();
  if (current === "clip" && name !== "clip") view.leaveClip();
  current = name;
  for (const one of VIEWS) $(one).hidden = one !== name;
  document.querySelectorAll("nav a").forEach((link) => {
    const isHere = link.dataset.view === ({ clip: "clips", verify: "overview" }[name] ?? name);
    isHere ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  });
  try {
    await showBatchBar(["clips", "clip"].includes(name) ? values : undefined);
    if (name === "overview") await (hasOverview || refresh());
    else if (name === "map") await showMap();
    else if (name === "issues") await showIssues(values);
    else if (name === "verify") await showVerification(values);
    else if (name === "clips") {
      fillFilter(values);
      await grid.showGrid(listOf(values), Number(values.at ?? 0));
      $("grid").focus({ preventScroll: true });
    } else if (!(await view.showClip(listOf(values), Number(values.at ?? 0)))) say("There are no such clips");
  } catch (error) {
    say(error.message, true);
    if (error.status === 401) askPerson(true);
  }
}

async function refresh() {
  const overview = await get("/overview");
  const isNew = !hasBegun;
  hasBegun = true;
  lists.clear();
  startRelabel(overview.classes.map((one) => one.name));
  const options = (names) => [element("option", { value: "" }, "any"), ...names.map((name) => element("option", {}, name))];
  $("filter").class_name.replaceChildren(...options(overview.classes.map((one) => one.name)));
  $("filter").other.replaceChildren(...options(overview.classes.map((one) => one.name)));
  $("filter").site.replaceChildren(...options(overview.sites));
  $("map-link").hidden = !overview.has_embeddings;
  if (isNew) startLook(overview);
  if (!by) {
    by = overview.by;
    if (isNew) askPerson(false);
  }
  showPerson();
  showOverview(overview);
}

function fillFilter(values) {
  const { origin } = $("filter"), similar = [...origin.options].find((one) => one.value.startsWith("similar"));
  similar?.remove();
  if (values.origin?.startsWith("similar")) origin.append(element("option", {}, values.origin));
  for (const field of $("filter").elements) if (field.name) field.value = values[field.name] ?? (field.name === "order" ? "score" : "");
}

function filterChanged() {
  const values = Object.fromEntries([...new FormData($("filter"))].filter(([name, value]) => value !== "" && !(name === "order" && value === "score")));
  lists.clear();
  location.hash = `clips?${new URLSearchParams(values)}`;
}

const openClip = (index) => { location.hash = `clip?${new URLSearchParams({ ...withoutAt(), at: index })}`; };
const withoutAt = () => { const { at, ...filter } = route().values; return filter; };

function goTo(index) {
  const { values } = route(), list = listOf(values);
  if (values.sample && index >= list.total) {
    writing.then(() => $("fault").open || verify());
    return;
  }
  if (index < 0 || index >= list.total) {
    say(index < 0 ? "This is the first clip" : "This was the last clip");
    return;
  }
  history.replaceState(null, "", `#clip?${new URLSearchParams({ ...withoutAt(), at: index })}`);
  view.showClip(list, index).catch((error) => say(error.message, true));
}

/** Go to the verification of the class that the list, or else the current clip, is of. */
function verify() {
  const { class_name, sample } = route().values;
  const clip = current === "clip" ? view.shownClip() : grid.gridList()?.known(grid.gridIndex());
  const name = class_name ?? clip?.class_name;
  if (name) location.hash = verificationAt({ class_name: name, ...(sample && { sample }) });
}

async function findSimilar() {
  try {
    say("Looking for similar sounds …");
    const { origin } = await post(`/similar/${view.shownClip().id}`, {});
    say("");
    location.hash = `clips?${new URLSearchParams({ origin })}`;
  } catch (error) {
    say(error.message, true);
  }
}

function exportClips() {
  const dialog = $("export");
  dialog.returnValue = "";
  dialog.showModal();
  dialog.onclose = async () => {
    if (!dialog.returnValue) return;
    const clips = current === "clips" ? await grid.chosenIds() : [view.shownClip().id];
    try {
      const { n, folder, problems } = await post("/export", { clips, suffix: dialog.returnValue });
      say(`${n} exported to ${folder}${problems.length ? `; ${problems[0]}` : ""}`, problems.length > 0);
    } catch (error) {
      say(error.message, true);
    }
  };
}

/** Add to an issue what is selected or current; as a work queue, what is selected or else the whole list. */
async function addChosen(isQueue = false) {
  const list = listOf(route().values), isGrid = current === "clips";
  if (!isGrid && view.isMoving()) return;
  const isWhole = isQueue && !(isGrid && list.selected.size);
  try {
    const clips = isWhole ? list.ids(MOST_CHOSEN) : isGrid ? grid.chosenIds() : [view.shownClip().id];
    const text = await addToIssue(clips, by, isQueue);
    if (!text) return;
    say(isWhole && list.total > MOST_CHOSEN ? `${text}, the first of ${list.total.toLocaleString("en")}` : text);
    lists.forEach((one, key) => one.filter.issue && one !== list && lists.delete(key));
    if (isGrid) grid.clearSelection(list, await clips);
  } catch (error) {
    say(error.message, true);
  }
}

const backToGrid = () => { location.hash = `clips?${new URLSearchParams({ ...withoutAt(), at: view.clipIndex() })}`; };

/** Decisions are written one after the other, in the order of the keys. */
function write(path, body, done, failed) {
  writing = writing.then(() => post(path, body)).then((clips) => {
    lists.forEach((list) => list.update(clips));
    view.updateClip(clips);
    if (current === "clips") grid.redrawGrid();
    followBatch();
    done(clips);
  }).catch(failed);
  return writing;
}

/** Show that decisions were not written, until somebody has read it. */
function showFault(what, error) {
  const isFirst = !$("fault").open;
  if (isFirst) $("fault-lines").replaceChildren();
  $("fault-lines").append(element("li", {}, `${what}: ${error.message}`));
  if (isFirst) $("fault").showModal();
  return isFirst;
}

const counted = (n) => `${n} clip${n === 1 ? "" : "s"}`;

async function decide(decision) {
  const isGrid = current === "clips";
  const ids = isGrid ? await grid.chosenIds() : [view.shownClip().id];
  if (!ids.length || (!isGrid && view.isMoving())) return;
  const index = view.clipIndex(), place = location.hash, list = grid.gridList();
  const about = isGrid ? counted(ids.length) : `${view.shownClip().class_name}, clip ${index + 1}`;
  const newClass = decision === "relabel" ? await askClass() : "";
  if (newClass === null) return;
  const body = { clips: ids, decision, new_class: newClass, by };
  write("/decisions", body, (clips) => {
    const what = clips.length === 1 ? clips[0].class_name : counted(clips.length);
    say(`${DONE[decision]}: ${what}${newClass && ` → ${newClass}`}`);
    if (isGrid) grid.clearSelection(list, ids);
  }, (error) => {
    if (showFault(`${DONE[decision]}: ${about}`, error) && location.hash !== place) location.hash = place;
  });
  if (!isGrid) goTo(index + 1);
}

function undo() {
  write("/decisions/undo", { by }, (clips) => {
    say(clips.length ? `Taken back: ${clips.length === 1 ? clips[0].class_name : `${clips.length} clips`}` : "Taken back");
    const index = current === "clip" && clips.length ? listOf(route().values).indexOf(clips[0].id) : -1;
    if (index >= 0 && index !== view.clipIndex()) goTo(index);
    if (current === "verify") show();
  }, (error) => say(error.message, true));
}

function showPerson() {
  $("person-button").textContent = by || "no name";
  $("person-button").title = "Who decides";
}

function askPerson(needsToken) {
  $("person-form").by.value = by ?? "";
  $("token-field").hidden = !needsToken;
  $("person").showModal();
  $("person-form").by.select();
}

const COMMON = {
  n: ["Next", () => goTo(view.clipIndex() + 1)],
  p: ["Previous", () => goTo(view.clipIndex() - 1)],
  z: ["Undo: take back your last decision", undo],
};
const ISSUE_KEYS = {
  i: ["Issue: add to a new or existing one", () => addChosen()],
  q: ["Queue: make a work queue of the selected clips, or of the list", () => addChosen(true)],
  f: ["Finish the batch of a work queue", finishBatch],
  b: ["Give back the batch of a work queue", giveBackBatch],
};
const CLIP_KEYS = {
  ...Object.fromEntries(Object.entries(DECISIONS).map(([key, name]) => [key, [name[0].toUpperCase() + name.slice(1), () => decide(name)]])),
  ...COMMON, e: ["Similar: find what sounds alike", findSimilar], w: ["Export: write clips as files", exportClips],
  v: ["Verify: how precise the scores of this class are", verify], ...ISSUE_KEYS, ...view.ACTIONS, Escape: ["Grid: back to it", backToGrid],
};
const ALIASES = { ArrowRight: "n", ArrowLeft: "p", "=": "+", 0: "^", j: "n", k: "p" };
const ANYWHERE = {
  "?": ["These keys", () => $("keys").showModal()],
  g: ["Spectrogram settings", () => $("look").showModal()],
  1: ["Overview", () => { location.hash = "overview"; }],
  2: ["Undecided clips", () => { location.hash = "clips?origin=found&decided=undecided"; }],
  3: ["Issues", () => { location.hash = "issues"; }],
};
const GRID_HELP = {
  "← → ↑ ↓": "Move", Space: "Select", "Shift ↓": "Select more", A: "Select all that follow, up to 5,000",
  Enter: "Open", Esc: "Select none",
};

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target;
  if (document.querySelector("dialog[open]") || target.matches("input, select, textarea")) return;
  const isControl = target.matches("button, a") && [" ", "Enter"].includes(event.key);
  const key = ALIASES[event.key] ?? event.key;
  if (isControl) return;
  if (event.repeat && (key in DECISIONS || key === "z")) { // a key held down decides about one clip
    event.preventDefault();
    return;
  }
  if (key in ANYWHERE) ANYWHERE[key][1]();
  else if (current === "clip" && key in CLIP_KEYS) CLIP_KEYS[key][1]();
  else if (current === "clips" && key in DECISIONS) decide(DECISIONS[key]);
  else if (["clips", "verify"].includes(current) && key === "z") undo();
  else if (current === "clips" && key === "v") verify();
  else if (current === "clips" && key === "w") exportClips();
  else if (current === "clips" && key in ISSUE_KEYS) ISSUE_KEYS[key][1]();
  else if (current === "issues" && issuesKey(event)) event.preventDefault();
  else if (current === "map" && mapKey(event)) event.preventDefault();
  else if (!(current === "clips" && grid.gridList() && grid.gridKey(event))) return;
  event.preventDefault();
}

function keyName(key) {
  return { " ": "Space", Escape: "Esc", "^": "0" }[key] ?? key;
}

function button([key, [name, action]], kind = "") {
  return element("button", { type: "button", class: kind, "data-key": key, onclick: action, title: name }, `${name.split(":")[0]} `, element("kbd", {}, keyName(key)));
}

function start() {
  const entries = Object.entries(CLIP_KEYS);
  $("decisions").replaceChildren(...entries.filter(([key]) => key in DECISIONS).map((one) => button(one, DECISIONS[one[0]])),
    ...Object.entries(COMMON).map((one) => button(one)), button(["e", CLIP_KEYS.e]), button(["w", CLIP_KEYS.w]), button(["v", CLIP_KEYS.v]), button(["i", CLIP_KEYS.i]), button(["Escape", CLIP_KEYS.Escape]));
  $("transport").replaceChildren(...Object.entries(view.ACTIONS).map((one) => button(one)));
  $("grid-actions").replaceChildren(...Object.entries(DECISIONS).map(([key, name]) =>
    button([key, [name[0].toUpperCase() + name.slice(1), () => decide(name)]])), button(["z", ["Undo", undo]]), button(["w", ["Export", exportClips]]), button(["v", CLIP_KEYS.v]),
    button(["i", ISSUE_KEYS.i]), button(["q", ISSUE_KEYS.q]));
  const help = [...Object.entries(ANYWHERE), ...entries].map(([key, [name]]) => [keyName(key), name]);
  $("key-list").replaceChildren(...[...help, ...Object.entries(GRID_HELP).map(([key, name]) => [key, `Grid: ${name}`]),
    ...Object.entries(ISSUE_HELP).map(([key, name]) => [key, `Issue: ${name}`])]
    .flatMap(([key, name]) => [element("dt", {}, element("kbd", {}, key)), element("dd", {}, name)]));
  $("keys-button").addEventListener("click", () => $("keys").showModal());
  $("look-button").addEventListener("click", () => $("look").showModal());
  $("person-button").addEventListener("click", () => askPerson(!$("token-field").hidden));
  $("person-form").addEventListener("submit", () => {
    by = $("person-form").by.value.trim();
    localStorage.setItem("by", by);
    if ($("person-form").token.value) setToken($("person-form").token.value);
    showPerson();
    if (!$("token-field").hidden) begin();
  });
  $("person").addEventListener("close", () => by || askPerson(!$("token-field").hidden));
  $("filter").addEventListener("change", filterChanged);
  $("filter").addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("keydown", pressed);
  window.addEventListener("hashchange", () => show());
  onLook(() => { grid.redrawGrid(); view.redrawClip(); });
  listenToRelabel();
  startAddToIssue();
  startIssues(() => by);
  startBatchBar(() => by);
  startVerification();
  startMap((ids) => { location.hash = ids.length > 1 ? `clips?ids=${ids.join(",")}` : `clip?ids=${ids[0]}&at=0`; });
  grid.startGrid(openClip);
  view.startClip();
  begin();
}

async function begin() {
  try {
    await refresh();
    await show(true);
  } catch (error) {
    say(error.message, true);
    if (error.status === 401) askPerson(true);
  }
}

start();
