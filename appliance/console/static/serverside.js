// Beside the demo call: what the server sees of it, from the console's own data.

import { getCall, getCalls, watch } from "./api.js";
import { h, replace } from "./dom.js";
import { bitrate, ms, percent } from "./format.js";
import { showConnection } from "./page.js";
import { showPhases } from "./phases.js";
import { showVerdict } from "./verdict.js";

const LOOK_EVERY_MS = 500;

/** Follows the call of this session and handle in `element`; returns what ends it. */
export function followCall(element, session, handle) {
  let over = false;
  let stopWatching = () => {};
  let tag = null;
  const box = h("div", {}, h("p", { class: "notice", role: "status" }, "Waiting for the server's first events of this call …"));
  replace(element, h("h2", {}, "What the server sees"), box);

  async function find() {
    while (!over) {
      try {
        const { calls } = await getCalls({ search: String(session), limit: 20 });
        const found = calls.find((call) => call.correlation_id.startsWith(`${session}-${handle}-1@`));
        if (found) return found.correlation_id;
      } catch (error) {
        if (error.code === "login") {
          // Whoever tests their network need not be one who may look at calls.
          replace(element);
          return null;
        }
        replace(box, h("p", { class: "notice fail" }, error.message));
      }
      await new Promise((resolve) => { setTimeout(resolve, LOOK_EVERY_MS); });
    }
    return null;
  }

  async function load(correlationId) {
    try {
      const data = await getCall(correlationId, tag);
      if (over || data === null) return;
      tag = data.tag;
      replace(box, draw(data, correlationId));
    } catch (error) {
      if (!over) replace(box, h("p", { class: "notice fail" }, error.message));
    }
  }

  find().then((correlationId) => {
    if (correlationId === null || over) return;
    load(correlationId);
    stopWatching = watch(correlationId, { call: () => load(correlationId), state: showConnection });
  });
  return () => {
    over = true;
    stopWatching();
  };
}

function draw(data, correlationId) {
  const live = data.call.ended_us === undefined;
  return [
    showVerdict(data.verdict, live, { compact: true }),
    h("div", { class: "block" }, h("h3", {}, "Phases"), h("div", { class: "card" }, showPhases(data.phases, live, Date.now() * 1000))),
    h("div", { class: "block" }, h("h3", {}, "Path, server ↔ you"), h("p", {}, h("code", {}, data.selected_pair ?? "none yet"))),
    h("div", { class: "block" }, h("h3", {}, "Media, last second"), tracks(data.tracks)),
    h("p", { class: "links" }, h("a", { class: "button", href: `/call/${encodeURIComponent(correlationId)}` }, "Open in the console")),
  ];
}

function tracks(all) {
  const media = all.filter((track) => track.kind !== "data" && track.series.timestamp_us.length > 0);
  if (media.length === 0) return h("p", { class: "muted" }, "No statistics yet.");
  const share = (value) => percent(value === null || value === undefined ? null : value * 100);
  return h("div", { class: "card scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Track"),
      ["Loss from you", "Loss to you", "Jitter", "Round trip", "Bitrate from you", "Bitrate to you"].map((title) => h("th", { scope: "col", class: "number" }, title)))),
    h("tbody", {}, media.map((track) => {
      const last = Object.fromEntries(Object.entries(track.series).map(([name, values]) => [name, values.at(-1)]));
      return h("tr", {}, h("th", { scope: "row", class: "nowrap" }, `${track.kind} ${track.codec ?? ""}`),
        [share(last.loss_in), share(last.loss_out), ms(last.jitter_in_ms), ms(last.rtt_ms),
          bitrate(last.bitrate_in_bps), bitrate(last.bitrate_out_bps)].map((text) => h("td", { class: "number" }, text)));
    }))));
}
