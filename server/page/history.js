// Past results, in this browser's database: nothing is kept on the server.

import { RATE, clock, floats, ints } from "./audio.js";
import { $, question, toast } from "./dom.js";
import { Waveform } from "./waveform.js";

const MOST = 40;
let database = null;
let openResult = () => {};

function wait(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

const results = (mode) => database.transaction("results", mode).objectStore("results");

export async function startHistory(open) {
  openResult = open;
  $("history-clear").addEventListener("click", clear);
  try {
    const opening = indexedDB.open("voices", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("results", { keyPath: "created" });
    database = await wait(opening);
    for (const stored of await wait(results("readonly").getAll())) addRow(stored);
  } catch {
    database = null; // a private window: results last as long as the page
  }
  showEmptiness();
}

export async function remember({ samples, first, ...facts }) {
  const stored = { ...facts, first, pcm: ints(samples) };
  addRow(stored);
  showEmptiness();
  if (!database) return;
  try {
    await wait(results("readwrite").put(stored));
    const keys = await wait(results("readonly").getAllKeys());
    for (const key of keys.slice(0, Math.max(0, keys.length - MOST))) await forget(key);
  } catch {
    toast("This result could not be kept: the browser's storage is full. Download it, or clear past results.");
  }
}

async function forget(created) {
  if (database) await wait(results("readwrite").delete(created));
  document.querySelector(`.result[data-created="${created}"]`)?.remove();
  showEmptiness();
}

async function clear() {
  const sure = await question({ title: "Clear past results?", text: "They are removed from this browser.", ok: "Clear", danger: true });
  if (sure === null) return;
  if (database) await wait(results("readwrite").clear());
  $("history-list").replaceChildren();
  showEmptiness();
}

function addRow(stored) {
  const row = $("history-template").content.firstElementChild.cloneNode(true);
  row.dataset.created = stored.created;
  row.querySelector(".result-words").textContent = stored.text;
  const when = new Date(stored.created).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  row.querySelector(".result-about").textContent = [stored.voice, clock(stored.pcm.length / RATE), when].join(" · ");
  const [play, remove] = row.querySelectorAll("[data-act]");
  const words = stored.text.slice(0, 60);
  play.setAttribute("aria-label", `Play “${words}”`);
  remove.setAttribute("aria-label", `Remove “${words}”`);
  const samples = floats(stored.pcm);
  play.addEventListener("click", () => openResult({ ...stored, samples }));
  remove.addEventListener("click", () => forget(stored.created));
  $("history-list").prepend(row);
  new Waveform(row.querySelector("canvas")).show(samples);
}

function showEmptiness() {
  const any = $("history-list").children.length > 0;
  $("history-empty").hidden = any;
  $("history-clear").hidden = !any;
}
