// The network test: devices, the way to the gateway, twenty seconds of echo; then a plain result and a code for support.

import { post } from "./api.js";
import { EchoCall } from "./echo.js";
import { h, icon, replace } from "./dom.js";
import { bitrate, ms, percent } from "./format.js";
import { loaded } from "./load.js";
import { LIMITS, conclude, figures, look } from "./measure.js";
import { capture } from "./media.js";
import { inUse, offered, probe } from "./ways.js";

const SECONDS = 20;
const CONNECT_MS = 35_000;
const RELAY_MS = 5_000;
const EVERY_MS = 1_000;
/** Of the packets under load: congestion control halves its rate for that, and reads such a line low. */
const DROPPED = 0.1;
const TELL_TRIES = 5;
const MAX_SENTENCE = 300;
// Without letters that are read as digits; support hears it on the telephone.
const LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CODE_LENGTH = 6;

const newCode = () => [...crypto.getRandomValues(new Uint8Array(CODE_LENGTH))].map((byte) => LETTERS[byte % LETTERS.length]).join("");
const ratio = (percentage) => (percentage === null ? null : Math.min(1, Math.max(0, percentage / 100)));
const wait = (time) => new Promise((resolve) => { setTimeout(resolve, time); });

/** What is sent where there is no microphone or camera: a tone and a picture that moves. */
function madeUp() {
  const canvas = h("canvas", { width: 640, height: 480 });
  const pen = canvas.getContext("2d");
  let step = 0;
  const timer = setInterval(() => {
    step += 1;
    for (let index = 0; index < 48; index += 1) {
      pen.fillStyle = `hsl(${(index * 31 + step * 17) % 360} 70% 50%)`;
      pen.fillRect((index % 8) * 80, Math.floor(index / 8) * 80, 80, 80);
    }
  }, 66);
  const audio = new AudioContext();
  const tone = audio.createOscillator();
  const out = audio.createMediaStreamDestination();
  tone.connect(out);
  tone.start();
  const stream = new MediaStream([...canvas.captureStream(15).getTracks(), ...out.stream.getTracks()]);
  return { stream, end: () => { clearInterval(timer); audio.close(); } };
}

/** One test, shown in `element`. */
export class NetworkTest {
  constructor(element, { config, seconds = SECONDS, microphone = "", camera = "" }) {
    this.config = config;
    this.seconds = seconds;
    this.choice = [microphone, camera];
    this.code = newCode();
    this.over = false;
    /** What was found, as support is told: udp, tcp and turn are ok, fail, none or untested. */
    this.found = { udp: "untested", tcp: "none", turn: "none", used: null };
    this.rows = h("tbody");
    this.progress = h("progress", { max: seconds, value: 0, "aria-label": "Echo" });
    this.said = h("div", { class: "test-result", role: "status" }, h("p", { class: "muted" }, "Testing …"));
    replace(element, this.said, this.progress,
      h("table", { class: "test-steps" }, h("caption", { class: "visually-hidden" }, "What was tested"), this.rows));
  }

  row(tone, what, text) {
    this.rows.append(h("tr", {}, h("td", {}, h("span", { class: `tone-${tone}` }, icon(tone), h("span", { class: "visually-hidden" }, tone))),
      h("th", { scope: "row" }, what), h("td", {}, text)));
  }

  /** Ends with a result, whatever happens. */
  async run() {
    let media = { stream: null, end: () => {} };
    let call = null;
    try {
      media = await this.devices();
      call = await this.connect(media.stream);
      if (call !== null) {
        await this.echo(call);
      }
      await this.relay();
      await this.tell();
    } catch (error) {
      this.row("fail", "Test", error.message);
      this.result("fail", `The test could not be finished: ${error.message}`);
    } finally {
      await call?.hangUp("The test is over.").catch(() => {});
      for (const track of media.stream?.getTracks() ?? []) track.stop();
      media.end();
      this.progress.hidden = true;
      this.over = true;
    }
  }

  async devices() {
    try {
      const stream = await capture(...this.choice);
      if (stream !== null) {
        this.row("ok", "Devices", stream.getTracks().map((track) => track.label || track.kind).join(", "));
        return { stream, end: () => {} };
      }
      this.row("info", "Devices", "None was chosen; a tone and a picture are sent instead.");
    } catch (error) {
      this.deviceProblem = error.message;
      this.row("warn", "Devices", `${error.message} A tone and a picture are sent instead.`);
    }
    return madeUp();
  }

