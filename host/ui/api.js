// The one place that speaks HTTP with the host: paths, credentials, time limits, errors by what they ask for.

import * as session from "./session.js";

/** How long an answer may take. Actions wait for the host's event loop, uploads for a compiler. */
const READ_WITHIN = 10_000;
const ACT_WITHIN = 60_000;
const UPLOAD_WITHIN = 300_000;

/** The host said no, and why. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The host did not answer. */
export class Lost extends Error {}

/** A path of segments that came from outside: path`/connectors/${name}/pause`. */
export function path(literals, ...segments) {
  const encoded = segments.map((segment) => {
    const text = String(segment);
    // A browser resolves these, however they are written, and would ask for something else.
    if (text === "." || text === ".." || text === "") throw new Refused(0, `“${text}” cannot be asked for over HTTP`);
    return encodeURIComponent(text);
  });
  return String.raw({ raw: literals }, ...encoded);
}

export const get = (url) => call("GET", url, { within: READ_WITHIN });
export const put = (url) => call("PUT", url, { within: ACT_WITHIN });
export const post = (url, json) => call("POST", url, { json, within: ACT_WITHIN });
export const remove = (url) => call("DELETE", url, { within: ACT_WITHIN });

/** Sends the bytes of a plugin. */
export const upload = (url, bytes) =>
  call("POST", url, { body: bytes, type: "application/wasm", within: UPLOAD_WITHIN });

async function call(method, url, { json, body, type, within }) {
  for (;;) {
    const headers = { Accept: "application/json", ...session.headers() };
    if (json !== undefined) headers["Content-Type"] = "application/json";
    if (type) headers["Content-Type"] = type;
    const answer = await send(url, { method, headers, body: json === undefined ? body : JSON.stringify(json) }, within);
    if (answer.status !== 401 || !(await session.ask())) return read(answer);
  }
}

async function send(url, request, within) {
  try {
    // Credentials of the browser's own would make it ask for them in a window of its own.
    return await fetch(url, {
      ...request,
      credentials: "omit",
      cache: "no-store",
      signal: AbortSignal.timeout(within),
    });
  } catch (error) {
    throw lost(error, within);
  }
}

async function read(answer) {
  let text;
  try {
    text = await answer.text();
  } catch (error) {
    throw lost(error);
  }
  const parsed = parse(text);
  if (answer.ok && (text === "" || parsed !== undefined)) return parsed ?? null;
  if (answer.ok) throw new Refused(answer.status, `the answer to ${answer.url} is no JSON`);
  throw new Refused(answer.status, parsed?.message || `the host answered ${answer.status} ${answer.statusText}`.trim());
}

function lost(error, within) {
  const slow = error.name === "TimeoutError" && within;
  return new Lost(slow ? `there was no answer within ${within / 1000} s` : "the host does not answer");
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
