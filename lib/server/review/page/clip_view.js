// One clip: spectrogram, what is known about it, its scores and its sound.
import WaveSurfer from "./vendor/wavesurfer.esm.js";
import { $, clock, element, say, shape, shownPart } from "./elements.js";
import { load } from "./server.js";
import { look, pictured } from "./look.js";

const RATES = [1, 0.5, 0.25, 0.1];
const AHEAD = 3, MOST_SECONDS = 100, LEAST_SECONDS = 0.05, AUDIBLE = 96000, SCORES = 96;
const MOST_SAMPLES = 2 ** 24, SHORT = 16; // what the server decodes at once; seconds that are fewer even at 1 MHz
const rates = new Map(); // Hz, of recordings
let list = null, index = 0, clip = null, span = [0, 1], view = null, wave = null, coming = null;
export const playing = { rate: 1, loop: false, chosen: null };

/** How the sound is played: as chosen, else ultrasound so that people hear it. */
const mode = (one = clip) => playing.chosen ?? (rates.get(one?.recording) > AUDIBLE ? "expanded" : "plain");

export const clipIndex = () => index;
export const shownClip = () => clip;
/** Whether another clip is on its way, so that a key may be meant for either. */
export const isMoving = () => coming !== null;

export function startClip() {
  const css = getComputedStyle(document.documentElement);
  wave = WaveSurfer.create({
    container: "#wave", height: 44, cspNonce: document.querySelector("meta[name=nonce]").content,
    waveColor: css.getPropertyValue("--faint"), progressColor: css.getPropertyValue("--accent"), cursorWidth: 0, normalize: true,
  });
  wave.on("timeupdate", () => cursor());
  wave.on("finish", () => playing.loop && play(0));
  $("picture").addEventListener("click", (event) => {
    const box = $("picture").getBoundingClientRect();
    play((event.clientX - box.left) / box.width);
  });
  new ResizeObserver(() => clip && !$("clip").hidden && drawn() && draw()).observe($("picture"));
}

let drawnWidth = 0, drawing = 0, toPlay = false;
const drawn = () => Math.abs(drawnWidth - $("picture").clientWidth) > 2;

const width = () => Math.max(300, Math.min(2000, $("picture").clientWidth || 900));

/** Seconds that are shown at once, at most. */
const mostSeconds = (one) => Math.min(MOST_SECONDS, (0.99 * MOST_SAMPLES) / (rates.get(one.recording) ?? 1));
const isShort = ([start, end]) => end - start < SHORT;

function startSpan(one) {
  const length = Math.min(one.end - one.start, Math.max(LEAST_SECONDS, mostSeconds(one) - 2 * look.context));
  return [one.start - look.context, one.start + length + look.context];
}

const soundValues = (one, [start, end]) => ({
  start: start.toFixed(6), end: end.toFixed(6),
  slow: mode(one) === "expanded" ? 10 : undefined,
  frequency: mode(one) === "heterodyne" ? Math.round((look.min_freq + look.max_freq) / 2) : undefined,
});

/** Ask for what is shown of a clip, or find it among what is kept. */
function wanted(one, [start, end]) {
  const values = pictured(start, end, width(), look.height);
  return {
    tile: load(`/media/tile/${one.id}`, values),
    view: load(`/media/view/${one.id}`, values, "json"),
    sound: () => load(`/media/sound/${one.id}`, soundValues(one, [start, end])),
  };
}

export async function showClip(newList, newIndex) {
  list = newList;
  await list.ready;
  if (!list.total) return false;
  const move = coming = { index: Math.max(0, Math.min(list.total - 1, newIndex)) };
  let one;
  try {
    one = await list.at(move.index);
  } finally {
    if (coming === move) coming = null;
    else one = null;
  }
  if (list !== newList || !one) return false;
  const isOther = clip?.id !== one.id;
  [index, clip] = [move.index, one];
  if (isOther) span = startSpan(clip);
  showState();
  await draw(true);
  ahead();
  return true;
}

