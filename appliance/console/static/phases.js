// The phases of a call as a bar: how long each took, and where it stopped.

import { h, icon } from "./dom.js";
import { duration } from "./format.js";

const NAMES = {
  signalling: "Signalling", gathering: "Gathering", ice: "ICE", dtls: "DTLS", first_media: "First media", media: "Media", end: "End",
};
// What each outcome looks like: an icon and a word beside the colour; a failed phase has stripes as well.
const OUTCOMES = {
  ok: ["ok", "done"],
  failed: ["fail", "stopped here"],
  pending: ["wait", "going on"],
  unfinished: ["info", "not finished"],
  later: ["wait", "not yet"],
  skipped: ["info", "not reached"],
  unseen: ["info", "not seen"],
};

/** Nobody waits for less: twenty microseconds more than usual are no delay. */
const NOTICED_US = 100_000;

/** What the phase takes in this server's good calls, and whether this one took much longer. */
function showUsual(usual, long) {
  if (!usual || long === null) return null;
  const slow = long > 2 * usual.median_us && long > usual.p95_us && long - usual.median_us > NOTICED_US;
  return h("span", { class: slow ? "phase-usual tone-warn" : "phase-usual", title: `The median of ${usual.calls} good calls of this server` },
    slow ? icon("warn") : null, `usual ${duration(usual.median_us)}`);
}

/** `usual` by phase, from good calls. `live`: what is pending goes on and the rest may follow; in a call that has ended both were left undone. */
export function showPhases(phases, live, nowUs, usual = {}) {
  if (!phases?.length) return h("p", { class: "empty" }, "No phase was seen yet.");
  // What a capture does not hold, or a call did not need, was not left unreached by a call that went further.
  const furthest = phases.findLastIndex((phase) => phase.name !== "end" && phase.outcome !== "skipped");
  return h("ol", { class: "phases" }, phases.map((phase, index) => {
    const unseen = phase.outcome === "skipped" && index < furthest ? "unseen" : null;
    const outcome = unseen ?? (live ? { skipped: "later" } : { pending: "unfinished" })[phase.outcome] ?? phase.outcome;
    const [tone, word] = OUTCOMES[outcome] ?? ["info", outcome];
    const since = outcome === "pending" && phase.start_us ? Math.max(0, nowUs - phase.start_us) : null;
    const long = phase.duration_us ?? since;
    // Milliseconds stand beside minutes, so widths are logarithmic; the figures are what counts.
    const weight = long === null ? 1 : 1 + Math.log10(1 + long / 1000) / 2.2;
    return h("li", { class: `phase outcome-${outcome}`, style: { "flex-grow": weight.toFixed(2) } },
      h("span", { class: "phase-bar", "aria-hidden": "true" }),
      h("span", { class: "phase-name" }, h("span", { class: `tone-${tone}` }, icon(tone)), NAMES[phase.name] ?? phase.name,
        h("span", { class: "visually-hidden" }, `, ${word},`)),
      h("span", { class: "phase-time", "data-since": since === null ? null : String(phase.start_us) }, phase.name === "end" && outcome === "ok" ? "ended" : long === null ? word : duration(long)),
      showUsual(usual[phase.name], long));
  }));
}

/** Phases that go on take longer with every second, whether or not anything is told of them. */
export function tickPhases(element, nowUs) {
  for (const time of element.querySelectorAll("[data-since]")) time.textContent = duration(Math.max(0, nowUs - Number(time.dataset.since)));
}
