// Talks to the control API (docs/api.md) with the session's cookie. Start at `call`.

/** A failure as the daemon tells it (RFC 9457), or as the browser does where there was no answer. */
export class Failure extends Error {
  constructor(problem) {
    super(problem.detail || problem.title || "");
    this.status = problem.status || 0;
    this.code = problem.code || "";
    this.hint = problem.hint || "";
    this.transfer = problem.transfer;
  }
}

let csrf = "";

async function send(method, path, body) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET" && csrf) headers["X-Csrf-Token"] = csrf;
  const init = { method, headers, credentials: "same-origin", cache: "no-store" };
  if (body !== undefined) init.body = JSON.stringify(body);
  const response = await fetch(path, init);
  if (response.status === 204) return undefined;
  const text = await response.text();
  let value = {};
  try { value = text ? JSON.parse(text) : {}; } catch { value = { title: response.statusText }; }
  if (!response.ok) throw new Failure({ status: response.status, ...value });
  return value;
}

/** One request under `/api/v1`; gives the answer's JSON, or throws `Failure` or `TypeError` (no answer). */
export function call(method, path, body) {
  return send(method, `/api/v1${path}`, body);
}

/** Opens a session: by the link's one-time token, or by the cookie of an earlier one. Gives its scope. */
export async function enter(token) {
  const session = token ? await call("POST", "/session", { token }) : await call("GET", "/session");
  csrf = session.csrf_token;
  return session.scope;
}

/** Ends the session. */
export async function leave() {
  await call("DELETE", "/session");
  csrf = "";
}

/** Bytes as base64, as the API takes torrents. */
export async function base64(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text);
}
