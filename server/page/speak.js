// Speaking: the form, the stream, the player, the segments, the downloads.

import { ApiError, ask, events, inWords, json } from "./api.js";
import { RATE, clock, samplesOfBase64, wavOf } from "./audio.js";
import { $, make, save, slug, toast } from "./dom.js";
import { remember } from "./history.js";
import { Player } from "./player.js";
import { chosenVoice, nameOf } from "./voices.js";
import { Waveform } from "./waveform.js";

const RANGES = ["exaggeration", "cfg_weight", "temperature"];
const LARGEST_PIECE_S = 15; // 720,000 bytes of pcm, the worker's limit
const CHARACTERS_PER_S = 15; // about; only for how wide a waveform that still grows is drawn

const player = new Player(RATE);
let wave;
let current = null; // the result in the player
let running = null; // an AbortController while something is spoken
let seeking = false;

export function startSpeaking() {
  wave = new Waveform($("player-wave"));
  $("speak-form").addEventListener("submit", (event) => {
    event.preventDefault();
    speak();
  });
  $("stop").addEventListener("click", () => running?.abort());
  $("text").addEventListener("input", count);
  $("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("speak-form").requestSubmit();
  });
  for (const name of RANGES) {
    const show = () => ($(`${name}-value`).value = Number($(name).value).toFixed(2));
    $(name).addEventListener("input", show);
    show();
  }
  $("play").addEventListener("click", toggle);
  player.addEventListener("change", showPosition);
  startSeeking($("player-wave"));
  for (const button of document.querySelectorAll("[data-format]")) {
    button.addEventListener("click", () => download(button));
  }
  count();
}

function count() {
  const { length } = $("text").value;
  $("text-count").textContent = `${length.toLocaleString()} ${length === 1 ? "character" : "characters"}`;
}

/** The job that the form describes; defaults are left to the server. */
function job() {
  // checked segments: the answer says where they lie, and a download in another format is sample for sample the same
  const fields = { text: $("text").value, quality: "fast" };
  if (chosenVoice()) fields.voice_id = chosenVoice();
  for (const name of RANGES) {
    if ($(name).value !== $(name).defaultValue) fields[name] = Number($(name).value);
  }
  if ($("language").value && $("language").value !== "en") fields.language = $("language").value;
  if ($("seed").value !== "") fields.seed = Number($("seed").value);
  return fields;
}

async function speak() {
  running?.abort();
  const mine = (running = new AbortController());
  const asked = job();
  const result = { text: asked.text, voice: nameOf(asked.voice_id), job: asked, segments: [], created: Date.now() };
  busy(true);
  player.clear();
  const began = performance.now();
  try {
    const response = await ask("/generate", {
      ...json({ ...asked, format: "pcm", sample_rate: RATE, stream: true }),
      headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
      signal: mine.signal,
    });
    for await (const chunk of events(response)) {
      if (chunk.error) throw new ApiError(inWords(chunk.error), 200);
      take(chunk, result, began);
    }
    if (!result.seed && result.seed !== 0) throw new ApiError("The answer ended too early. Speak it again.", 200);
    player.finish();
    describe(result, ` in ${((performance.now() - began) / 1000).toFixed(1)} s`);
    result.samples = player.all().slice();
    show(result);
    await remember(result);
  } catch (error) {
    player.finish();
    if (mine === running) $("speak-state").textContent = error.name === "AbortError" ? "Stopped." : "";
    if (error.name !== "AbortError") toast(error.message);
  } finally {
    if (mine === running) busy(false);
  }
}

function take(chunk, result, began) {
  if (chunk.audio) {
    const samples = samplesOfBase64(chunk.audio);
    const first = !player.length;
    addPiece(result, samples.length / RATE);
    player.append(samples);
    if (first) {
      result.first = performance.now() - began;
      show(result);
      player.play();
    }
    $("speak-state").textContent = `Speaking… first sound after ${(result.first / 1000).toFixed(2)} s`;
    draw(result, Math.max(player.length, (result.text.length / CHARACTERS_PER_S) * RATE));
  }
  if (chunk.last) {
    Object.assign(result, { seed: chunk.seed, engine: chunk.engine });
    if (chunk.segments?.length) result.segments = chunk.segments;
  }
}

/** Without word from the server a piece is a segment; one that was as large as a piece may be goes on in the next. */
function addPiece(result, seconds) {
  const last = result.segments.at(-1);
  if (last?.goesOn) last.end += seconds;
  else result.segments.push({ start: player.duration, end: player.duration + seconds });
  result.segments.at(-1).goesOn = seconds >= LARGEST_PIECE_S;
}