  /** The call once it is up, or null when it could not be: then the result says why. */
  async connect(stream) {
    const began = performance.now();
    let settle = () => {};
    const outcome = new Promise((resolve) => { settle = resolve; });
    const call = new EchoCall({
      state: (text) => { if (text === "In the call") settle(""); if (text === "No connection") settle(text); },
      ended: (reason) => settle(reason), remote: () => {}, text: () => {}, note: () => {}, data: () => {},
    });
    this.call = call;
    try {
      await call.place({ url: this.config.janus_http, stream, bitrate: 0, opaqueId: `test-${this.code}` });
    } catch (error) {
      const reached = call.session !== undefined;
      this.row("fail", "Gateway", error.message);
      this.result("fail", reached ? `The gateway was reached, but refused: ${error.message}`
        : `This page can't reach the gateway: ${error.message}`, reached);
      await call.hangUp(error.message).catch(() => {});
      return null;
    }
    this.row("ok", "Gateway", `reached at ${this.config.janus_http}, it answered in ${ms(performance.now() - began)}`);
    const tried = performance.now();
    const why = await Promise.race([outcome, wait(CONNECT_MS).then(() => "No connection")]);
    const where = offered(call.peer.remoteDescription?.sdp ?? "");
    where.udp ??= "the gateway's media port";
    if (why !== "") {
      this.found.udp = "fail";
      this.row("fail", "UDP", `No answer from ${where.udp}. ${why}`);
      if (where.tcp) {
        this.found.tcp = "fail";
        this.row("fail", "TCP", `No answer from ${where.tcp} either.`);
        this.result("fail", `Neither UDP nor TCP gets through between you and ${where.udp}: probably a firewall, or a VPN. Calls can't work on this network.`);
      } else {
        this.row("info", "TCP", "This gateway takes media over UDP only: there is no fall-back to TCP.");
        this.result("fail", `UDP does not get through between you and ${where.udp}: probably a firewall, or a VPN. Calls can't work on this network.`);
      }
      await call.hangUp(why).catch(() => {});
      return null;
    }
    const after = ms(performance.now() - tried);
    this.found.used = await inUse(call.peer);
    if (this.found.used === "tcp") {
      this.found.udp = "fail";
      this.found.tcp = "ok";
      this.row("fail", "UDP", `No answer from ${where.udp}: probably a firewall, or a VPN.`);
      this.row("ok", "TCP", `${where.tcp} answers after ${after}: your calls go over TCP on this network.`);
      return call;
    }
    const { pair } = await look(call.peer);
    const [own] = pair ?? [];
    this.found.udp = "ok";
    this.row("ok", "UDP", `${where.udp} answers after ${after}${own ? `; you come from a ${own.candidateType} address` : ""}`);
    await this.fallBack(where.tcp);
    return call;
  }

  /** Whether media could go over TCP where UDP is blocked: tried beside the call. */
  async fallBack(where) {
    if (!where) {
      this.row("info", "TCP", "Not needed. This gateway takes media over UDP only: where that is blocked there is no fall-back to TCP.");
      return;
    }
    const took = await probe("tcp", { url: this.config.janus_http, opaqueId: `test-${this.code}-tcp` });
    this.found.tcp = took === null ? "fail" : "ok";
    if (took === null) this.row("warn", "TCP", `Not needed, but there is no fall-back: ${where} does not answer over TCP.`);
    else this.row("ok", "TCP", `Not needed, but there as a fall-back: ${where} answers over TCP too, after ${ms(took)}.`);
  }

