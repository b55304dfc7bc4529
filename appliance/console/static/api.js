// The console's own JSON and its live stream.

export class ApiError extends Error {
  constructor(message, status = 0, code = "unreachable") {
    super(message);
    this.status = status;
    this.code = code;
  }
}

let loginWanted = () => {};

/** What to do when the server says that nobody has logged in (any more). */
export function onLoginWanted(action) {
  loginWanted = action;
}

async function ask(path, { headers, signal, method, body: sent } = {}) {
  let response;
  try {
    response = await fetch(path, { headers, signal, method, body: sent, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The console does not answer. Is the collector running?");
  }
  if (response.status === 304) return { response, body: null };
  let body = null;
  try {
    body = await response.json();
  } catch {
    throw new ApiError(`The console answered with status ${response.status} and no JSON.`, response.status, "no_json");
  }
  if (response.status === 401 && path !== "/api/login") loginWanted();
  if (!response.ok) {
    throw new ApiError(body?.error?.message ?? `The console answered with status ${response.status}.`, response.status,
      body?.error?.code);
  }
  return { response, body };
}

/** Sends `value` as JSON, or nothing. */
export const post = async (path, value) => (await ask(path, { method: "POST", body: value === undefined ? undefined : JSON.stringify(value) })).body;

const one = (correlationId) => `/api/calls/${encodeURIComponent(correlationId)}`;

const query = (values) => {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== null && value !== undefined && value !== "") parameters.set(name, String(value));
  }
  return parameters.toString();
};

export const getConfig = async () => (await ask("/api/config")).body;
export const getCalls = async (filter, signal) => (await ask(`/api/calls?${query(filter)}`, { signal })).body;
export const getFleet = async (filter, signal) => (await ask(`/api/fleet?${query(filter)}`, { signal })).body;
export const getMembers = async (filter, signal) => (await ask(`/api/members?${query(filter)}`, { signal })).body;
export const getHep = async (correlationId) => (await ask(`${one(correlationId)}/hep`)).body;
export const getEvents = async (correlationId, page) => (await ask(`${one(correlationId)}/events?${query(page)}`)).body;
export const analyse = async (file) => (await ask(`/api/analyse?${query({ name: file.name })}`, { method: "POST", body: file })).body;
export const bundleUrl = (correlationId) => `${one(correlationId)}/bundle`;
export const setRecording = async (correlationId, on) => (await ask(`${one(correlationId)}/record`, { method: on ? "POST" : "DELETE" })).body;
const server = (name) => `/api/servers/${encodeURIComponent(name)}`;
export const getServers = async () => (await ask("/api/servers")).body;
export const getServer = async (name, find) => (await ask(`${server(name)}?${query({ find })}`)).body;
export const getSession = async (name, session) => (await ask(`${server(name)}/sessions/${session}`)).body;
export const getHandle = async (name, session, handle) => (await ask(`${server(name)}/sessions/${session}/handles/${handle}`)).body;
export const setServer = (name, setting, value) => post(`${server(name)}/settings`, { name: setting, value });
/** Hangs a handle up, or ends a whole session. */
export const stop = (name, session, handle) =>
  post(`${server(name)}/sessions/${session}/${handle === undefined ? "destroy" : `handles/${handle}/hangup`}`);
export const hangUp = (correlationId) => post(`${one(correlationId)}/hangup`);
export const downloadUrl = (correlationId) => `${one(correlationId)}/events.jsonl`;

/** Explains a call anew from its file: its bundle, or its events where nothing makes bundles. */
export async function replay(correlationId) {
  for (const [url, name] of [[bundleUrl(correlationId), "bundle.zip"], [downloadUrl(correlationId), "events.jsonl"]]) {
    const response = await fetch(url, { credentials: "same-origin" });
    if (response.ok) return { name, ...(await analyse(new File([await response.blob()], name))) };
  }
  throw new ApiError("Nothing is kept of this call that could be replayed.", 404);
}

/** The call with its explanation and a tag; null when nothing has changed since `tag`. */
export async function getCall(correlationId, tag = null, signal = undefined) {
  const headers = tag ? { "If-None-Match": tag } : {};
  const { response, body } = await ask(one(correlationId), { headers, signal });
  return body === null ? null : { ...body, tag: response.headers.get("ETag") };
}

/**
 * Live updates while the page is visible: on.calls(summaries), on.reload(), on.call(), on.state("live" | "lost").
 * A hidden page closes its stream, because a browser allows six connections to a server, and catches up on return.
 */
export function watch(correlationId, on) {
  let source = null;
  let retry = null;
  const open = () => {
    source = new EventSource(`/api/live?${query({ call: correlationId })}`);
    source.addEventListener("open", () => on.state?.("live"));
    source.addEventListener("error", () => {
      on.state?.("lost");
      // An answer that is no stream (503: too many pages) ends the source for good; a broken one it mends by itself.
      // One that was refused because the login has ended says so when the page asks for its data again.
      if (source.readyState === EventSource.CLOSED) {
        retry = setTimeout(open, 10_000);
        on.reload?.();
        on.call?.();
      }
    });
    source.addEventListener("calls", (message) => on.calls?.(JSON.parse(message.data)));
    source.addEventListener("reload", () => on.reload?.());
    source.addEventListener("call", () => on.call?.());
  };
  const close = () => {
    clearTimeout(retry);
    source?.close();
    source = null;
  };
  const turn = () => {
    if (document.hidden) close();
    else if (source === null) {
      open();
      on.reload?.();
      on.call?.();
    }
  };
  document.addEventListener("visibilitychange", turn);
  if (!document.hidden) open();
  return () => {
    document.removeEventListener("visibilitychange", turn);
    close();
  };
}