function describe(result, spent = "") {
  $("speak-state").textContent = `${player.duration.toFixed(1)} s of speech${spent}.`;
}

/** Puts a result into the player. */
export function open(result) {
  running?.abort();
  player.load(result.samples);
  show(result);
  player.play();
  $("player").scrollIntoView({ block: "nearest", behavior: "smooth" });
}

function show(result) {
  current = result;
  $("player").hidden = false;
  const facts = [result.voice, result.engine, result.seed !== undefined && `seed ${result.seed}`];
  $("player-about").textContent = facts.filter(Boolean).join(" · ");
  for (const button of document.querySelectorAll("[data-format]")) button.disabled = result.seed === undefined;
  draw(result);
  listSegments(result.segments);
}

function draw(result, total = 0) {
  const whole = (total || player.length) / RATE;
  wave.show(player.all(), { marks: result.segments.map((segment) => segment.start / whole), total });
  showPosition();
}

function listSegments(segments) {
  $("segments").hidden = segments.length < 2 && !segments[0]?.flags?.length;
  $("segments-summary").textContent = `${segments.length} segments`;
  $("segment-list").replaceChildren(
    ...segments.map((segment, index) => {
      const flags = [...(segment.flags ?? []), ...(segment.retries ? [`${segment.retries} retries`] : [])];
      const button = make(
        "button",
        { type: "button", className: "segment" },
        make("span", { className: "at", textContent: clock(segment.start) }),
        make("span", { className: "grow", textContent: segment.text ?? `Segment ${index + 1}, ${(segment.end - segment.start).toFixed(1)} s` }),
        ...flags.map((flag) => make("span", { className: "flag", textContent: String(flag).replaceAll("_", " ") }))
      );
      button.addEventListener("click", () => player.seek(segment.start + 0.001));
      return make("li", {}, button);
    })
  );
}

function toggle() {
  if (player.playing) player.pause();
  else player.play();
}

function showPosition() {
  const { position, duration } = player;
  $("position").textContent = clock(position);
  $("duration").textContent = clock(duration);
  $("play").classList.toggle("is-playing", player.playing);
  $("play").setAttribute("aria-label", player.playing ? "Pause" : "Play");
  const canvas = $("player-wave");
  canvas.setAttribute("aria-valuemax", duration.toFixed(1));
  canvas.setAttribute("aria-valuenow", position.toFixed(1));
  canvas.setAttribute("aria-valuetext", `${clock(position)} of ${clock(duration)}`);
  wave?.at(duration ? position / duration : 0);
  [...$("segment-list").children].forEach((item, index) => {
    const segment = current?.segments[index];
    const isCurrent = segment && position >= segment.start && position < segment.end && position > 0;
    item.firstElementChild.setAttribute("aria-current", Boolean(isCurrent));
  });
}

function startSeeking(canvas) {
  const toPointer = (event) => {
    const box = canvas.getBoundingClientRect();
    const shown = wave.total ? wave.total / RATE : player.duration;
    player.seek(Math.max(0, Math.min(1, (event.clientX - box.left - 10) / (box.width - 20))) * shown);
  };
  canvas.addEventListener("pointerdown", (event) => {
    seeking = true;
    canvas.setPointerCapture(event.pointerId);
    toPointer(event);
  });
  canvas.addEventListener("pointermove", (event) => seeking && toPointer(event));
  canvas.addEventListener("pointerup", () => (seeking = false));
  canvas.addEventListener("pointercancel", () => (seeking = false));
  const steps = { ArrowLeft: -2, ArrowRight: 2, ArrowDown: -2, ArrowUp: 2, PageDown: -10, PageUp: 10, Home: -1e9, End: 1e9 };
  canvas.addEventListener("keydown", (event) => {
    if (event.key === " " || event.key === "Enter") toggle();
    else if (event.key in steps) player.seek(player.position + steps[event.key]);
    else return;
    event.preventDefault();
  });
}

async function download(button) {
  const { format } = button.dataset;
  const name = `${slug(current.text.slice(0, 40))}.${format}`;
  if (format === "wav") {
    save(wavOf(current.samples, RATE), name);
    return;
  }
  button.disabled = true;
  try {
    // the same seed is the same speech: the server encodes it in the other format
    const response = await ask("/generate", {
      ...json({ ...current.job, seed: current.seed, format }),
      headers: { "Content-Type": "application/json", Accept: "audio/*" },
    });
    save(await response.blob(), name);
  } catch (error) {
    toast(error.message);
  } finally {
    button.disabled = false;
  }
}

function busy(on) {
  $("stop").hidden = !on;
  $("speak").setAttribute("aria-busy", on);
  if (on) $("speak-state").textContent = "Thinking…";
}