  async echo(call) {
    const looks = [];
    for (let second = 0; second <= this.seconds && !call.over; second += 1) {
      looks.push(await look(call.peer));
      this.progress.value = second;
      if (second < this.seconds) await wait(EVERY_MS);
    }
    const found = figures(looks);
    const each = (up, down, text) => `${text(up)} from you, ${text(down)} to you`;
    const within = (limit, ...values) => (values.some((value) => value > limit) ? "warn" : "ok");
    this.row(within(LIMITS.rttMs, found.rtt), "Round trip", ms(found.rtt));
    this.row(within(LIMITS.lossPercent, found.lossUp, found.lossDown), "Loss", each(found.lossUp, found.lossDown, percent));
    this.row(within(LIMITS.jitterMs, found.jitterUp, found.jitterDown), "Jitter", each(found.jitterUp, found.jitterDown, ms));
    const lost = call.over;
    await call.hangUp("The test is over.");
    const load = lost ? null : await this.load();
    const [up, down] = load === null ? [found.bitrateUp, found.bitrateDown] : [load.up, load.down];
    found.estimate = load?.estimate ?? found.estimate;
    this.row(within(-LIMITS.bitrate, -up), "Bandwidth", `${load === null ? "" : "At least "}${each(up, down, bitrate)}`
      + `${load === null ? " carried" : `, tried for ${this.loadSeconds} s`}${found.estimate === null ? "" : `; your way out has room for about ${bitrate(found.estimate)}`}`
      + `${load?.dropped > DROPPED ? ". It drops at once what is too much, so that it may carry up to twice what is read here" : ""}`);
    Object.assign(this.found, {
      seconds: found.seconds, rtt_ms: found.rtt, loss_up: ratio(found.lossUp), loss_down: ratio(found.lossDown),
      jitter_up_ms: found.jitterUp, jitter_down_ms: found.jitterDown, bitrate_up_bps: found.bitrateUp,
      bitrate_down_bps: found.bitrateDown, estimate_bps: found.estimate, load_up_bps: load?.up ?? null, load_down_bps: load?.down ?? null,
      load_dropped: load?.dropped ?? null,
    });
    if (!this.deviceProblem && this.choice[0] !== "none" && looks.every((one) => one.level === 0)) {
      this.row("warn", "Microphone", "No sound came from it: it may be muted, or another one may be meant.");
    }
    if (lost) {
      this.result("fail", "The connection was lost during the test.");
      return;
    }
    const { tone, text } = conclude(found, this.found.used);
    const device = this.deviceProblem ? ` But: ${this.deviceProblem}` : "";
    this.result(device && tone === "ok" ? "warn" : tone, text + device);
  }

  /** What the way carries, or null where the server gives no leave: many test at a time. */
  async load() {
    try {
      const leave = await post(`/api/test/${this.code}/load`);
      this.loadSeconds = Math.min(leave.seconds, this.seconds);
      return await loaded({ ...leave, seconds: this.loadSeconds, url: this.config.janus_http, opaqueId: `test-${this.code}-load` });
    } catch {
      return null;
    }
  }

  /** Keeps what was found with the call, for whoever opens the code. Without it there is still what the server saw. */
  async tell() {
    if (!this.stored) return;
    for (let tries = 0; tries < TELL_TRIES; tries += 1) {
      try {
        await post(`/api/test/${this.code}`, this.found);
        return;
      } catch (error) {
        // The store may not have the call yet.
        if (error.status !== 404) return;
        await wait(EVERY_MS);
      }
    }
  }

  /** Whether the configured TURN server gives out an address; that alone shows that it is reached and lets one in. */
  async relay() {
    const { turn } = this.config;
    if (!turn) {
      this.row("info", "TURN", "None is configured.");
      return;
    }
    const peer = new RTCPeerConnection({ iceServers: [turn], iceTransportPolicy: "relay" });
    try {
      peer.createDataChannel("test");
      const relayed = new Promise((resolve) => {
        peer.onicecandidate = ({ candidate }) => { if (candidate === null || candidate.type === "relay") resolve(candidate); };
      });
      await peer.setLocalDescription();
      const candidate = await Promise.race([relayed, wait(RELAY_MS).then(() => null)]);
      this.found.turn = candidate ? "ok" : "fail";
      if (candidate) this.row("ok", "TURN", `${turn.urls.join(", ")} gives the address ${candidate.address} over ${candidate.relayProtocol ?? "UDP"}`);
      else this.row("fail", "TURN", `${turn.urls.join(", ")} gave no address: it can't be reached, or does not let you in.`);
    } finally {
      peer.close();
    }
  }

  result(tone, text, stored = true) {
    Object.assign(this.found, { tone, sentence: text.slice(0, MAX_SENTENCE) });
    this.stored = stored;
    replace(this.said,
      h("p", { class: "test-sentence" }, h("span", { class: `tone-${tone}` }, icon(tone)), h("strong", {}, text)),
      stored ? h("p", {}, "Code for support: ", h("code", { class: "test-code" }, this.code),
        h("span", { class: "muted" }, " With it they see what the server saw of this test, and what is said here.")) : null);
  }
}
