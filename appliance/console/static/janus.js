// A small client of the Janus API, over HTTP with a long poll or over WebSocket.

export class JanusError extends Error {
  constructor(message, code = 0) {
    super(message);
    this.code = code;
  }
}

const REPLY_TIMEOUT_MS = 10_000;
const EVENT_TIMEOUT_MS = 15_000;
const POLL_TIMEOUT_MS = 60_000;
const POLL_RETRIES = 3;
const KEEPALIVE_MS = 25_000;

const transaction = () => crypto.getRandomValues(new Uint32Array(3)).reduce((text, part) => text + part.toString(36), "");

/** Requests are POSTs; what the server has to say comes on a long poll, which also keeps the session alive. */
class HttpConnection {
  constructor(url) {
    this.url = url.replace(/\/+$/, "");
    this.onmessage = () => {};
    this.onlost = () => {};
    this.aborter = new AbortController();
  }

  async open() {}

  async send(message, { keepalive = false } = {}) {
    const { session_id: session, handle_id: handle } = message;
    const path = [this.url, session, handle].filter((part) => part !== undefined).join("/");
    let response;
    try {
      response = await fetch(path, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(message),
        keepalive,
        credentials: "omit",
        signal: keepalive ? undefined : AbortSignal.timeout(REPLY_TIMEOUT_MS),
      });
    } catch {
      throw new JanusError(`The gateway does not answer at ${this.url}. Is it running?`);
    }
    const text = await response.text();
    try {
      return JSON.parse(text);
    } catch {
      throw new JanusError(`The gateway answered ${this.url} with status ${response.status} and no JSON.`);
    }
  }

  follow(session) {
    this.poll(session);
  }

  async poll(session) {
    let failures = 0;
    while (!this.aborter.signal.aborted) {
      try {
        const signal = AbortSignal.any([this.aborter.signal, AbortSignal.timeout(POLL_TIMEOUT_MS)]);
        const response = await fetch(`${this.url}/${session}?maxev=10&rid=${Date.now()}`, { signal, credentials: "omit" });
        if (!response.ok) {
          this.onlost(response.status === 404 ? "The gateway no longer knows this session." : `Status ${response.status}.`);
          return;
        }
        const messages = await response.json();
        failures = 0;
        for (const message of Array.isArray(messages) ? messages : [messages]) this.onmessage(message);
      } catch {
        if (this.aborter.signal.aborted) return;
        failures += 1;
        if (failures > POLL_RETRIES) {
          this.onlost(`The gateway does not answer at ${this.url} any more.`);
          return;
        }
        await new Promise((resolve) => { setTimeout(resolve, 500 * failures); });
      }
    }
  }

  close() {
    this.aborter.abort();
  }
}

/** Everything in one socket; replies are told from the rest by their transaction. */
class WebSocketConnection {
  constructor(url) {
    this.url = url;
    this.onmessage = () => {};
    this.onlost = () => {};
    this.waiting = new Map();
    this.keepalive = null;
  }

  open() {
    return new Promise((resolve, reject) => {
      try {
        this.socket = new WebSocket(this.url, "janus-protocol");
      } catch (error) {
        reject(new JanusError(`${this.url}: ${error.message}`));
        return;
      }
      let opened = false;
      this.socket.onopen = () => { opened = true; resolve(); };
      this.socket.onclose = () => {
        clearInterval(this.keepalive);
        for (const { fail } of this.waiting.values()) fail(new JanusError("The connection to the gateway was lost."));
        this.waiting.clear();
        if (!opened) reject(new JanusError(`The gateway does not answer at ${this.url}. Is it running?`));
        else if (!this.closing) this.onlost(`The connection to ${this.url} was lost.`);
      };
      this.socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    });
  }

  receive(message) {
    const waiting = this.waiting.get(message.transaction);
    // An event that answers a request carries its transaction too; the first reply is never an event.
    if (waiting && message.janus !== "event") {
      this.waiting.delete(message.transaction);
      waiting.done(message);
    } else {
      this.onmessage(message);
    }
  }

