// The voices: the list, the choice, and what can be done with one.

import { ask, askJson, json } from "./api.js";
import { clock } from "./audio.js";
import { $, make, question, save, toast } from "./dom.js";

const PAGE = 50;
let token = null;
let chosen = "";
let asked = 0;
const names = new Map(); // voice_id: name
const listening = new Audio();
let playing = "";

export const chosenVoice = () => chosen;
export const nameOf = (voiceId) => names.get(voiceId) ?? "Built-in voice";

export function choose(voiceId) {
  chosen = voiceId;
  const select = $("voice");
  if (voiceId && ![...select.options].some((option) => option.value === voiceId)) {
    select.append(make("option", { value: voiceId, textContent: nameOf(voiceId) }));
  }
  select.value = voiceId;
  for (const row of document.querySelectorAll(".voice")) {
    const isChosen = row.dataset.id === voiceId;
    row.classList.toggle("is-chosen", isChosen);
    row.querySelector(".voice-use").setAttribute("aria-pressed", isChosen);
  }
}

export async function loadVoices({ more = false } = {}) {
  const turn = ++asked;
  const prefix = $("voice-search").value.trim();
  const query = new URLSearchParams({ page_size: PAGE });
  if (prefix) query.set("name_prefix", prefix);
  if (more && token) query.set("page_token", token);
  const page = await askJson(`/v1/voices?${query}`);
  if (turn !== asked) return; // the search has moved on
  if (!more) $("voice-list").replaceChildren();
  for (const voice of page.voices) addRow(voice);
  token = page.next_page_token;
  $("voices-more").hidden = !token;
  $("voices-empty").hidden = page.total > 0;
  $("voices-empty").textContent = prefix ? "No voice begins like that." : "No voices yet. Record one above.";
  if (!prefix) {
    $("voice-count").textContent = page.total || "";
    if (!more) $("voice").replaceChildren(make("option", { value: "", textContent: "Built-in voice" }));
    for (const voice of page.voices) {
      $("voice").append(make("option", { value: voice.voice_id, textContent: voice.speaker_name }));
    }
  }
  choose(chosen);
}

function addRow(voice) {
  const { voice_id: id, speaker_name: name } = voice;
  names.set(id, name);
  const row = $("voice-template").content.firstElementChild.cloneNode(true);
  row.dataset.id = id;
  row.querySelector(".voice-name").textContent = name;
  row.querySelector(".voice-about").append(about(voice), make("span", { className: "voice-date", textContent: since(voice) }));
  row.querySelector(".avatar").textContent = [...name][0]?.toUpperCase() ?? "";
  row.querySelector(".avatar").style.setProperty("--hue", parseInt(id.slice(0, 4), 16) % 360 || 245);
  const use = row.querySelector(".voice-use");
  use.addEventListener("click", () => choose(id));
  const labels = { preview: `Preview ${name}`, rename: `Rename ${name}`, download: `Download ${name}`, delete: `Delete ${name}` };
  for (const button of row.querySelectorAll("[data-act]")) {
    button.setAttribute("aria-label", labels[button.dataset.act]);
    button.title = labels[button.dataset.act];
    button.addEventListener("click", () => guarded(ACTIONS[button.dataset.act], voice, button));
  }
  $("voice-list").append(row);
}

function about({ gender, duration }) {
  const parts = [];
  if (gender && gender !== "unknown") parts.push(gender);
  if (duration) parts.push(clock(duration));
  return parts.join(" · ");
}

function since({ created_at: created }) {
  const date = new Date(created);
  if (!created || Number.isNaN(date.valueOf())) return "";
  return ` · ${date.toLocaleDateString(undefined, { dateStyle: "medium" })}`;
}

async function guarded(action, ...given) {
  try {
    await action(...given);
  } catch (error) {
    toast(error.message);
  }
}

const address = (id, part = "") => `/v1/voices/${encodeURIComponent(id)}${part}`;

const ACTIONS = {
  async preview(voice, button) {
    await preview(voice.voice_id, button);
  },
  async rename(voice) {
    const name = await question({ title: `Rename ${voice.speaker_name}`, input: voice.speaker_name, ok: "Rename" });
    if (!name || name === voice.speaker_name) return;
    await ask(address(voice.voice_id), json({ new_name: name }, "PATCH"));
    await loadVoices();
  },
  async download(voice) {
    const response = await ask(address(voice.voice_id, "/embedding"));
    save(await response.blob(), `${voice.voice_id}.pkl.gz`);
  },
  async delete(voice) {
    const text = "Its recording is removed for good, and nothing can be spoken in it any more.";
    const sure = await question({ title: `Delete ${voice.speaker_name}?`, text, ok: "Delete", danger: true });
    if (sure === null) return;
    await ask(address(voice.voice_id), { method: "DELETE" });
    if (chosen === voice.voice_id) choose("");
    names.delete(voice.voice_id);
    await loadVoices();
    $("voices-title").scrollIntoView({ block: "nearest" });
  },
};

/** Plays a sentence in the voice; asked again while it plays, it stops. */
export async function preview(voiceId, button) {
  if (playing === voiceId && !listening.paused) {
    listening.pause();
    return;
  }
  button.disabled = true;
  try {
    const builtin = { text: "Hello! This is how I sound when I read a sentence aloud.", format: "mp3", seed: 1 };
    const response = voiceId
      ? await ask(address(voiceId, "/preview"))
      : await ask("/generate", { ...json(builtin), headers: { "Content-Type": "application/json", Accept: "audio/*" } });
    URL.revokeObjectURL(listening.src);
    listening.src = URL.createObjectURL(await response.blob());
    playing = voiceId;
    await listening.play();
  } finally {
    button.disabled = false;
  }
}

export function startVoices() {
  let timer;
  $("voice-search").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => guarded(loadVoices), 200);
  });
  $("voices-more").addEventListener("click", () => guarded(loadVoices, { more: true }));
  $("voice").addEventListener("change", () => choose($("voice").value));
  $("voice-preview").addEventListener("click", () => guarded(preview, chosen, $("voice-preview")));
}
