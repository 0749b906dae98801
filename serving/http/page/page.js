/**
 * Files go to /classify a few at a time, and each becomes a card. Plain DOM: nothing to install, nothing to build.
 * What comes from outside (file names, labels, error sentences) is only ever set as text.
 */

const IN_FLIGHT = 3; // requests at a time: enough to keep the service busy, few enough to leave it to others
const TRIES = { busy: 60, lost: 3 }; // of a file, where the service refuses for now or cannot be reached
const LOST_SECONDS = 2; // between tries to reach it
const WAVE_SECONDS = 600; // a longer file is not decoded for its picture: it would take hundreds of megabytes
const WAVE_RATE = 8000; // Hz, enough for a picture
const PEAKS = 1000; // kept of a waveform
const SAY_SECONDS = 10; // between two announcements of progress
const UNREACHABLE = "The service cannot be reached: try again in a moment.";
const UNREADABLE = "This file cannot be read: it may have been moved, or be a folder.";

// What is taken of a folder, where covers and lists lie beside the music; a file that is chosen is sent whatever it is.
const MUSIC = /\.(aac|aif[cf]?|amr|ape|asf|au|caf|flac|m4[ab]|mka|mkv|mov|mp[234]|mpga|og[agv]|opus|snd|wave?|weba|webm|wma|wv)$/i;

const byId = (id) => document.getElementById(id);
const element = (tag, text = "", className = "") =>
  Object.assign(document.createElement(tag), { textContent: text, className });
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const percent = (p) => `${Math.round(100 * p)}\u00a0%`;
const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
const length = (s) => clock(Math.round(s));
const size = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
const files = (n) => `${n} ${n === 1 ? "file" : "files"}`;

let tracks = []; // as they are shown
let queue = []; // those that wait, first come first served
let workers = 0;
let limits = {};

// ---- Colours: hues evenly around the wheel, however many labels; page.css makes two lightnesses of them in turn.

const labels = [];
const swatches = new Map(); // an element that has the genre's colour, for the canvas to ask

function tint(target, genre) {
  if (!labels.includes(genre)) learn([genre]);
  const place = labels.indexOf(genre);
  target.classList.add("tint");
  target.style.setProperty("--hue", (255 + (360 * place) / labels.length) % 360);
  target.style.setProperty("--odd", place % 2);
  return target;
}

function learn(genres) {
  labels.push(...genres.filter((genre) => !labels.includes(genre)));
  for (const genre of labels) {
    if (!swatches.has(genre)) swatches.set(genre, byId("labels").appendChild(element("li", genre, "key")));
    tint(swatches.get(genre), genre);
  }
  makeFilters();
}

// ---- A file and its card.

class Track {
  constructor(file, name) {
    Object.assign(this, { file, name, time: 0, state: "queued", answer: null, error: "", peaks: null, inView: false });
    this.card = byId("card").content.firstElementChild.cloneNode(true);
    for (const part of this.card.querySelectorAll("[data-part]")) this[part.dataset.part + "Part"] = part;
    this.namePart.textContent = name;
    this.factsPart.textContent = size(file.size);
    const named = { progress: "Progress of", copy: "Copy as JSON:", remove: "Remove", again: "Try again:" };
    for (const [part, words] of Object.entries({ ...named, play: "Play", slider: "Position in" })) {
      this[part + "Part"].ariaLabel = `${words} ${name}`;
    }
    this.copyPart.onclick = () => copy(this.copyPart, this.answer);
    this.removePart.onclick = () => removeOne(this);
    this.againPart.onclick = () => (this.removePart.focus(), enqueue([this])); // this button goes
    this.playPart.onclick = () => toggle(this);
    this.sliderPart.onkeydown = (event) => this.key(event);
    this.sliderPart.onpointerdown = (event) => {
      if (event.button) return;
      this.sliderPart.setPointerCapture(event.pointerId);
      this.point(event);
    };
    this.sliderPart.onpointermove = (event) =>
      this.sliderPart.hasPointerCapture(event.pointerId) && this.point(event);
    this.show("queued");
  }

  /** What can be read on the card in each state; `words` for those that have something to say. */
  show(state, words = "") {
    this.state = state;
    this.card.dataset.state = state;
    const status = { queued: "Waiting", sending: "Uploading", classifying: "Listening", stopped: "Stopped" };
    this.statusPart.textContent = words || status[state];
    this.progressPart.hidden = !["sending", "classifying"].includes(state);
    this.progressPart.removeAttribute("value"); // none is "it takes as long as it takes"
    this.againPart.hidden = !["failed", "stopped"].includes(state);
    update();
  }

