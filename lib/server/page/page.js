"use strict";

const MOST_ROWS = 12;
let left = 132; // px beside the pictures, for labels
const ROW = 20; // px of a class in the picture of scores
const at = (id) => document.getElementById(id);
let analysis = null;
let showsAll = false;
let soundUrl = "";

async function ask(path, options = {}) {
  const token = at("token").value;
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { ...options, headers });
  at("token-field").hidden = at("token-field").hidden && answer.status !== 401;
  const content = await answer.json().catch(() => ({ detail: answer.statusText }));
  if (!answer.ok) {
    const detail = content.detail;
    throw new Error(typeof detail === "string" ? detail : detail.map((fault) => fault.msg).join("; "));
  }
  return content;
}

function tell(text, kind = "") {
  at("status").textContent = text;
  at("status").className = kind;
}

async function listModels() {
  try {
    const models = await ask("/models");
    at("model").replaceChildren(...models.map((path) => new Option(path, path)));
    at("model").disabled = !models.length;
    tell(models.length ? "" : "The server has no model yet.");
  } catch (error) {
    tell(error.message, "fault");
  }
}

async function analyze(file) {
  const form = new FormData();
  form.append("audio_files", file);
  tell(`Listening to ${file.name} …`, "busy");
  try {
    const model = encodeURIComponent(at("model").value);
    analysis = await ask(`/model/analyze-file?model_ckpt_path=${model}`, { method: "POST", body: form });
  } catch (error) {
    tell(error.message, "fault");
    return;
  }
  tell("");
  showsAll = false;
  URL.revokeObjectURL(soundUrl);
  soundUrl = URL.createObjectURL(file);
  at("player").src = soundUrl;
  at("player").hidden = false;
  document.body.classList.add("has-result");
  at("result").hidden = false;
  show();
}

function show() {
  const n = analysis.found.filter(Boolean).length;
  at("name").textContent = analysis.file;
  at("facts").textContent = `${time(analysis.seconds)}, ${n} of ${analysis.classes.length} classes found`;
  listClasses();
  draw();
}

function ranked() {
  const order = analysis.classes.map((_, index) => index);
  order.sort((a, b) => analysis.found[b] - analysis.found[a] || analysis.clip[b] - analysis.clip[a]);
  return showsAll ? order : order.slice(0, MOST_ROWS);
}

function listClasses() {
  at("classes").replaceChildren(...ranked().map(classEntry));
  const n = analysis.classes.length;
  at("more").hidden = n <= MOST_ROWS;
  at("more").textContent = showsAll ? "Show fewer" : `Show all ${n} classes`;
}

function classEntry(index) {
  const entry = document.createElement("li");
  entry.classList.toggle("found", analysis.found[index]);
  const row = element("div", "row");
  row.append(element("span", "label", analysis.classes[index]), element("span", "value", analysis.clip[index].toFixed(2)));
  row.firstChild.title = analysis.classes[index];
  const bar = document.createElement("meter-bar");
  const picture = shape("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none" });
  const mark = 100 * analysis.thresholds[index];
  picture.append(shape("rect", { width: 100 * analysis.clip[index], height: 8 }));
  picture.append(shape("line", { x1: mark, x2: mark, y1: 0, y2: 8 }));
  bar.append(picture);
  entry.append(row, bar);
  return entry;
}

function element(name, kind, text = "") {
  const made = document.createElement(name);
  made.className = kind;
  made.textContent = text;
  return made;
}

function shape(name, values) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(values)) made.setAttribute(key, value);
  return made;
}

function time(seconds) {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  return `${clock(seconds)} min`;
}

function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}

function hertz(frequency) {
  return frequency >= 1000 ? `${+(frequency / 1000).toFixed(1)} kHz` : `${Math.round(frequency)} Hz`;
}

// A canvas of that height in px: its context in CSS pixels, and its width.
function sheet(canvas, height) {
  const width = canvas.parentElement.clientWidth;
  left = width < 500 ? 84 : 132;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.clearRect(0, 0, width, height);
  context.font = "12px system-ui, sans-serif";
  return [context, width];
}

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// From black over purple and orange to pale yellow, alike to inferno; value in 0..1.
function heat(value) {
  const stops = [[0, 0, 4], [51, 16, 84], [120, 28, 109], [187, 55, 84], [237, 105, 37], [251, 180, 26], [252, 255, 164]];
  const place = Math.min(Math.max(value, 0), 1) * (stops.length - 1);
  const first = Math.min(Math.floor(place), stops.length - 2);
  return stops[first].map((low, i) => Math.round(low + (place - first) * (stops[first + 1][i] - low)));
}

// An image of values by row (from the top) and column.
function image(width, height, pixel) {
  const picture = new OffscreenCanvas(width, height);
  const context = picture.getContext("2d");
  const data = context.createImageData(width, height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) data.data.set([...pixel(x, y), 255], 4 * (y * width + x));
  }
  context.putImageData(data, 0, 0);
  return picture;
}

function draw() {
  if (!analysis) return;
  drawWaveform();
  drawSpectrogram();
  drawScores();
  const [red, green, blue] = rgb(color("--accent"));
  const scale = at("scale").getContext("2d");
  for (let x = 0; x < 64; x += 1) {
    scale.fillStyle = `rgba(${red}, ${green}, ${blue}, ${x / 63})`;
    scale.clearRect(x, 0, 1, 8);
    scale.fillRect(x, 0, 1, 8);
  }
}