async function ahead() {
  for (const k of [1, 2, AHEAD, -1]) {
    if (index + k < 0 || index + k >= list.total) continue;
    const one = await list.at(index + k);
    const part = one && startSpan(one);
    if (part && (isShort(part) || rates.has(one.recording))) wanted(one, part).sound().catch(() => {});
  }
}

/** Take away picture and sound, so that those of one clip are never taken for those of another. */
function blank() {
  wave.empty();
  wave.getMediaElement().load(); // else the old sound could still be played
  $("tile").removeAttribute("src");
  $("tile").alt = "";
  delete $("tile").dataset.clip;
  overlay();
}

async function draw(plays = false) {
  const number = ++drawing;
  toPlay ||= plays;
  if ($("tile").dataset.clip !== String(clip.id)) blank();
  try {
    if (!isShort(span) && !rates.has(clip.recording)) await learnRate();
  } catch (error) {
    if (number === drawing) failed(error);
    return;
  }
  if (number === drawing) await drawSpan();
}

/** Get to know the sampling rate of the recording in view, and show fewer seconds if it is very high. */
async function learnRate() {
  const one = clip, [start] = span;
  const answer = await load(`/media/view/${one.id}`, pictured(start, start + 1, width(), look.height), "json");
  rates.set(one.recording, answer.sampling_rate);
  if (one.id !== clip.id) return;
  span = [span[0], Math.min(span[1], span[0] + mostSeconds(one))];
  showState();
}

function failed(error) {
  toPlay = false;
  blank();
  say(error.message, true);
}

async function drawSpan() {
  const number = ++drawing, [start, end] = span, from = wanted(clip, span);
  drawnWidth = $("picture").clientWidth;
  $("picture").style.height = $("axis").style.height = `${look.height}px`;
  showFacts();
  try {
    const tile = await from.tile;
    if (number !== drawing) return;
    $("tile").src = tile.url;
    $("tile").alt = `Spectrogram of ${clip.class_name}, ${clock(start)} to ${clock(end)} of ${clip.recording}`;
    $("tile").dataset.clip = clip.id;
    overlay();
    const answer = await from.view;
    if (number !== drawing) return;
    view = answer;
    rates.set(clip.recording, view.sampling_rate);
    showState();
    overlay();
    showFacts();
    const sound = await from.sound();
    if (number !== drawing) return;
    await wave.loadBlob(sound.blob);
    if (number !== drawing) return;
    wave.setPlaybackRate(playing.rate, false);
    cursor();
    if (toPlay) play(0);
    toPlay = false;
  } catch (error) {
    if (number === drawing) failed(error); // what a newer drawing has replaced is no fault
  }
}

export function redrawClip() {
  if (!clip || $("clip").hidden) return;
  span = startSpan(clip);
  draw();
}

/** Take over what clips have become, of which the one in view may be one. */
export function updateClip(clips) {
  const found = clips.find((one) => one.id === clip?.id);
  if (!found) return;
  clip = found;
  if (!$("clip").hidden) showFacts();
}

function play(share) {
  wave.seekTo(Math.max(0, Math.min(1, share)));
  wave.play().catch(() => say("Press Space to play"));
}

function cursor() {
  const length = wave.getDuration();
  $("cursor").style.left = `${length ? (100 * wave.getCurrentTime()) / length : 0}%`;
}

function showFacts() {
  const result = clip.outcome && (clip.other ? `${clip.outcome}, ${clip.origin === "found" ? "annotated" : "found"} as ${clip.other}` : clip.outcome);
  const facts = {
    Clip: `${(index + 1).toLocaleString("en")} of ${list.total.toLocaleString("en")}`,
    Class: clip.class_name,
    Score: clip.score === null ? "annotated" : clip.score.toFixed(3),
    Result: result,
    Decision: clip.decision && (clip.new_class ? `${clip.decision} as ${clip.new_class}` : clip.decision),
    Recording: clip.recording,
    Time: `${clock(clip.start)} to ${clock(clip.end)}`,
    Site: clip.site, Date: clip.date,
    Rate: view?.clip.id === clip.id ? `${(view.sampling_rate / 1000).toLocaleString("en")} kHz` : "",
  };
  const part = span[0] <= clip.start ? shownPart(clip.end - clip.start, span[1] - clip.start) : "";
  $("clip-title").textContent = clip.class_name;
  $("clip-place").textContent = `${clock(span[0])} – ${clock(span[1])}${part}`;
  $("facts").replaceChildren(...Object.entries(facts).filter(([, text]) => text)
    .flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]));
}

