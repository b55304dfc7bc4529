// The page of one call, in the order in which a person asks: what happened, where, how do you know, show me.

import { showAnalysed } from "./analyse.js";
import { bundleUrl, downloadUrl, getCall, getConfig, hangUp, replay, setRecording, watch } from "./api.js";
import { confirmButton, copyButton, h, replace } from "./dom.js";
import { EventList } from "./events.js";
import { clock, duration, fill, moment, offset } from "./format.js";
import { HepList } from "./hep.js";
import { Ladder } from "./ladder.js";
import { onEvery, route, showConnection } from "./page.js";
import { showCandidates, showDtls, showPairs } from "./pairs.js";
import { showPhases, tickPhases } from "./phases.js";
import { Plots } from "./plots.js";
import { showDescriptions } from "./sdp.js";
import { mayOperate } from "./session.js";
import { getFigures, isTest, showFigures } from "./testfigures.js";
import { showVerdict, verdictWord } from "./verdict.js";

const SECTIONS = [
  ["verdict", "Verdict"], ["phases", "Phases"], ["evidence", "Evidence"], ["path", "Path"], ["media", "Media"],
  ["sdp", "Offer and answer"], ["ladder", "Ladder"], ["events", "Events"], ["hep", "HEP packets"],
];

/** A network test's call has one more, behind the verdict. */
const sectionsOf = (call) => (isTest(call) ? [SECTIONS[0], ["test", "Network test"], ...SECTIONS.slice(1)] : SECTIONS);

const LISTS_EVERY_MS = 5_000;

/** Shows the call in `main`; returns what ends it. */
export function showCall(main, correlationId) {
  document.title = `Call ${correlationId}`;
  const page = new CallPage(main, correlationId);
  page.load();
  const stopWatching = watch(correlationId, { call: () => page.load(), state: showConnection });
  const stopTicking = onEvery(1000, () => page.tick());
  return () => {
    stopWatching();
    stopTicking();
    page.close();
  };
}

class CallPage {
  constructor(main, correlationId) {
    this.main = main;
    this.correlationId = correlationId;
    this.data = null;
    this.links = {};
    this.loading = false;
    this.again = false;
    this.closed = false;
    this.drawn = {};
    replace(main, h("p", { class: "notice", role: "status" }, "Loading …"));
    getConfig().then((config) => { this.links = config.links; if (this.data) this.drawHead(); }).catch(() => {});
  }

  /** Never two requests at once; a change during one is fetched after it. */
  async load() {
    if (this.loading) { this.again = true; return; }
    this.loading = true;
    try {
      const data = await getCall(this.correlationId, this.data?.tag);
      if (!this.closed && data !== null) this.show(data);
    } catch (error) {
      if (!this.closed && this.data === null) {
        replace(this.main, h("div", { class: "list-head" }, h("h1", {}, "Call")), h("p", { class: "notice fail", role: "alert" }, error.message), h("p", { class: "inset" },
          h("a", { href: "/", onclick: route }, "All calls")));
      }
    } finally {
      this.loading = false;
    }
    if (this.again && !this.closed) { this.again = false; this.load(); }
  }

  show(data) {
    const first = this.data === null;
    this.data = data;
    this.startUs = data.call.started_us;
    if (first) this.build();
    this.draw();
  }

  get live() {
    return this.data.call.ended_us === undefined;
  }

