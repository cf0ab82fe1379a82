// Adding clips to an issue, a new or an existing one.
import { $, element } from "./elements.js";
import { get, post } from "./server.js";
import { TypeAhead, matching } from "./type_ahead.js";

const QUEUE = "Work Queue";
const PROPOSED = "Bucket";
let field = null, issues = null, chosen = null, answer = () => {};

export function startAddToIssue() {
  field = new TypeAhead("issue-input", "issue-options", choices, (choice) => {
    chosen = choice;
    $("add-issue").close();
  });
  $("add-issue").addEventListener("close", () => answer(chosen));
  $("issue-type").addEventListener("change", typeChanged);
  $("add-button").addEventListener("click", () => field.pick());
  for (const id of ["issue-type", "batch-size"]) $(id).addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    if ($("batch-size").reportValidity()) field.pick();
  });
}

function typeChanged() {
  $("batch-size-label").hidden = $("issue-type").value !== QUEUE;
  field.show(0);
}

function choices(typed) {
  if (!issues) return null; // else what is there already could become new
  const existing = matching(issues, typed, (one) => one.name).map((one) => ({ text: one.name, note: `${one.type}, ${one.n}`, issue: one }));
  return typed ? [...existing, { text: `New: ${typed}`, note: $("issue-type").value, name: typed }] : existing;
}

/** Ask for an issue and add clips, which may still be on their way. Returns what was done, as text; empty: nothing.
    The dialog is there at once, since what is typed next is meant for it. */
export async function addToIssue(clips, by, isQueue = false) {
  const kind = isQueue ? QUEUE : PROPOSED;
  [issues, chosen] = [null, null];
  $("issue-type").replaceChildren(element("option", {}, kind));
  $("add-title").textContent = isQueue ? "Make a work queue" : "Add to an issue";
  $("add-about").textContent = "";
  field.start();
  typeChanged();
  $("add-issue").showModal();
  $("issue-input").focus();
  const closed = new Promise((resolve) => { answer = resolve; });
  try {
    await describe(clips, kind);
  } catch (error) {
    $("add-issue").close();
    throw error;
  }
  const to = await closed, ids = await clips, n = counted(ids.length);
  if (!to || !ids.length) return "";
  if (to.issue) {
    const after = await post(`/issues/${to.issue.id}/clips`, { clips: ids });
    return `Added to ${after.name}: ${after.n - to.issue.n} of ${n}`;
  }
  const size = Number($("batch-size").value) || 20;
  const made = await post("/issues", { name: to.name, type: $("issue-type").value, clips: ids, batch_size: size, by });
  return `Made ${made.issue.name}: ${n}`;
}

const counted = (n) => `${n} clip${n === 1 ? "" : "s"}`;

async function describe(clips, kind) {
  const [known, ids] = await Promise.all([get("/issues"), clips]);
  const isQueue = kind === QUEUE, type = $("issue-type").value;
  issues = known.issues.filter((one) => one.takes_clips && (!isQueue || one.type === QUEUE));
  $("issue-type").replaceChildren(...known.types.map((name) => element("option", {}, name)));
  $("issue-type").value = type;
  const n = counted(ids.length);
  $("add-about").textContent = isQueue ? `${n}, which people take in batches and decide about. Type a name.` : `${n}. Type the name of an issue, or of a new one.`;
  typeChanged();
}
