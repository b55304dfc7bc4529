// The raw events: what each says in words, its JSON on demand, by type, a page at a time.

import { getEvents } from "./api.js";
import { h, plain, replace } from "./dom.js";
import { count, isoTime, offset } from "./format.js";

const PAGE = 200;
const LABELS = {
  sessions: "Session", handles: "Handle", external: "External", jsep: "JSEP", webrtc: "WebRTC", media: "Media",
  plugins: "Plugin", transports: "Transport", core: "Core", other: "Other",
};
/** Above so many, statistics are left out until asked for: they would bury what changed. */
const MANY = 300;

export class EventList {
  constructor(correlationId, startUs) {
    this.correlationId = correlationId;
    this.startUs = startUs;
    this.chosen = null;
    this.offset = 0;
    this.total = 0;
    this.generation = 0;
    this.chips = h("div", { class: "chips", role: "group", "aria-label": "Types of events" });
    this.body = h("tbody");
    this.note = h("p", { class: "empty", role: "status" }, "Loading …");
    this.previous = h("button", { type: "button", onclick: () => this.load(Math.max(0, this.offset - PAGE)) }, "Earlier");
    this.next = h("button", { type: "button", onclick: () => this.load(this.offset + PAGE) }, "Later");
    this.range = h("span", { class: "muted", role: "status" });
    this.element = h("div", {},
      h("div", { class: "section-tools" }, this.chips),
      h("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": "Table of events" }, h("table", { class: "events" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "number" }, "After"),
          ["Type", "What happened"].map((title) => h("th", { scope: "col" }, title)))),
        this.body)),
      this.note,
      h("div", { class: "pager" }, this.previous, this.range, this.next));
  }

  async load(from = this.offset, around = null) {
    this.generation += 1;
    const generation = this.generation;
    try {
      let page = await getEvents(this.correlationId, { offset: from, limit: PAGE, types: this.types(), around });
      if (this.chosen === null) {
        this.chosen = new Set(Object.keys(page.counts));
        if (page.counts.media > MANY && around === null) {
          this.chosen.delete("media");
          page = await getEvents(this.correlationId, { offset: from, limit: PAGE, types: this.types() });
        }
      }
      if (generation !== this.generation) return;
      this.draw(page);
    } catch (error) {
      this.note.hidden = false;
      this.note.textContent = error.message;
    }
  }

  types() {
    return this.chosen === null || this.chosen.has("other") ? "" : [...this.chosen].join(",") || "none";
  }

  draw(page) {
    this.offset = page.offset;
    this.total = page.total;
    for (const word of Object.keys(page.counts)) if (!this.seen?.has(word) && this.seen) this.chosen.add(word);
    this.seen = new Set(Object.keys(page.counts));
    replace(this.chips, Object.entries(page.counts).map(([word, number]) => h("button", {
      type: "button", class: "chip", "aria-pressed": String(this.chosen.has(word)), "data-type": word,
      onclick: () => this.toggle(word),
    }, `${LABELS[word] ?? word} ${count(number)}`)));
    const open = new Set([...this.body.querySelectorAll("details[open]")].map((one) => one.dataset.id));
    const chosen = this.chosen.size > 0 ? page.events : [];
    replace(this.body, chosen.map((item) => this.row(item, open)));
    this.note.hidden = chosen.length > 0 && !page.cut;
    this.note.textContent = page.cut ? "This call has more events than are shown; the first ones are." : "No event of the chosen types.";
    this.previous.disabled = page.offset === 0;
    this.next.disabled = page.offset + PAGE >= page.total;
    this.range.textContent = chosen.length ? `${count(page.offset + 1)} to ${count(page.offset + chosen.length)} of ${count(page.total)}` : "";
  }

  row({ type, text, event }, open) {
    const json = h("pre", { class: "json" });
    const details = h("details", { "data-id": String(event.id), open: open.has(String(event.id)) },
      h("summary", { class: "break" }, text), json);
    const fill = () => { if (details.open) json.textContent = plain(JSON.stringify(event, null, 2)); };
    details.addEventListener("toggle", fill);
    fill();
    return h("tr", { id: `event-${event.id}` },
      h("td", { class: "number", title: isoTime(event.timestamp) }, offset(event.timestamp, this.startUs)),
      h("td", { class: "nowrap muted" }, LABELS[type] ?? type),
      h("td", {}, details));
  }

  toggle(word) {
    if (this.chosen.has(word)) this.chosen.delete(word);
    else this.chosen.add(word);
    this.load(0).then(() => this.chips.querySelector(`[data-type="${word}"]`)?.focus());
  }

  /** Brings one event into view and opens it, whatever the filter was. */
  async reveal(id) {
    let row = document.getElementById(`event-${id}`);
    if (!row) {
      this.chosen = null;
      await this.load(0, id);
      row = document.getElementById(`event-${id}`);
    }
    if (!row) return;
    for (const other of this.body.querySelectorAll("tr.found")) other.classList.remove("found");
    row.classList.add("found");
    row.querySelector("details").open = true;
    row.scrollIntoView({ block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    row.querySelector("summary").focus({ preventScroll: true });
  }
}
