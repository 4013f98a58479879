// A new voice: recorded, chosen or dropped; looked at, named, registered, and reported on.

import { askJson } from "./api.js";
import { adviceOn, clock, measure, wavOf } from "./audio.js";
import { $, make, toast } from "./dom.js";
import { Player } from "./player.js";
import { Recorder } from "./recorder.js";
import { choose, loadVoices } from "./voices.js";
import { Waveform } from "./waveform.js";

const LONGEST_S = 60;
const READABLE = /\.(wav|flac|ogg|oga|opus|mp3|aif|aiff|au|caf|w64)$/i; // by the server; others are converted here
const EMBEDDING = /\.pkl\.gz$/i;

let recorder = null;
let sample = null; // {field, blob, fileName}
let wave;
let player = null;
let facts = null; // measured here, for servers that do not report

export function startEnrolment() {
  wave = new Waveform($("sample-wave"));
  $("record").addEventListener("click", () => guarded(recorder ? finish : record));
  $("file").addEventListener("change", () => {
    const [file] = $("file").files;
    $("file").value = "";
    if (file) guarded(() => take(file));
  });
  const drop = $("drop");
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("is-over", kind === "dragenter" || kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files[0]) guarded(() => take(event.dataTransfer.files[0]));
    });
  }
  $("sample-drop").addEventListener("click", discard);
  $("sample-play").addEventListener("click", () => (player?.playing ? player.pause() : player?.play()));
  $("enrol-form").addEventListener("submit", (event) => {
    event.preventDefault();
    guarded(register);
  });
}

async function guarded(action) {
  try {
    await action();
  } catch (error) {
    toast(error.message);
  }
}

async function record() {
  discard();
  const started = new Recorder((peak, seconds) => {
    $("level").value = Math.max(-60, 20 * Math.log10(peak + 1e-6));
    $("record-time").textContent = clock(seconds);
    if (seconds >= LONGEST_S && recorder === started) guarded(finish);
  });
  $("record").disabled = true;
  try {
    await started.start();
  } finally {
    $("record").disabled = false;
  }
  recorder = started;
  showRecording(true);
}

async function finish() {
  const ending = recorder;
  recorder = null;
  showRecording(false);
  const { samples, rate } = await ending.stop();
  if (!samples.length) throw new Error("Nothing was recorded. Try again.");
  show({ field: "reference_audio", blob: wavOf(samples, rate), fileName: "recording.wav" }, samples, rate);
}

function showRecording(on) {
  $("record").setAttribute("aria-pressed", on);
  $("record-label").textContent = on ? "Stop" : "Record";
  $("recording").hidden = !on;
  $("report").hidden = true;
}

async function take(file) {
  discard();
  if (EMBEDDING.test(file.name)) {
    show({ field: "voice_embedding", blob: file, fileName: file.name });
    return;
  }
  const context = new AudioContext();
  let decoded;
  try {
    decoded = await context.decodeAudioData(await file.arrayBuffer());
  } catch {
    if (!READABLE.test(file.name)) throw new Error(`“${file.name}” is no audio that can be read. Choose a wav, mp3, flac or ogg file.`);
  } finally {
    context.close();
  }
  const samples = decoded && mono(decoded);
  const blob = READABLE.test(file.name) ? file : wavOf(samples, decoded.sampleRate);
  show({ field: "reference_audio", blob, fileName: READABLE.test(file.name) ? file.name : "recording.wav" }, samples, decoded?.sampleRate);
  if (!$("name").value) $("name").value = file.name.replace(/\.[^.]+$/, "").replace(/[_-]+/g, " ").slice(0, 200);
}

function mono(buffer) {
  const sum = new Float32Array(buffer.length);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    buffer.getChannelData(channel).forEach((value, index) => (sum[index] += value / buffer.numberOfChannels));
  }
  return sum;
}

