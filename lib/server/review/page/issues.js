// The issues of the project, one of them as a whole, and the batches of work queues.
import { $, clock, element, percent, say } from "./elements.js";
import { get, post } from "./server.js";

const QUEUE = "Work Queue";
const MOST_SHOWN = 200;
const STATES = { inProgress: "in progress", inReview: "in review" };
let shown = null, person = () => "";

const at = (view, values) => `#${view}?${new URLSearchParams(values)}`;
const day = (text) => new Date(text).toLocaleString("sv").slice(0, 16); // as ISO 8601, in the time of this browser

export function startIssues(by) {
  person = by;
  $("issue-form").addEventListener("change", (event) => change({ [event.target.name]: event.target.value }));
  $("issue-form").addEventListener("submit", (event) => event.preventDefault());
  $("comment-form").addEventListener("submit", (event) => { event.preventDefault(); writeComment(); });
  $("comment-form").content.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("comment-form").requestSubmit();
    else if (event.key === "Escape") $("issue-title").focus();
  });
  $("take-batch").addEventListener("click", takeBatch);
}

export async function showIssues({ id }) {
  const { issues, states } = await get("/issues");
  $("issue-form").state.replaceChildren(...states.map((state) => element("option", { value: state }, STATES[state] ?? state)));
  const head = ["Name", "Type", "State", "Clips", "Assignee"];
  $("issue-table").replaceChildren(heading(head), element("tbody", {}, ...issues.map((one) => issueRow(one, id))));
  $("no-issues").hidden = issues.length > 0;
  $("issue").hidden = !id;
  shown = null;
  if (!id) return $("issue-table").querySelector("a")?.focus({ preventScroll: true });
  fill(await get(`/issues/${encodeURIComponent(id)}`));
  $("issue-title").focus({ preventScroll: true });
}

const heading = (names) => element("thead", {}, element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name))));

function issueRow(one, id) {
  const isHere = one.id === id;
  const link = element("a", { href: at("issues", { id: one.id }), "aria-current": isHere ? "true" : undefined }, one.name);
  const n = one.type === QUEUE ? `${one.n} · ${one.n_done} of ${one.n_batches} batches` : String(one.n);
  return element("tr", { class: isHere ? "here" : "" }, element("th", { scope: "row", title: one.name }, link),
    ...[one.type, STATES[one.state] ?? one.state, n, one.assignee || "–"].map((text) => element("td", {}, text)));
}

function fill(view) {
  shown = view;
  const { issue } = view, isQueue = issue.type === QUEUE;
  $("issue-title").textContent = issue.name;
  const decided = view.elements.filter((one) => one.decided).length;
  $("issue-facts").textContent = [issue.type, issue.reporter && `by ${issue.reporter}`, `data set ${issue.data_set}`, `changed ${day(issue.updated_at)}`].filter(Boolean).join(" · ");
  $("issue-form").state.value = issue.state;
  $("issue-form").assignee.value = issue.assignee;
  $("issue-open").href = at("clips", { issue: issue.id, order: "time" });
  $("issue-open").replaceChildren(`Open ${issue.n} clip${issue.n === 1 ? "" : "s"} `, element("kbd", {}, "o"));
  $("take-batch").hidden = !isQueue;
  $("batches").hidden = !isQueue;
  $("batch-table").replaceChildren(heading(["Batch", "Status", "Reviewer", "Decided"]), element("tbody", {}, ...view.batches.map(batchRow)));
  $("elements-title").textContent = `Elements: ${percent(decided, view.elements.length)} decided`;
  const rest = issue.n - Math.min(issue.n, MOST_SHOWN);
  $("element-list").replaceChildren(...view.elements.slice(0, MOST_SHOWN).map(elementItem),
    ...(rest ? [element("li", { class: "hint" }, `and ${rest.toLocaleString("en")} more`)] : []));
  $("comments").replaceChildren(...view.comments.map((one) => element("li", {},
    element("b", {}, one.author), element("small", {}, `${day(one.created_at)}${one.about && ` on ${one.about}`}`), element("p", {}, one.content))));
  if (!view.comments.length) $("comments").append(element("li", { class: "hint" }, "None yet"));
}

function batchRow(batch) {
  const isMine = batch.status === "assigned" && batch.assignee === person();
  const name = isMine ? element("a", { href: batchAt(batch.name) }, batch.name) : batch.name;
  const text = `${batch.decided} of ${batch.n}`;
  return element("tr", {}, element("th", { scope: "row" }, name),
    element("td", {}, batch.status), element("td", {}, batch.assignee || "–"),
    element("td", {}, element("progress", { max: batch.n || 1, value: batch.decided, "aria-label": `${batch.name}: ${text}` }), ` ${text}`));
}

function elementItem(one) {
  const text = `${one.recording} ${clock(one.start)} – ${clock(one.end)}`;
  const place = one.clips ? element("a", { href: at("clip", { issue: shown.issue.id, order: "time", at: one.at }) }, text)
    : element("span", { title: "no clip of the results or annotations" }, text);
  return element("li", {}, place, element("span", {}, one.classes.join(", ")), element("small", {}, one.decided ? "decided" : ""));
}

const batchAt = (batch, index = 0) => at("clip", { issue: shown.issue.id, batch, order: "time", at: index });

async function firstUndecided(batch) {
  const { clips } = await get(`/issues/${shown.issue.id}/clips`, { batch, order: "time", limit: 500 });
  return Math.max(0, clips.findIndex((clip) => !clip.decision));
}

async function change(values) {
  await attempt(async () => {
    fill(await post(`/issues/${shown.issue.id}`, values));
    say(`${shown.issue.name}: ${STATES[shown.issue.state] ?? shown.issue.state}, ${shown.issue.assignee || "nobody"}`);
    const { issues } = await get("/issues");
    $("issue-table").tBodies[0].replaceChildren(...issues.map((one) => issueRow(one, shown.issue.id)));
  });
}

async function writeComment() {
  const { content } = $("comment-form");
  if (!content.value.trim()) return;
  await attempt(async () => {
    fill(await post(`/issues/${shown.issue.id}/comments`, { by: person(), content: content.value }));
    content.value = "";
    say("Comment written");
  });
}

/** Open the batch that one has, where one stopped, or else take the next one. */
async function takeBatch() {
  if (shown?.issue.type !== QUEUE) return;
  await attempt(async () => {
    const mine = shown.batches.find((one) => one.status === "assigned" && one.assignee === person());
    const batch = mine?.name ?? (await post(`/issues/${shown.issue.id}/batches`, { by: person() })).batch;
    if (batch) location.hash = batchAt(batch, await firstUndecided(batch));
    else say("All batches are taken or done");
  });
}

async function attempt(work) {
  try {
    await work();
  } catch (error) {
    say(error.message, true);
  }
}

export function issuesKey(event) {
  if (event.key === "t" && shown) takeBatch();
  else if (event.key === "c" && shown) $("comment-form").content.focus();
  else if (event.key === "o" && shown) location.hash = $("issue-open").getAttribute("href");
  else if (event.key === "Escape") location.hash = "issues";
  else if (["ArrowDown", "ArrowUp"].includes(event.key)) {
    const links = [...$("issue-table").querySelectorAll("a")];
    const here = links.indexOf(document.activeElement);
    links[Math.max(0, Math.min(links.length - 1, here + (event.key === "ArrowDown" ? 1 : -1)))]?.focus();
  } else return false;
  return true;
}

export const ISSUE_HELP = { t: "Take a batch, or go on with yours", c: "Comment; Ctrl+Enter writes it", o: "Open its clips", "↑ ↓": "Move", Esc: "Close" };