  build() {
    const sections = sectionsOf(this.data.call);
    this.boxes = Object.fromEntries(sections.map(([name]) => [name, h("div")]));
    this.plots = new Plots();
    this.events = new EventList(this.correlationId, this.startUs);
    this.hep = new HepList(this.correlationId, this.startUs);
    this.boxes.media.append(this.plots.element);
    this.boxes.events.append(this.events.element);
    this.boxes.hep.append(this.hep.element);
    this.ladder = new Ladder(this.correlationId, this.startUs, (id) => this.reveal(id));
    this.boxes.ladder.append(this.ladder.element);
    this.head = h("div", { class: "call-head" });
    this.said = h("p", { class: "visually-hidden", role: "status" });
    this.replayed = h("div", { class: "analysed", role: "group", "aria-label": "Replayed" });
    replace(this.main,
      this.head,
      this.said,
      this.replayed,
      h("nav", { class: "jump", "aria-label": "Parts of this page" }, sections.map(([name, title]) => h("a", { href: `#${name}` }, title))),
      h("div", { class: "sections" }, sections.map(([name, title]) => (name === "verdict"
        ? h("section", { id: name, "aria-label": title }, this.boxes[name])
        : h("section", { id: name, class: "card", "aria-labelledby": `${name}-title` }, h("h2", { id: `${name}-title` }, title), this.boxes[name])))));
    const wanted = /^#event-(\d+)$/.exec(location.hash);
    if (wanted) this.events.reveal(wanted[1]);
    else this.events.load();
    this.hep.load();
    this.ladder.load();
  }

  reveal(id) {
    history.replaceState(null, "", `#event-${id}`);
    this.events.reveal(id);
  }

  /** Redraws only what has changed, so that what is open stays open and what is focused stays focused. */
  part(name, value, drawing) {
    const text = JSON.stringify(value);
    if (this.drawn[name] === text) return;
    this.drawn[name] = text;
    replace(this.boxes[name], drawing());
  }

  draw() {
    const { data } = this;
    this.drawHead();
    this.announce(verdictWord(data.verdict, this.live).word);
    this.part("verdict", [data.verdict, this.live], () => showVerdict(data.verdict, this.live));
    this.part("phases", [data.phases, data.usual_phases, this.live],
      () => showPhases(data.phases, this.live, Date.now() * 1000, data.usual_phases));
    this.part("evidence", data.evidence, () => this.drawEvidence());
    this.part("path", [data.pairs, data.candidates, data.dtls], () => [
      showPairs(data.pairs),
      h("div", { class: "path" },
        showCandidates("Server's candidates", data.candidates.local),
        showCandidates("Client's candidates", data.candidates.remote),
        showDtls(data.dtls)),
    ]);
    if (this.boxes.test) this.drawTest();
    this.plots.show(data.tracks, this.startUs);
    this.part("sdp", data.descriptions, () => showDescriptions(data.descriptions));
    this.refreshLists();
  }

  /** For whoever does not see the page change: another verdict, not every second of the same. */
  announce(word) {
    if (this.word !== undefined && this.word !== word) this.said.textContent = `Verdict: ${word}`;
    this.word = word;
  }

  /** The browser's figures come once, at the end of the test. */
  async drawTest() {
    try {
      this.figures ??= await getFigures(this.correlationId);
    } catch {
      return; // The lists of events say what is wrong.
    }
    if (!this.closed) this.part("test", [this.figures, this.data.tracks], () => showFigures(this.figures, this.data.tracks));
  }

  /** The raw events cost a read of all of them: a live call's are not read again with every second's statistics. */
  refreshLists() {
    const now = performance.now();
    if (this.live && now - this.listsAt < LISTS_EVERY_MS) return;
    if (this.listsAt !== undefined) {
      this.events.load();
      this.hep.load();
      this.ladder.load();
    }
    this.listsAt = now;
  }

