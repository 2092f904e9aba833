// Calls of the server: problems as errors, a queue that is full waited for, a token asked for where one is needed.

import { signedIn } from "./login.js";

const MOST_TRIES = 60;

/** What the server refused, in its words: RFC 9457, with the file or the field that it is about. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The server answered ${status}.`);
    this.status = status;
    this.file = body.file ?? null;
    this.field = body.field ?? null;
  }
}

/** A key that makes a request that is sent again the same request. */
export function requestKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID is missing where the page is not secure
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    }, { once: true });
  });
}

async function refused(response) {
  const body = await response.json().catch(() => ({}));
  return new Problem(response.status, typeof body === "object" && body !== null ? body : {});
}

async function sent(path, options) {
  try {
    return await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "The server does not answer. Is `synthprint serve` still running?" });
  }
}

/** The response to one request; what is to be asked again later is waited for, 401 asks for a token. */
export async function request(method, path, { json, form, signal, key, keepalive } = {}) {
  const headers = { Accept: "application/json" };
  if (json !== undefined) headers["Content-Type"] = "application/json";
  if (method === "POST") headers["Idempotency-Key"] = key ?? requestKey();
  const body = json === undefined ? form : JSON.stringify(json);
  for (let tries = 1; ; tries += 1) {
    const response = await sent(path, { method, headers, body, signal, keepalive });
    const wait_s = Number(response.headers.get("Retry-After")); // the queue is full, or this key is being answered
    if ([409, 429].includes(response.status) && wait_s && tries < MOST_TRIES) {
      await pause(wait_s, signal);
    } else if (response.status === 401 && tries < MOST_TRIES) {
      await signedIn();
    } else if (!response.ok) {
      throw await refused(response);
    } else {
      return response;
    }
  }
}

/** The JSON that a request is answered with; null where the answer is empty. */
export async function call(method, path, options) {
  const response = await request(method, path, options);
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

export const part = encodeURIComponent;