function overlay() {
  const w = width(), h = look.height, [start, end] = span;
  const x = (time) => ((time - start) / (end - start)) * w;
  const known = view?.clip.id === clip.id ? view : { spans: [], ticks: [], times: [], scores: [] };
  const self = { id: clip.id, origin: clip.origin, start: clip.start, end: clip.end, low: null, high: null, class_name: clip.class_name };
  const spans = (known.spans.some((one) => one.id === clip.id) ? known.spans : [self, ...known.spans])
    .filter((one) => one.start < end && one.end > start);
  const shapes = [];
  const lanes = [];
  for (const one of spans) {
    const left = Math.max(0, x(one.start)), right = Math.min(w, x(one.end)), isSelf = one.id === clip.id;
    const color = one.origin === "annotated" ? "#ff8a3d" : "#ffffff";
    if (isSelf) shapes.push(...[one.start, one.end].map((time) => shape("line", {
      x1: x(time), x2: x(time), y1: 0, y2: h, stroke: color, "stroke-width": 1.5, "stroke-dasharray": "5 4" })));
    if (one.low !== null && one.high !== null) {
      const top = h * (1 - one.high);
      shapes.push(shape("rect", { x: left, y: top, width: right - left, height: h * (one.high - one.low), fill: "none", stroke: color, "stroke-width": isSelf ? 2.5 : 1.5 }));
      shapes.push(label(one, left + 3, Math.max(12, top - 4), color));
      continue;
    }
    let lane = lanes.findIndex((taken) => taken <= left);
    if (lane < 0) lane = lanes.length;
    lanes[lane] = Math.max(right, left + 8 * one.class_name.length + 44);
    const y = 5 + lane * 20;
    shapes.push(shape("line", { x1: left, x2: right, y1: y, y2: y, stroke: color, "stroke-width": isSelf ? 6 : 3 }));
    shapes.push(label(one, left + 3, y + 14, color));
  }
  $("overlay").setAttribute("viewBox", `0 0 ${w} ${h}`);
  $("overlay").setAttribute("preserveAspectRatio", "none");
  $("overlay").replaceChildren(...shapes);
  $("axis").replaceChildren(...known.ticks.map((tick) => shape("text", {
    x: 38, y: Math.max(9, Math.min(h - 1, h * (1 - tick.at) + 4)), "text-anchor": "end", fill: "currentColor" },
    tick.hertz >= 1000 ? `${tick.hertz / 1000}k` : `${tick.hertz}`)));
  drawScores(known, x, w);
  $("spans").replaceChildren(...known.spans.map((one) => element("li", { class: `${one.origin}${one.id === clip.id ? " self" : ""}` },
    element("span", {}, element("i"), one.class_name),
    element("span", {}, one.score === null ? "annotated" : one.score.toFixed(2)))));
}

function label(one, x, y, color) {
  const text = one.score === null || one.score === undefined ? one.class_name : `${one.class_name} ${one.score.toFixed(2)}`;
  return shape("text", { x, y, fill: color, "font-size": 12, "font-weight": one.id === clip.id ? 700 : 400,
    stroke: "#000", "stroke-width": 2.5, "paint-order": "stroke" }, text);
}