  uploaded(share) {
    if (share >= 1) return this.show("classifying");
    this.progressPart.value = share;
    this.statusPart.textContent = `Uploading ${percent(share)}`;
  }

  fail(error, status) {
    Object.assign(this, { error, status });
    this.show("failed", error);
  }

  finish(answer) {
    this.answer = answer;
    const { genre, confidence, duration, segments, warning } = answer;
    this.genrePart.textContent = genre;
    this.genrePart.hidden = this.copyPart.hidden = false;
    this.unsurePart.hidden = !answer.uncertain;
    this.unsurePart.textContent = doubt(answer);
    this.warningPart.hidden = !warning;
    this.warningPart.textContent = warning ?? "";
    this.factsPart.textContent = `${length(duration)}, ${size(this.file.size)}`;
    this.sliderPart.ariaValueMax = Math.round(duration);
    tint(this.card, genre);
    this.barsPart.replaceChildren(
      ...Object.entries(answer.probabilities).map(([label, p]) => {
        const bar = tint(element("li"), label);
        bar.style.setProperty("--share", p);
        bar.append(element("span", label), element("i"), element("b", percent(p)));
        return bar;
      }),
    );
    const silent = segments.filter((segment) => !segment.genre).length;
    this.legendPart.replaceChildren(
      ...Object.entries(answer.votes).map(([label, n]) =>
        tint(element("li", `${label} ${n} of ${segments.length}`, "key"), label),
      ),
    );
    if (silent) this.legendPart.append(element("li", `silent ${silent} of ${segments.length}`, "key silent"));
    this.show("done", `${percent(confidence)} confidence`);
    this.seek(0);
    if (this.inView) this.enter();
  }

  // ---- Its timeline. Off screen it holds no canvas, no file and no list of segments, for there may be hundreds.

  enter() {
    this.inView = true;
    if (!this.answer) return;
    const { duration, segments } = this.answer;
    this.timelinePart.replaceChildren(
      ...stretches(segments).map(({ start, end, genre }) => {
        const stretch = element("span", "", genre ? "" : "silent");
        stretch.append(element("i", genre ?? ""));
        stretch.style.left = `${(100 * start) / duration}%`;
        stretch.style.width = `${(100 * (end - start)) / duration}%`;
        stretch.title = `${clock(start)} to ${clock(end)}: ${genre ?? "silent"}`;
        return genre ? tint(stretch, genre) : stretch;
      }),
    );
    this.fit();
    if (duration > WAVE_SECONDS) this.note("No waveform is drawn for a file this long.");
    else wave(this);
    this.draw();
  }

  /** Names that do not fit are not shown: the legend has them, and a pointer on a stretch shows it. */
  fit() {
    const words = [...this.timelinePart.children].map((stretch) => [stretch.firstChild, stretch.clientWidth]);
    const fits = words.map(([word, room]) => word.offsetWidth <= room);
    words.forEach(([word], i) => word.classList.toggle("long", !fits[i]));
  }

  leave() {
    this.inView = false;
    this.wavePart.width = this.wavePart.height = 0;
    this.timelinePart.replaceChildren();
  }

  note(words) {
    this.notePart.textContent = words;
    this.notePart.hidden = false;
  }

  silence() {
    this.playPart.disabled = true;
    this.note("This browser cannot decode this format: there is no waveform and no playback.");
  }

  /** The segment under a time; where the last overlaps the one before, that one goes on to its end. */
  segment(time) {
    const { segments } = this.answer;
    return segments.find((s) => time < s.end) ?? (time <= segments.at(-1).end + 0.01 ? segments.at(-1) : undefined);
  }

  seek(time) {
    this.time = Math.min(Math.max(time, 0), this.answer.duration);
    if (current === this) player.currentTime = this.time;
    this.draw();
    this.tell();
  }

  /** For a screen reader, which would read out every change of a slider that moves by itself. */
  tell() {
    const { duration } = this.answer;
    const genre = this.genreAt(this.time);
    this.sliderPart.ariaValueNow = Math.round(this.time);
    this.sliderPart.ariaValueText = `${Math.floor(this.time)} of ${Math.round(duration)} seconds, ${genre}`;
  }

  genreAt(time) {
    const segment = this.segment(time);
    return segment ? (segment.genre ?? "silent") : "not classified";
  }

