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
  running: ["wait", "running"],
  skipped: ["info", "skipped"],
  missing: ["info", "not reached"],
};

export function showPhases(phases, nowUs) {
  if (!phases?.length) return h("p", { class: "empty" }, "No phase was seen yet.");
  return h("ol", { class: "phases" }, phases.map((phase) => {
    const [tone, word] = OUTCOMES[phase.outcome] ?? ["info", phase.outcome];
    const long = phase.duration_us ?? (phase.outcome === "running" && phase.start_us ? Math.max(0, nowUs - phase.start_us) : null);
    // Milliseconds stand beside minutes, so widths are logarithmic; the figures are what counts.
    const weight = long === null ? 1 : 1 + Math.log10(1 + long / 1000) / 2.2;
    return h("li", { class: `phase outcome-${phase.outcome}`, style: { "flex-grow": weight.toFixed(2) } },
      h("span", { class: "phase-bar", "aria-hidden": "true" }),
      h("span", { class: "phase-name" }, h("span", { class: `tone-${tone}` }, icon(tone)), NAMES[phase.name] ?? phase.name,
        h("span", { class: "visually-hidden" }, `, ${word},`)),
      h("span", { class: "phase-time" }, long === null ? word : duration(long)),
      phase.note ? h("small", { class: "phase-note" }, phase.note) : null);
  }));
}
