// Starts the page: theme, key, the server's state, and the parts.

import { askJson, currentKey, keepKey } from "./api.js";
import { $, toast } from "./dom.js";
import { startEnrolment } from "./enrol.js";
import { startHistory } from "./history.js";
import { open, startSpeaking } from "./speak.js";
import { loadVoices, startVoices } from "./voices.js";

const AGAIN_MS = 2000;

function startTheme() {
  const show = (theme) => {
    const names = { auto: "automatic", light: "light", dark: "dark" };
    $("theme").setAttribute("aria-label", `Theme: ${names[theme]}`);
    $("theme").title = `Theme: ${names[theme]}`;
  };
  show(window.currentTheme());
  $("theme").addEventListener("click", () => show(window.nextTheme()));
}

function startKey() {
  $("key-open").addEventListener("click", () => askForKey());
  $("key-cancel").addEventListener("click", () => $("key-dialog").close("cancel"));
  $("ask-cancel").addEventListener("click", () => $("ask-dialog").close("cancel"));
  $("key-dialog").addEventListener("close", () => {
    if ($("key-dialog").returnValue !== "save") return;
    keepKey($("key").value, $("key-remember").checked);
    connect();
  });
}

function askForKey(why) {
  if (why) $("key-why").textContent = why;
  $("key").value = currentKey();
  if (!$("key-dialog").open) $("key-dialog").showModal();
}

function status(state, text) {
  $("status").dataset.state = state;
  $("status-text").textContent = text;
}

async function connect() {
  try {
    const health = await askJson("/health");
    status("ready", `Ready · ${health.engine} on ${health.device}`);
    await loadVoices();
  } catch (error) {
    if (error.status === 503) {
      status("starting", "Starting…");
      setTimeout(connect, AGAIN_MS);
    } else if (error.status === 401) {
      status("failed", "API key needed");
      askForKey(error.message);
    } else {
      status("failed", error.status ? "Not available" : "Not reachable");
      toast(error.message);
    }
  }
}

startTheme();
startKey();
startVoices();
startEnrolment();
startSpeaking();
startHistory(open);
connect();