  draw() {
    const { duration } = this.answer;
    const segment = this.segment(this.time);
    const p = segment?.genre ? ` ${percent(segment.probabilities[segment.genre])}` : "";
    this.readoutPart.textContent = `${clock(this.time)} / ${length(duration)}  ${this.genreAt(this.time)}${p}`;
    this.sliderPart.style.setProperty("--at", duration ? this.time / duration : 0);
    if (!this.inView || !this.peaks) return;
    const canvas = this.wavePart;
    const { clientWidth: width, clientHeight: height } = canvas;
    canvas.width = width * devicePixelRatio;
    canvas.height = height * devicePixelRatio;
    const context = canvas.getContext("2d");
    context.scale(devicePixelRatio, devicePixelRatio);
    const bars = Math.max(1, Math.floor(width / 4));
    const rest = getComputedStyle(canvas).color;
    const colours = new Map();
    const colour = (genre) => {
      if (!colours.has(genre)) colours.set(genre, genre ? getComputedStyle(swatches.get(genre), "::before").backgroundColor : rest);
      return colours.get(genre);
    };
    for (let i = 0; i < bars; i++) {
      const from = Math.floor((i * PEAKS) / bars);
      const peak = Math.max(...this.peaks.subarray(from, Math.max(from + 1, Math.floor(((i + 1) * PEAKS) / bars))));
      const middle = ((i + 0.5) / bars) * duration;
      context.fillStyle = middle <= this.time ? colour(this.segment(middle)?.genre) : rest;
      const tall = Math.max(2, peak * height);
      context.beginPath();
      context.roundRect((i * width) / bars, (height - tall) / 2, 2.5, tall, 1.25);
      context.fill();
    }
  }

  point(event) {
    const { left, width } = this.sliderPart.getBoundingClientRect();
    load(this);
    this.seek(((event.clientX - left) / width) * this.answer.duration);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { duration } = this.answer;
    const step = Math.max(1, Math.round(duration / 60));
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
    if (event.key === " ") toggle(this);
    else if (event.key === "Home") this.seek(0);
    else if (event.key === "End") this.seek(duration);
    else if (event.key in steps) this.seek(this.time + step * steps[event.key]);
    else return;
    event.preventDefault();
  }
}

/** What is said beside a genre that is uncertain. */
const doubt = ({ genre, recognised }) => (recognised === false ? `none of these, most like ${genre}` : "not sure");

/** Neighbouring segments of one genre as one; each begins where the one before ended. */
function stretches(segments) {
  const runs = [];
  for (const { start, end, genre } of segments) {
    const last = runs.at(-1);
    if (last?.genre === genre) last.end = end;
    else runs.push({ start: Math.max(start, last?.end ?? 0), end, genre });
  }
  return runs;
}

// ---- The key, where the operator asks for one: kept for this tab alone.

let key = sessionStorage.getItem("key") ?? "";
let keyComes = null; // a promise, while one is asked for

const credentials = () => (key ? { Authorization: `Bearer ${key}` } : {});

/** Ask for a key, once for all who were refused without one. */
function askForKey() {
  keyComes ??= new Promise((resolve) => {
    byId("asked").textContent = key ? "The service does not take this key. Another one:" : "This service asks for a key:";
    byId("access").hidden = false;
    byId("key").focus();
    byId("access").onsubmit = (event) => {
      event.preventDefault();
      key = byId("key").value;
      sessionStorage.setItem("key", key);
      byId("key").value = "";
      byId("access").hidden = true;
      byId("files").focus();
      keyComes = null;
      resolve();
    };
  });
  return keyComes;
}

// ---- The queue.

function enqueue(those) {
  for (const track of those) track.show("queued");
  queue.push(...those);
  while (workers < IN_FLIGHT && queue.length) {
    workers++;
    work();
  }
}

async function work() {
  for (let track; (track = queue.shift()); ) await classify(track);
  workers--;
}

