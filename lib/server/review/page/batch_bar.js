// What the clips in view are of: an issue, or a batch of a work queue, which its reviewer finishes or gives back.
import { $, element, say } from "./elements.js";
import { get, post } from "./server.js";

let at = {}, batch = null, person = () => "", isWarned = false;
const names = new Map(); // of issues, by id

export function startBatchBar(by) {
  person = by;
  $("finish-batch").addEventListener("click", finishBatch);
  $("give-back-batch").addEventListener("click", giveBackBatch);
}

const isMine = () => batch?.status === "assigned" && batch.assignee === person();
const place = () => `/issues/${encodeURIComponent(at.issue)}`;

/** Show what a list is of; values: of the address, undefined where no list is shown. */
export async function showBatchBar(values = {}) {
  const isOther = values.issue !== at.issue || values.batch !== at.batch;
  at = { issue: values.issue, batch: values.batch };
  $("batch-bar").hidden = !at.issue;
  if (!at.issue) return;
  if (isOther) [batch, isWarned] = [null, false];
  if (!names.has(at.issue)) (await get("/issues")).issues.forEach((one) => names.set(one.id, one.name));
  $("batch-issue").textContent = names.get(at.issue) ?? "Issue";
  $("batch-issue").href = `#issues?${new URLSearchParams({ id: at.issue })}`;
  await refresh();
}

async function refresh() {
  const { issue, batch: name } = at;
  const found = name ? await get(`${place()}/batch`, { batch: name }) : null;
  if (issue !== at.issue || name !== at.batch) return;
  batch = found;
  $("batch-state").replaceChildren(...(batch ? [
    element("span", {}, `${batch.name}${isMine() ? "" : batch.assignee ? ` of ${batch.assignee}, ${batch.status}` : `, ${batch.status}`}`),
    element("progress", { max: batch.n || 1, value: batch.decided, "aria-label": "Decided" }),
    element("span", {}, `${batch.decided} of ${batch.n} decided`),
  ] : []));
  for (const id of ["finish-batch", "give-back-batch"]) $(id).hidden = !isMine();
}

/** Note that somebody has decided about clips of the batch, so that it is not taken for abandoned. */
export async function followBatch() {
  if (!batch) return;
  try {
    if (isMine()) await step("touch");
    await refresh();
  } catch (error) {
    say(error.message, true);
  }
}

const step = (what) => post(`${place()}/batch`, { by: person(), batch: batch.name, step: what });

async function leave(what, told) {
  if (!isMine()) return;
  try {
    await step(what);
    const { name } = batch;
    location.hash = $("batch-issue").getAttribute("href");
    say(`${told}: ${name}`);
  } catch (error) {
    say(error.message, true);
  }
}

export async function finishBatch() {
  if (!isMine()) return;
  await refresh();
  if (batch.decided < batch.n && !isWarned) {
    isWarned = true;
    say(`${batch.n - batch.decided} of ${batch.n} are undecided; again to finish all the same`, true);
    return;
  }
  await leave("finish", "Finished");
}

export const giveBackBatch = () => leave("give back", "Given back");