/** samples: undefined where the browser cannot read what the server may. */
function show(found, samples, rate) {
  sample = found;
  $("sample").hidden = false;
  $("report").hidden = true;
  $("sample-wave").hidden = $("sample-play").hidden = !samples;
  if (samples) {
    facts = measure(samples, rate);
    wave.show(samples);
    $("sample-about").textContent = `${facts.seconds.toFixed(1)} s · peak ${facts.peak.toFixed(0)} dB · speech ${facts.speech.toFixed(0)} dB`;
    showAdvice($("sample-advice"), adviceOn(facts));
    player = new Player(rate);
    player.load(samples);
    player.addEventListener("change", () => {
      $("sample-play").classList.toggle("is-playing", player?.playing ?? false);
      wave.at(player ? player.position / player.duration : 0);
    });
  } else {
    facts = null;
    $("sample-about").textContent = found.fileName;
    showAdvice($("sample-advice"), []);
  }
  $("name").focus();
}

function discard() {
  player?.clear();
  player = sample = null;
  $("sample").hidden = true;
}

async function register() {
  if (!sample) return;
  const form = new FormData();
  form.append("voice_name", $("name").value);
  if ($("gender").value) form.append("gender", $("gender").value);
  if ($("replace").checked) form.append("on_conflict", "replace");
  form.append(sample.field, sample.blob, sample.fileName);
  const button = $("register");
  button.disabled = true;
  button.textContent = "Registering…";
  try {
    const voice = await askJson("/v1/voices", { method: "POST", body: form });
    discard();
    $("name").value = "";
    $("replace").checked = false;
    report(voice);
    $("voice-search").value = "";
    await loadVoices();
    choose(voice.voice_id);
  } finally {
    button.disabled = false;
    button.textContent = "Register voice";
  }
}

// What the server may say of a recording, in words. What it says beyond this is shown by its own name.
const UNITS = { _s: "s", _db: "dB", _dbfs: "dB", _hz: "Hz", _khz: "kHz", _ms: "ms", _ratio: "%" };

function report(voice) {
  $("report").hidden = false;
  $("report-title").textContent = `${voice.voice_name} is ready`;
  const shown = [["Length", `${voice.duration.toFixed(1)} s`]];
  const advice = [];
  if (!voice.report && facts) shown.push(["Peak", `${facts.peak.toFixed(0)} dB`], ["Speech", `${facts.speech.toFixed(0)} dB`], ["Background", `${facts.floor.toFixed(0)} dB`]);
  for (const [name, value] of Object.entries(voice.report ?? {})) {
    if (Array.isArray(value)) advice.push(...value.filter((line) => typeof line === "string"));
    else if (name === "advice" && typeof value === "string") advice.push(value);
    else if (name === "duration" && Math.abs(value - voice.duration) < 0.05) continue; // said already
    else if (typeof value === "number" || typeof value === "string") shown.push(fact(name, value));
    else if (typeof value === "boolean") shown.push([titled(name), value ? "yes" : "no"]);
  }
  $("report-facts").replaceChildren(...shown.map(([name, value]) => make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value }))));
  showAdvice($("report-advice"), advice.map((line) => ["good", line]));
  $("report-title").focus();
}

function fact(name, value) {
  if (name === "duration") return ["Recorded", `${Number(value).toFixed(1)} s`];
  if (name === "bandwidth_hz") return ["Bandwidth", `${round(value / 1000)} kHz`];
  if (name === "snr_db") return ["Signal to noise", `${round(value)} dB`];
  const suffix = Object.keys(UNITS).find((end) => name.endsWith(end));
  const unit = suffix ? ` ${UNITS[suffix]}` : "";
  const shown = typeof value === "number" ? round(suffix === "_ratio" ? value * 100 : value) : value;
  return [titled(suffix ? name.slice(0, -suffix.length) : name), `${shown}${unit}`];
}

const round = (value) => (Number.isInteger(value) ? value : Number(value.toPrecision(3)));
const titled = (name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");

function showAdvice(list, advice) {
  list.replaceChildren(
    ...advice.map(([kind, text]) => {
      const item = make("li", { textContent: text });
      item.dataset.kind = kind;
      return item;
    })
  );
}