/** Send a file until it is answered, refused for good, stopped or removed. */
async function classify(track) {
  if (track.file.size > limits.max_upload_mb * 2 ** 20) {
    return track.fail(`The file is larger than ${limits.max_upload_mb} MiB: send a shorter or a compressed file.`, 413);
  }
  const tries = { ...TRIES };
  const round = (track.round = (track.round ?? 0) + 1);
  for (;;) {
    track.show("sending");
    const { status, retryAfter, answer } = await send(track);
    if (track.state === "removed") return;
    if (status === 200 && answer?.segments) return track.finish(answer);
    if (status === 401) {
      track.show("waiting", answer?.error);
      await askForKey();
      if (track.state !== "waiting" || track.round !== round) return;
      continue;
    }
    if (!status && !(await readable(track.file))) return track.fail(UNREADABLE, 0);
    const kind = status ? "busy" : "lost";
    const seconds = status ? status === 503 && retryAfter : LOST_SECONDS;
    const error = status ? (answer?.error ?? `The service did not answer as it should (status ${status}).`) : UNREACHABLE;
    if (!seconds || !--tries[kind]) {
      track.fail(error, status);
      if (!status) stop(); // the others would fare no better
      return;
    }
    track.show("waiting", `${error} Trying again in ${seconds} s.`);
    await sleep(seconds);
    if (track.state !== "waiting" || track.round !== round) return; // stopped, removed, or begun anew
  }
}

/** One request. XMLHttpRequest, for fetch does not tell how much it has sent. */
function send(track) {
  return new Promise((resolve) => {
    const request = (track.request = new XMLHttpRequest());
    request.open("POST", "classify");
    request.responseType = "json";
    for (const [name, value] of Object.entries(credentials())) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => track.state === "sending" && track.uploaded(loaded / total);
    request.upload.onload = () => track.state === "sending" && track.uploaded(1);
    request.onloadend = () =>
      resolve({
        status: request.status,
        retryAfter: Number(request.getResponseHeader("Retry-After")),
        answer: request.response,
      });
    const body = new FormData();
    body.append("audio", track.file); // the browser reads it from disk as it goes
    request.send(body);
  });
}

const readable = (file) => file.slice(0, 1).arrayBuffer().then(() => true, () => false);

function stop() {
  for (const track of tracks) if (["queued", "waiting"].includes(track.state)) track.show("stopped");
  queue = [];
}

function remove(track) {
  track.state = "removed";
  track.request?.abort();
  if (current === track) unload();
  seen.unobserve(track.card);
  track.card.remove();
}

function removeOne(track) {
  const shown = tracks.filter((each) => each === track || !each.card.hidden);
  const place = shown.indexOf(track);
  remove(track);
  tracks.splice(tracks.indexOf(track), 1);
  queue = queue.filter((each) => each !== track);
  const next = shown[place + 1] ?? shown[place - 1];
  report(); // after the last that a filter shows, all are shown
  (next ?? tracks[0])?.removePart.focus(); // the keyboard stays where it was
  if (!tracks.length) byId("files").focus();
}

// ---- What is said of all files.

const filters = new Map();
let filter = "all";
let due = 0;
let spoken = 0;

const matches = (track, key) =>
  key === "all" ||
  (key === "failed" && track.state === "failed") ||
  (key === "not sure" && track.answer?.uncertain) ||
  key === `genre ${track.answer?.genre}`;

function makeFilters() {
  for (const key of ["all", "failed", "not sure", ...labels.map((label) => `genre ${label}`)]) {
    if (!filters.has(key)) {
      const button = Object.assign(element("button", key.replace("genre ", "")), { type: "button" });
      button.append(element("b", "0"));
      button.onclick = () => choose(key);
      filters.set(key, byId("filters").appendChild(button));
    }
    if (key.startsWith("genre ")) tint(filters.get(key), key.slice(6)).classList.add("key");
  }
}

function choose(key) {
  filter = key;
  report();
  const shown = tracks.filter((track) => !track.card.hidden).length;
  say(`${files(shown)} shown: ${key.replace("genre ", "")}.`);
}

/** Soon, and once for many changes. */
function update() {
  due ||= setTimeout(() => ((due = 0), report()), 50);
}