  send(message) {
    if (this.socket.readyState !== WebSocket.OPEN) {
      return Promise.reject(new JanusError("The connection to the gateway was lost."));
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(message.transaction);
        reject(new JanusError(`The gateway did not answer ${message.janus} within ${REPLY_TIMEOUT_MS / 1000} s.`));
      }, REPLY_TIMEOUT_MS);
      this.waiting.set(message.transaction, {
        done: (reply) => { clearTimeout(timer); resolve(reply); },
        fail: (error) => { clearTimeout(timer); reject(error); },
      });
      this.socket.send(JSON.stringify(message));
    });
  }

  follow(session) {
    this.keepalive = setInterval(() => {
      this.send({ janus: "keepalive", session_id: session, transaction: transaction() }).catch(() => {});
    }, KEEPALIVE_MS);
  }

  close() {
    this.closing = true;
    clearInterval(this.keepalive);
    this.socket?.close();
  }
}

/** One session. `onlost(reason)` is called when it is gone without our having ended it. */
export class JanusSession {
  static async create(url) {
    const connection = url.startsWith("ws") ? new WebSocketConnection(url) : new HttpConnection(url);
    const session = new JanusSession(connection);
    await connection.open();
    const reply = await session.request({ janus: "create" });
    session.id = reply.data.id;
    connection.follow(session.id);
    return session;
  }

  constructor(connection) {
    this.connection = connection;
    this.handles = new Map();
    this.answers = new Map();
    this.onlost = () => {};
    connection.onmessage = (message) => this.receive(message);
    connection.onlost = (reason) => this.onlost(reason);
  }

  async request(fields, options) {
    const message = { ...fields, transaction: fields.transaction ?? transaction() };
    if (this.id !== undefined) message.session_id = this.id;
    const reply = await this.connection.send(message, options);
    if (reply.janus === "error") {
      throw new JanusError(reply.error?.reason ?? "The gateway refused the request.", reply.error?.code);
    }
    return reply;
  }

  receive(message) {
    if (message.janus === "keepalive") return;
    if (message.janus === "timeout") {
      this.onlost("The gateway ended the session: nothing was heard from this page for too long.");
      return;
    }
    const answer = message.janus === "event" ? this.answers.get(message.transaction) : undefined;
    if (answer) {
      this.answers.delete(message.transaction);
      answer(message);
    } else {
      this.handles.get(message.sender)?.receive(message);
    }
  }

  /** The event that will answer a request; it may come before the request's own reply. */
  answerTo(id) {
    let timer;
    const event = new Promise((resolve, reject) => {
      timer = setTimeout(() => reject(new JanusError(`No answer from the plugin within ${EVENT_TIMEOUT_MS / 1000} s.`)),
        EVENT_TIMEOUT_MS);
      this.answers.set(id, resolve);
    });
    event.catch(() => {});
    return {
      event,
      forget: () => {
        clearTimeout(timer);
        this.answers.delete(id);
      },
    };
  }

  async attach(plugin, opaqueId) {
    const reply = await this.request({ janus: "attach", plugin, opaque_id: opaqueId });
    const handle = new JanusHandle(this, reply.data.id);
    this.handles.set(handle.id, handle);
    return handle;
  }

  /** `leaving`: the page goes away; the request is left to the browser. */
  async destroy({ leaving = false } = {}) {
    const request = this.request({ janus: "destroy" }, { keepalive: leaving });
    if (!leaving) await request.catch(() => {});
    else request.catch(() => {});
    if (!leaving) this.connection.close();
  }
}

/** One plugin handle. `on` holds a function for each notification by its name: webrtcup, media, hangup, event, ... */
class JanusHandle {
  constructor(session, id) {
    this.session = session;
    this.id = id;
    this.on = {};
  }

  receive(message) {
    this.on[message.janus]?.(message);
  }

  /** Resolves with the plugin's event that answers; throws what the plugin calls an error. */
  async message(body, jsep) {
    const id = transaction();
    const answer = this.session.answerTo(id);
    try {
      const reply = await this.session.request({ janus: "message", handle_id: this.id, body, jsep, transaction: id });
      const event = reply.janus === "success" ? reply : await answer.event;
      const data = event.plugindata?.data ?? {};
      if (data.error_code) throw new JanusError(data.error ?? "The plugin refused the request.", data.error_code);
      return event;
    } finally {
      answer.forget();
    }
  }

  trickle(candidate) {
    const value = candidate ? candidate.toJSON() : { completed: true };
    return this.session.request({ janus: "trickle", handle_id: this.id, candidate: value });
  }

  hangup() {
    return this.session.request({ janus: "hangup", handle_id: this.id });
  }
}
