// What the server is asked for. Pictures and sounds are kept for a while, so that the next clips are there at once.
const kept = new Map();
const MOST_KEPT = 400, MOST_BYTES = 2 ** 28;
const sizes = new Map(); // bytes, of what is kept
let token = sessionStorage.getItem("token") ?? "";

export function setToken(text) {
  token = text;
  sessionStorage.setItem("token", text);
}

async function ask(path, options = {}) {
  const headers = { ...(token && { authorization: `Bearer ${token}` }), ...options.headers };
  const answer = await fetch(path, { ...options, headers });
  if (answer.ok) return answer;
  const { detail } = await answer.json().catch(() => ({ detail: answer.statusText }));
  const text = typeof detail === "string" ? detail : detail.map((fault) => fault.msg).join("; ");
  throw Object.assign(new Error(text), { status: answer.status });
}

export function address(path, values = {}) {
  const used = Object.entries(values).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  return used.length ? `${path}?${new URLSearchParams(used)}` : path;
}

export const get = async (path, values, signal) => (await ask(address(path, values), { signal })).json();

export const post = async (path, body) =>
  (await ask(path, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } })).json();

/** The content at an address, as JSON or as a blob with an address of its own; a second request costs nothing. */
export function load(path, values, kind = "blob") {
  const place = address(path, values);
  let entry = kept.get(place);
  if (entry) kept.delete(place);
  else {
    entry = ask(place).then(async (answer) => {
      if (kind === "json") return answer.json();
      const blob = await answer.blob();
      if (kept.get(place) === entry) sizes.set(place, blob.size);
      evict();
      return { blob, url: URL.createObjectURL(blob) };
    });
    entry.catch(() => kept.delete(place));
  }
  kept.set(place, entry);
  evict();
  return entry;
}

/** Forget the oldest until what is kept is little enough; the newest stays. */
function evict() {
  let bytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  while (kept.size > 1 && (kept.size > MOST_KEPT || bytes > MOST_BYTES)) {
    const [oldest, content] = kept.entries().next().value;
    kept.delete(oldest);
    bytes -= sizes.get(oldest) ?? 0;
    sizes.delete(oldest);
    content.then((one) => one.url && URL.revokeObjectURL(one.url), () => {});
  }
}