function report() {
  const count = (state) => tracks.filter((track) => track.state === state).length;
  const [done, failed, stopped] = ["done", "failed", "stopped"].map(count);
  const ended = done + failed + stopped;
  const left = tracks.length - ended;
  const parts = [`${done} of ${files(tracks.length)} done`];
  if (failed) parts.push(`${failed} failed`);
  if (stopped) parts.push(`${stopped} stopped`);
  if (left) parts.push(`${left} to go`);
  const summary = parts.join(", ");
  byId("summary").textContent = summary;
  byId("progress").max = tracks.length || 1;
  byId("progress").value = ended;
  byId("tools").hidden = !tracks.length;
  byId("tools").classList.toggle("idle", !left);
  byId("filters").hidden = tracks.length < 2;
  document.body.classList.toggle("busy", tracks.length > 0);
  document.title = left ? `${ended} of ${tracks.length} done` : "Which genre is it?";
  byId("stop").textContent = stopped && !left ? "Go on" : "Stop";
  const idle = !left && !stopped;
  if (idle && document.activeElement === byId("stop")) byId("copy").focus(); // a disabled button has no focus
  byId("stop").disabled = idle;
  byId("copy").disabled = byId("download").disabled = !(done + failed);
  if (!tracks.some((track) => matches(track, filter))) filter = "all";
  for (const [key, button] of filters) {
    const matching = tracks.filter((track) => matches(track, key)).length;
    button.ariaPressed = key === filter;
    button.disabled = !matching;
    button.lastChild.textContent = matching;
  }
  for (const track of tracks) track.card.hidden = !matches(track, filter);
  if (current?.card.hidden) player.pause(); // who cannot be seen cannot be stopped
  // A live region is read out at every change, so it changes at the end and now and then.
  const [only] = tracks;
  const single = tracks.length === 1 && (only.answer ? `${only.answer.genre}, ${only.statusPart.textContent}` : only.error);
  if (!tracks.length || (left && Date.now() - spoken < 1000 * SAY_SECONDS)) return;
  spoken = Date.now();
  say(single ? `${summary}. ${single}${only.answer?.uncertain ? `, ${doubt(only.answer)}` : ""}` : `${summary}.`);
}

function say(words) {
  if (byId("said").textContent !== words) byId("said").textContent = words;
}

const results = () =>
  tracks
    .filter((track) => track.answer || track.state === "failed")
    .map(({ name, answer, error, status }) => ({ file: name, ...(answer ?? { error, status }) }));

async function copy(button, value) {
  const text = JSON.stringify(value, null, 2);
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without https, and not on this machine's own address, there is no clipboard but this old one.
    const area = document.body.appendChild(Object.assign(element("textarea"), { value: text, className: "unseen" }));
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const words = (button.dataset.words ??= button.textContent);
  button.textContent = "Copied";
  say("Copied.");
  setTimeout(() => (button.textContent = words), 1500);
}

function download() {
  const url = URL.createObjectURL(new Blob([JSON.stringify(results(), null, 2)], { type: "application/json" }));
  Object.assign(element("a"), { href: url, download: "genres.json" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// ---- Playback: one element for all files, so that only one plays; it streams from the file and needs no decode.

const player = byId("player");
let current = null;

function load(track) {
  if (current === track || track.playPart.disabled) return;
  unload();
  current = track;
  player.src = URL.createObjectURL(track.file);
  player.currentTime = track.time;
}

function unload() {
  if (!current) return;
  player.pause();
  URL.revokeObjectURL(player.src);
  player.removeAttribute("src");
  showPlaying(false);
  current = null;
}

function toggle(track) {
  load(track);
  if (current !== track) return;
  if (player.paused) player.play().catch(() => {}); // why not comes as an error event
  else player.pause();
}

function showPlaying(playing) {
  if (!current) return;
  current.card.classList.toggle("playing", playing);
  current.playPart.ariaLabel = `${playing ? "Pause" : "Play"} ${current.name}`;
  current.tell();
}

function follow() {
  if (!current || player.paused) return;
  current.time = Math.min(player.currentTime, current.answer.duration);
  current.draw();
  if (document.activeElement !== current.sliderPart) current.tell();
  requestAnimationFrame(follow);
}

player.onplay = () => (showPlaying(true), follow());
player.onpause = player.onended = () => showPlaying(false);
player.onerror = () => {
  const track = current;
  unload();
  track?.silence();
};

// ---- Waveforms: of what is in view, one after the other.

let decoding = Promise.resolve();

function wave(track) {
  decoding = decoding.then(async () => {
    if (!track.inView || track.peaks || track.playPart.disabled) return;
    try {
      track.peaks = await peaks(track.file);
      track.draw();
    } catch {
      if (player.canPlayType(track.file.type)) track.note("No waveform: this browser can only play this format.");
      else track.silence();
    }
  });
}

/** The loudest sample of each of PEAKS parts, of 1 for the loudest of all. */
async function peaks(file) {
  const context = new OfflineAudioContext(1, 1, WAVE_RATE);
  const audio = await context.decodeAudioData(await file.arrayBuffer());
  const most = new Float32Array(PEAKS);
  for (let channel = 0; channel < audio.numberOfChannels; channel++) {
    audio.getChannelData(channel).forEach((sample, i, all) => {
      const part = Math.floor((i * PEAKS) / all.length);
      most[part] = Math.max(most[part], Math.abs(sample));
    });
  }
  const loudest = Math.max(...most) || 1;
  return most.map((peak) => peak / loudest);
}

const trackOf = new WeakMap();
const seen = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) trackOf.get(target).enter();
      else trackOf.get(target).leave();
    }
  },
  { rootMargin: "300px" },
);