function drawScores({ times, scores }, x, w) {
  const left = 44, y = (score) => 12 + (SCORES - 34) * (1 - score), bottom = SCORES - 22;
  const shapes = [0, 0.5, 1].flatMap((score) => [
    shape("line", { x1: left, x2: left + w, y1: y(score), y2: y(score), stroke: "currentColor", opacity: 0.25 }),
    shape("text", { x: 38, y: y(score) + 4, "text-anchor": "end", fill: "currentColor" }, String(score)),
  ]);
  const length = span[1] - span[0], step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20].find((each) => length / each <= 12) ?? 30;
  for (let time = Math.ceil(span[0] / step) * step; time <= span[1]; time += step)
    shapes.push(shape("text", { x: left + x(time), y: bottom + 17, "text-anchor": "middle", fill: "currentColor" }, step < 0.1 ? time.toFixed(2) : clock(time)));
  if (times.length) {
    const points = times.map((time, k) => `${left + x(time)},${y(scores[k])}`);
    const clipped = shape("svg", { x: left - 4, width: w + 8, height: SCORES, viewBox: `${left - 4} 0 ${w + 8} ${SCORES}` });
    shapes.push(clipped);
    clipped.append(shape("polyline", { points: points.join(" "), fill: "none", stroke: "var(--accent)", "stroke-width": 2 }));
    clipped.append(...times.map((time, k) => shape("circle", { cx: left + x(time), cy: y(scores[k]), r: 3, fill: "var(--accent)" })));
  }
  $("scores").setAttribute("viewBox", `0 0 ${left + w} ${SCORES}`);
  $("scores").setAttribute("aria-label", times.length ? `Scores of ${clip.class_name}: highest ${Math.max(...scores).toFixed(2)}` : "No scores");
  $("scores").replaceChildren(...shapes);
}

function reshape(start, end) {
  const length = Math.max(LEAST_SECONDS, Math.min(mostSeconds(clip), end - start)), middle = (start + end) / 2;
  span = [middle - length / 2, middle + length / 2];
  draw();
}

function setMode(wish) {
  playing.chosen = mode() === wish ? "plain" : wish;
  say({ plain: "Sound as it is", expanded: "Ten times slower and lower", heterodyne: "Shifted down, as by a bat detector" }[mode()]);
  showState();
  draw(true);
}

function showState() {
  const isOn = { o: playing.loop, s: playing.rate < 1, x: mode() === "expanded", h: mode() === "heterodyne" };
  for (const one of $("transport").children)
    if (one.dataset.key in isOn) one.setAttribute("aria-pressed", isOn[one.dataset.key]);
}

export const ACTIONS = {
  " ": ["Play: or pause", () => (wave.isPlaying() ? wave.pause() : play(wave.getCurrentTime() >= wave.getDuration() ? 0 : wave.getCurrentTime() / wave.getDuration()))],
  o: ["Loop", () => { playing.loop = !playing.loop; say(playing.loop ? "Loop" : "No loop"); showState(); }],
  s: ["Slower: 1, ½, ¼, a tenth", () => {
    playing.rate = RATES[(RATES.indexOf(playing.rate) + 1) % RATES.length];
    wave.setPlaybackRate(playing.rate, false);
    say(`Speed ${playing.rate}`);
    showState();
  }],
  x: ["Expand: ultrasound ten times slower and lower", () => setMode("expanded")],
  h: ["Heterodyne: ultrasound shifted down", () => setMode("heterodyne")],
  "+": ["Zoom in", () => reshape(span[0] + (span[1] - span[0]) / 4, span[1] - (span[1] - span[0]) / 4)],
  "-": ["Zoom out: more before and after", () => reshape(span[0] - (span[1] - span[0]) / 2, span[1] + (span[1] - span[0]) / 2)],
  "[": ["Earlier", () => reshape(span[0] - (span[1] - span[0]) / 2, span[1] - (span[1] - span[0]) / 2)],
  "]": ["Later", () => reshape(span[0] + (span[1] - span[0]) / 2, span[1] + (span[1] - span[0]) / 2)],
  "^": ["Reset: the clip as at first", () => { span = startSpan(clip); draw(); }],
};

export function leaveClip() {
  wave.pause();
}
