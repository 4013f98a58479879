// The server's API: one place that knows addresses, the key, and what a failure looks like.

const STORE = "api-key";

export class ApiError extends Error {
  /** status 0: the server was not reached. */
  constructor(message, status, code = "") {
    super(message);
    this.status = status;
    this.code = code;
  }
}

function stores() {
  const found = [];
  for (const name of ["sessionStorage", "localStorage"]) {
    try {
      found.push(window[name]);
    } catch {
      // forbidden by the browser: the key lasts as long as the page
    }
  }
  return found;
}

let key = stores().map((store) => store.getItem(STORE)).find(Boolean) ?? "";

export const currentKey = () => key;

export function keepKey(value, remember) {
  key = value.trim();
  const [session, local] = stores();
  session?.removeItem(STORE);
  local?.removeItem(STORE);
  if (key) (remember ? local : session)?.setItem(STORE, key);
}

/** The response, or an ApiError in the server's words. */
export async function ask(path, { headers = {}, ...options } = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...(key && { "X-API-Key": key }), ...headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server cannot be reached. Is it still running?", 0);
  }
  if (!response.ok) throw await failureOf(response);
  return response;
}

export const askJson = async (path, options) => (await ask(path, options)).json();

export const json = (body, method = "POST") => ({
  method,
  body: JSON.stringify(body),
  headers: { "Content-Type": "application/json" },
});

async function failureOf(response) {
  let line = `The server answered ${response.status}.`;
  let code = "";
  try {
    const { error } = await response.json();
    line = error.message ?? error;
    code = error.code ?? "";
  } catch {
    // not ours: a proxy's page, say
  }
  return new ApiError(inWords(line), response.status, code);
}

/** "CODE: what was wrong; what is allowed; what to do" as sentences for people. */
export function inWords(line) {
  const parts = line.replace(/^[A-Z_]+: /, "").split("; ");
  return parts.map((part) => `${part.charAt(0).toUpperCase()}${part.slice(1)}.`.replace(/([.!?…])\.$/, "$1")).join(" ");
}

/** The objects of a stream of server-sent events. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const frames = (rest + value).split("\n\n");
    rest = frames.pop();
    for (const frame of frames) {
      const data = frame.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
      if (data.length) yield JSON.parse(data.join("\n"));
    }
  }
}