function redraw() {
  for (const track of tracks) if (track.answer) (track.draw(), track.fit());
}
window.addEventListener("resize", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

// ---- Files in, by choosing and by dropping.

function add(named) {
  const fresh = named.map(([file, name]) => new Track(file, name));
  if (!fresh.length) return say("There is no music in it.");
  filter = "all";
  tracks = [...fresh, ...tracks];
  byId("tracks").prepend(...fresh.map((track) => track.card));
  for (const track of fresh) {
    trackOf.set(track.card, track);
    seen.observe(track.card);
  }
  spoken = 0;
  enqueue(fresh);
}

const isMusic = (name) => MUSIC.test(name) && !name.startsWith("."); // ._song.mp3 is a Mac's note on song.mp3

/** Files of a dropped entry as [file, name], folders walked. */
async function walk(entry) {
  const call = (target, method) => new Promise((resolve, reject) => target[method](resolve, reject));
  if (entry.isFile) return [[await call(entry, "file"), entry.fullPath.slice(1)]];
  const reader = entry.createReader();
  const found = [];
  for (let some; (some = await call(reader, "readEntries")).length; ) found.push(...some); // a hundred at a time
  found.sort((a, b) => inOrder(a.name, b.name));
  const meant = found.filter(({ name, isFile }) => (isFile ? isMusic(name) : !name.startsWith(".")));
  return (await Promise.all(meant.map(walk))).flat();
}

async function drop({ items, files: plain }) {
  // Entries are gone after the event, so all are taken before the first is walked.
  const entries = [...items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.());
  if (!entries.length || entries.includes(null) || entries.includes(undefined)) return [...plain].map((f) => [f, f.name]);
  return (await Promise.all(entries.map(walk))).flat();
}

const inOrder = (a, b) => a.localeCompare(b, undefined, { numeric: true });

byId("files").onchange = () => {
  add([...byId("files").files].map((file) => [file, file.name]));
  byId("files").value = "";
};
byId("folder").onchange = () => {
  const hidden = /(^|\/)\./; // a file or a folder on the way to it
  const found = [...byId("folder").files].map((file) => [file, file.webkitRelativePath]);
  add(found.filter(([file, path]) => isMusic(file.name) && !hidden.test(path)).sort(([, a], [, b]) => inOrder(a, b)));
  byId("folder").value = "";
};
byId("folder").parentElement.hidden = !("webkitdirectory" in byId("folder"));

for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(type, async (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    document.body.classList.toggle("over", type === "dragover" || type === "dragenter");
    if (type === "drop") add(await drop(event.dataTransfer));
  });
}

byId("stop").onclick = () => {
  if (byId("stop").textContent === "Stop") return stop();
  enqueue(tracks.filter((track) => track.state === "stopped" || (track.state === "failed" && !track.status)).reverse());
};
byId("copy").onclick = () => copy(byId("copy"), results());
byId("download").onclick = download;
byId("clear").onclick = () => {
  queue = [];
  tracks.forEach(remove);
  tracks = [];
  say("All files are removed.");
  byId("files").focus();
  update();
};

async function introduce() {
  try {
    const response = await fetch("model", { headers: credentials() });
    const model = await response.json();
    if (response.status === 401) {
      byId("model").textContent = model.error;
      await askForKey();
      return introduce();
    }
    if (!response.ok) throw new Error(model.error);
    limits = model.limits;
    learn(model.labels);
    const provider = model.provider.replace("ExecutionProvider", "");
    byId("model").textContent = `Model ${model.version} on ${provider}. It knows ${model.labels.length} genres:`;
    const least = Math.round(model.chunk_samples / model.sample_rate);
    byId("limits").textContent =
      `Any common format will do, from ${least} seconds to ${Math.floor(limits.max_seconds / 60)} minutes.`;
  } catch {
    byId("model").textContent = "The service cannot say yet which model it has.";
    setTimeout(introduce, 3000);
  }
}
introduce();