  drawHead() {
    const { call } = this.data;
    const who = call.opaque_id ?? (call.room ? `room ${call.room}` : `handle ${call.handle_id}`);
    const details = [
      call.plugin?.replace(/^janus\.plugin\./, ""), call.room ? `room ${call.room}` : null, call.client_address, `on ${call.server}`,
    ].filter(Boolean).join(" · ");
    const text = JSON.stringify([call, this.links, details]);
    if (this.drawn.head === text) return;
    this.drawn.head = text;
    const values = {
      correlation_id: call.correlation_id, session_id: call.session_id, handle_id: call.handle_id, server: call.server,
      from_ms: Math.floor(call.started_us / 1000) - 60_000, to_ms: Math.ceil((call.ended_us ?? Date.now() * 1000) / 1000) + 60_000,
    };
    const link = (name, title) => (this.links[name]
      ? h("a", { class: "button", href: fill(this.links[name], values), target: "_blank", rel: "noreferrer noopener" }, title) : null);
    const together = (title, filter) =>
      h("a", { class: "button", href: `/together?${new URLSearchParams(filter)}`, onclick: route }, title);
    this.length = h("span", {}, this.lengthText());
    replace(this.head,
      h("div", { class: "titles" },
        h("h1", {}, who, this.live ? h("span", { class: "badge live" }, "Live") : h("span", { class: "badge" }, "Ended")),
        h("p", {}, h("time", { title: moment(call.started_us) }, clock(call.started_us)), ", ", this.length, " · ", details),
        h("p", {}, h("code", { class: "break" }, call.correlation_id))),
      h("div", { class: "actions" },
        link("homer", "Open in Homer"), link("grafana", "Open in Grafana"),
        call.room ? together("Room", { room: call.room, server: call.server }) : null,
        call.opaque_id && call.room ? together("User", { user: call.opaque_id, server: call.server }) : null,
        copyButton("Copy link", () => `${location.origin}/call/${encodeURIComponent(call.correlation_id)}`),
        copyButton("Copy correlation id", call.correlation_id),
        this.live ? null : this.replayButton(),
        this.live && mayOperate() ? [this.recordButton(), this.hangUpButton()] : null,
        h("a", { class: "button", href: bundleUrl(call.correlation_id), download: true }, "Download the bundle"),
        h("a", { class: "button", href: downloadUrl(call.correlation_id), download: true }, "Download events")));
  }

  /** The same call from its file; a verdict that is not the same there would be a fault of ours. */
  replayButton() {
    const button = h("button", { type: "button", onclick: async () => {
      button.disabled = true;
      replace(this.replayed, h("p", { class: "notice", role: "status" }, "Replaying …"));
      try {
        const { name, calls } = await replay(this.correlationId);
        const same = calls.some((call) => call.verdict.code === this.data.verdict.code);
        replace(this.replayed,
          h("p", { class: `notice${same ? "" : " fail"}`, role: "status" },
            `Replayed from ${name}: ${same ? "the same verdict as below." : "another verdict than below."}`),
          calls.map(showAnalysed));
      } catch (error) {
        replace(this.replayed, h("p", { class: "notice fail", role: "alert" }, error.message));
      }
      button.disabled = false;
    } }, "Replay");
    return button;
  }

  hangUpButton() {
    return confirmButton("Hang up", "Hang up this call?", async (button) => {
      try {
        await hangUp(this.correlationId);
      } catch (error) {
        button.textContent = error.message;
      }
    });
  }

  recordButton() {
    const label = () => (this.recording ? "Stop recording" : "Record");
    const button = h("button", { type: "button", "aria-pressed": String(Boolean(this.recording)), onclick: async () => {
      button.disabled = true;
      try {
        await setRecording(this.correlationId, !this.recording);
        this.recording = !this.recording;
        button.textContent = label();
      } catch (error) {
        button.textContent = error.message;
      }
      button.setAttribute("aria-pressed", String(Boolean(this.recording)));
      button.disabled = false;
    } }, label());
    return button;
  }

  lengthText() {
    const { call } = this.data;
    return duration((call.ended_us ?? Date.now() * 1000) - call.started_us);
  }

  drawEvidence() {
    const evidence = this.data.evidence;
    if (evidence.length === 0) return h("p", { class: "empty" }, "No single event proves this verdict.");
    return h("ol", { class: "evidence" }, evidence.map((item) => h("li", {}, h("a", {
      href: `#event-${item.id}`,
      onclick: (click) => { click.preventDefault(); this.reveal(item.id); },
    }, h("span", { class: "number muted" }, offset(item.timestamp_us, this.startUs)), h("span", {}, item.text)))));
  }

  tick() {
    if (!this.data || !this.live || !this.length) return;
    this.length.textContent = this.lengthText();
    tickPhases(this.boxes.phases, Date.now() * 1000);
  }

  close() {
    this.closed = true;
    this.plots?.destroy();
  }
}