function rgb(hex) {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

function drawWaveform() {
  const height = 90;
  const [context, width] = sheet(at("waveform"), height);
  const { low, high } = analysis.waveform;
  const loudest = Math.max(0.001, ...high, ...low.map((value) => -value));
  const step = (width - left) / low.length;
  context.fillStyle = color("--line");
  context.fillRect(left, height / 2, width - left, 1);
  context.fillStyle = color("--accent");
  context.beginPath(); // one shape: else there are seams
  low.forEach((_, i) => context.lineTo(left + (i + 0.5) * step, (height / 2) * (1 - high[i] / loudest) - 0.5));
  for (let i = low.length - 1; i >= 0; i -= 1) {
    context.lineTo(left + (i + 0.5) * step, (height / 2) * (1 - low[i] / loudest) + 0.5);
  }
  context.fill();
  label(context, loudest.toFixed(loudest < 0.1 ? 3 : 2), 12);
  label(context, "0", height / 2 + 4);
}

function label(context, text, y) {
  context.fillStyle = color("--faint");
  context.textAlign = "right";
  let shown = text;
  while (context.measureText(shown).width > left - 12 && shown.length > 2) shown = `${shown.slice(0, -2).trimEnd()}…`;
  context.fillText(shown, left - 8, y);
}

const SCALES = {
  mel: [(f) => Math.log10(1 + f / 700), (m) => 700 * (10 ** m - 1)],
  log: [Math.log10, (m) => 10 ** m],
  linear: [(f) => f, (m) => m],
};

function drawSpectrogram() {
  const height = 210;
  const [context, width] = sheet(at("spectrogram"), height);
  const picture = analysis.spectrogram;
  const bytes = Uint8Array.from(atob(picture.values), (character) => character.charCodeAt(0));
  const pixel = (x, y) => heat(bytes[(picture.height - 1 - y) * picture.width + x] / 255);
  context.imageSmoothingEnabled = picture.width > 300;
  context.drawImage(image(picture.width, picture.height, pixel), left, 0, width - left, height);
  const [to, from] = SCALES[analysis.freq_scale];
  const [lowest, highest] = [to(analysis.min_freq), to(analysis.max_freq)];
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const y = height * (1 - share);
    label(context, hertz(from(lowest + share * (highest - lowest))), Math.min(Math.max(y + 4, 11), height - 2));
  }
}

function drawScores() {
  const rows = ranked();
  const axis = 22;
  const height = rows.length * ROW + axis;
  const [context, width] = sheet(at("scores"), height);
  const [red, green, blue] = rgb(color("--accent"));
  const scale = (width - left) / analysis.seconds;
  const { starts } = analysis;
  const hop = starts.length > 1 ? starts[1] - starts[0] : analysis.seconds;
  // Windows overlap: each is drawn around its middle, as wide as the way to the next. This is where it ends.
  const edge = (index) => {
    const end = index === starts.length - 1 ? analysis.seconds : starts[index] + (analysis.window_seconds + hop) / 2;
    return Math.min(end, analysis.seconds);
  };
  rows.forEach((index, row) => {
    context.fillStyle = color("--back");
    context.fillRect(left, row * ROW, width - left, ROW - 2);
    analysis.scores.forEach((scores, i) => { // whole pixels: else there are seams
      const [begin, end] = [i ? edge(i - 1) : 0, edge(i)].map((seconds) => left + Math.round(seconds * scale));
      context.fillStyle = `rgba(${red}, ${green}, ${blue}, ${scores[index]})`;
      context.fillRect(begin, row * ROW, end - begin, ROW - 2);
    });
    label(context, analysis.classes[index], row * ROW + 13);
  });
  drawTimes(context, width, rows.length * ROW, scale);
}

function drawTimes(context, width, top, scale) {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
  const step = steps.find((each) => each * scale >= 56) || 3600;
  context.fillStyle = color("--faint");
  context.textAlign = "center";
  for (let k = 0; k * step <= analysis.seconds; k += 1) {
    const x = left + k * step * scale;
    const text = analysis.seconds < 60 ? `${+(k * step).toFixed(1)} s` : clock(k * step);
    context.fillRect(x, top, 1, 4);
    context.fillText(text, Math.min(x, width - 14), top + 17);
  }
}

function point(event) {
  const canvas = event.currentTarget;
  const box = canvas.getBoundingClientRect();
  const seconds = ((event.clientX - box.left - left) / (box.width - left)) * analysis.seconds;
  if (seconds < 0) return [null, ""];
  const { starts, scores } = analysis;
  let nearest = 0;
  starts.forEach((start, i) => {
    const distance = (index) => Math.abs(starts[index] + analysis.window_seconds / 2 - seconds);
    if (distance(i) < distance(nearest)) nearest = i;
  });
  let text = `at ${time(seconds)}`;
  const row = ranked()[Math.floor((event.clientY - box.top) / ROW)];
  if (canvas.id === "scores" && row !== undefined) text += ` · ${analysis.classes[row]} ${scores[nearest][row].toFixed(2)}`;
  return [seconds, text];
}

for (const id of ["waveform", "spectrogram", "scores"]) {
  at(id).addEventListener("mousemove", (event) => { at("pointed").textContent = point(event)[1]; });
  at(id).addEventListener("click", (event) => {
    const seconds = point(event)[0];
    if (seconds !== null && !at("player").hidden) {
      at("player").currentTime = seconds;
      at("player").play();
    }
  });
}
at("file").addEventListener("change", () => {
  if (at("file").files.length) analyze(at("file").files[0]);
  at("file").value = "";
});
at("player").addEventListener("error", () => { at("player").hidden = true; }); // a format that the browser does not play
at("token").addEventListener("change", listModels);
at("more").addEventListener("click", () => { showsAll = !showsAll; listClasses(); drawScores(); });
document.addEventListener("dragover", (event) => { event.preventDefault(); at("drop").classList.add("over"); });
document.addEventListener("dragleave", () => at("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  if (event.dataTransfer.files.length) analyze(event.dataTransfer.files[0]);
});
window.addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
listModels();
