// The call as a ladder: signalling, ICE, DTLS, media and the plugin on one time axis, each message between its two ends.

import { getEvents } from "./api.js";
import { h, recall, remember, replace } from "./dom.js";
import { count, isoTime, offset } from "./format.js";

const LANES = ["Browser", "Gateway API", "Gateway media", "Plugin"];
const [BROWSER, API, MEDIA, PLUGIN] = LANES.keys();
const MOST = 500;
const KEPT = "ladder-reports";
const VERDICT = "appliance.verdict";

const at = (lane, kind) => ({ from: lane, to: lane, kind });
const arrow = (from, to, kind) => ({ from, to, kind });
const both = (kind, report = false) => ({ from: BROWSER, to: MEDIA, kind, both: true, report });

// By type and subtype of the event, as Janus numbers them: between whom, and what kind of message it is.
const WEBRTC = {
  1: () => at(MEDIA, "ice"), 2: () => arrow(API, BROWSER, "signalling"), 3: () => arrow(BROWSER, API, "signalling"),
  4: () => both("ice"), 5: () => both("dtls"), 6: () => arrow(API, BROWSER, "signalling"), 7: () => both("ice", true),
  8: () => both("dtls", true), 9: () => arrow(BROWSER, API, "signalling"),
};
const OF_MEDIA = {
  1: () => arrow(BROWSER, MEDIA, "media"), 2: () => both("media"), 3: () => both("media", true), 4: () => both("media", true),
  5: () => at(MEDIA, "media"),
};
const KINDS = {
  1: ({ event }) => (event.name === "created" ? arrow(BROWSER, API, "signalling") : at(API, "signalling")),
  2: () => arrow(API, PLUGIN, "plugin"),
  4: ({ event }) => (event.schema === VERDICT ? { ...at(API, "verdict"), wide: true } : null),
  8: ({ event }) => (event.owner === "remote" ? arrow(BROWSER, API, "signalling") : arrow(API, BROWSER, "signalling")),
  16: (item) => WEBRTC[item.subtype]?.(item) ?? null,
  32: (item) => OF_MEDIA[item.subtype]?.(item) ?? null,
  64: () => arrow(PLUGIN, API, "plugin"),
};

/** Where an event stands in the ladder; null: it has no place there. */
export const place = (item) => KINDS[item.type]?.(item) ?? null;

export class Ladder {
  /** `reveal(id)` shows the event itself. */
  constructor(correlationId, startUs, reveal) {
    Object.assign(this, { correlationId, startUs, reveal });
    this.rows = [];
    this.reports = recall(KEPT) === "true";
    this.button = h("button", { type: "button", class: "chip", "aria-pressed": String(this.reports), onclick: () => {
      this.reports = !this.reports;
      remember(KEPT, String(this.reports));
      this.button.setAttribute("aria-pressed", String(this.reports));
      this.draw();
    } }, "Reports and statistics");
    this.note = h("p", { class: "empty", role: "status" }, "Loading …");
    this.list = h("ol", { class: "ladder-rows" });
    this.element = h("div", {},
      h("div", { class: "section-tools" }, this.button),
      h("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": "Messages of the ladder" }, h("div", { class: "ladder" },
        h("div", { class: "ladder-head", "aria-hidden": "true" }, h("span", { class: "number" }, "After"), h("div", {}, LANES.map((lane) => h("span", {}, lane)))), this.list)),
      this.note);
  }

  async load() {
    try {
      const ask = (types) => getEvents(this.correlationId, { types, limit: MOST });
      const [signals, media] = [await ask("sessions,handles,external,jsep,webrtc,plugins"), await ask("media")];
      this.left = Math.max(0, signals.total - MOST) + Math.max(0, media.total - MOST);
      // Verdicts that a later one has replaced would only repeat it.
      const last = signals.events.findLast(({ event }) => event.event.schema === VERDICT);
      this.rows = [...signals.events, ...media.events]
        .filter((item) => item.event.event.schema !== VERDICT || item === last)
        .map((item) => ({ ...item, place: place(item.event) }))
        .filter((item) => item.place !== null)
        .sort((one, other) => one.event.timestamp - other.event.timestamp || one.event.id - other.event.id);
      this.draw();
    } catch (error) {
      this.note.hidden = false;
      this.note.textContent = error.message;
    }
  }

  draw() {
    const shown = this.rows.filter((row) => this.reports || !row.place.report);
    replace(this.list, shown.map((row) => this.row(row)));
    this.note.hidden = shown.length > 0 && !this.left;
    this.note.textContent = this.left ? `${count(this.left)} further events are left out here; all are below.` : "No message of this call is known.";
  }

  row({ event, text, place: { from, to, kind, both: twoWays, report, wide } }) {
    const [left, right] = [Math.min(from, to), Math.max(from, to)];
    const way = twoWays ? "between" : from === to ? "at" : "from";
    const ends = way === "at" ? `At ${LANES[from]}: ` : `${twoWays ? "Between" : "From"} ${LANES[from]} ${twoWays ? "and" : "to"} ${LANES[to]}: `;
    const shape = way === "at" ? "note" : twoWays ? "two" : from < to ? "right" : "left";
    return h("li", {},
      h("span", { class: "number muted", title: isoTime(event.timestamp) }, offset(event.timestamp, this.startUs)),
      h("div", { class: "lanes" }, h("a", {
        href: `#event-${event.id}`, class: `rung ${shape} kind-${kind}${report ? " report" : ""}${wide ? " wide" : ""}`,
        style: { "--left": String(left), "--width": String(right - left) },
        onclick: (click) => { click.preventDefault(); this.reveal(event.id); },
      }, h("span", { class: "visually-hidden" }, ends), h("span", { class: "rung-text", title: text }, text))));
  }
}
