// On a test's call: what the browser found, beside what the server measured of the same.

import { getEvents } from "./api.js";
import { h, icon } from "./dom.js";
import { bitrate, ms, percent } from "./format.js";

const SCHEMA = "appliance.nettest";
const WAYS = { ok: "works", fail: "does not get through", none: "none", untested: "not tested" };
const TONES = { ok: "ok", fail: "fail", none: "info", untested: "info" };

export const isTest = (call) => /^test-[0-9A-Z]{6}$/.test(call.opaque_id ?? "");

/** The figures that the browser sent, or null while there are none. */
export async function getFigures(correlationId) {
  const { events } = await getEvents(correlationId, { types: "external", limit: 50 });
  return events.map((line) => line.event.event).find((body) => body.schema === SCHEMA)?.data ?? null;
}

const most = (values) => {
  const known = values.filter((value) => value !== null && value !== undefined);
  return known.length ? Math.max(...known) : null;
};

/** Of a figure over all tracks and the whole call: losses by packets, the worst of the others, bitrates of the best second together. */
function measured(tracks) {
  const share = (loss, packets) => {
    const known = tracks.filter((track) => track[loss] !== null && track[packets] > 0);
    const sent = known.map((track) => track[packets] / (1 - Math.min(track[loss], 0.999)));
    const total = sent.reduce((sum, one) => sum + one, 0);
    return total ? known.reduce((sum, track, index) => sum + track[loss] * sent[index], 0) / total : null;
  };
  const sum = (name) => {
    const found = tracks.map((track) => most(track.series?.[name] ?? [])).filter((value) => value !== null);
    return found.length ? found.reduce((one, other) => one + other, 0) : null;
  };
  const worst = (name) => most(tracks.flatMap((track) => track.series?.[name] ?? []));
  return {
    rtt: most(tracks.map((track) => track.rtt_ms)), lossUp: share("loss_in", "packets_in"), lossDown: share("loss_out", "packets_out"),
    jitterUp: worst("jitter_in_ms"), jitterDown: worst("jitter_out_ms"), up: sum("bitrate_in_bps"), down: sum("bitrate_out_bps"),
  };
}

const inPercent = (share) => percent(share === null || share === undefined ? null : 100 * share);

/** The section; `found` is null where the browser has told nothing. */
export function showFigures(found, tracks) {
  if (found === null) {
    return h("p", { class: "empty" }, "The browser has not sent its own figures: the test is not over, or its page was closed.");
  }
  const ours = measured(tracks);
  const row = (what, theirs, own) => h("tr", {}, h("th", { scope: "row" }, what), h("td", { class: "number" }, theirs), h("td", { class: "number" }, own));
  const way = (name, title) => h("span", { class: "way" }, h("span", { class: `tone-${TONES[found[name]] ?? "info"}` },
    icon(TONES[found[name]] ?? "info")), ` ${title}: ${WAYS[found[name]] ?? found[name]}${found.used === name ? ", in use" : ""}`);
  return h("div", { class: "figures" },
    h("p", { class: "test-sentence" }, h("span", { class: `tone-${found.tone}` }, icon(found.tone)), h("strong", {}, found.sentence)),
    h("p", { class: "ways" }, way("udp", "UDP"), way("tcp", "TCP"), way("turn", "TURN")),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Figures of the test" }, h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Figure"), h("th", { scope: "col", class: "number" }, "The browser"),
        h("th", { scope: "col", class: "number" }, "This server"))),
      h("tbody", {},
        row("Round trip", ms(found.rtt_ms), ms(ours.rtt)),
        row("Loss from the browser", inPercent(found.loss_up), inPercent(ours.lossUp)),
        row("Loss to the browser", inPercent(found.loss_down), inPercent(ours.lossDown)),
        row("Worst jitter from the browser", ms(found.jitter_up_ms), ms(ours.jitterUp)),
        row("Worst jitter to the browser", ms(found.jitter_down_ms), ms(ours.jitterDown)),
        row("Carried from the browser", bitrate(found.bitrate_up_bps), bitrate(ours.up)),
        row("Carried to the browser", bitrate(found.bitrate_down_bps), bitrate(ours.down)),
        row("Under load, from the browser", bitrate(found.load_up_bps), bitrate(null)),
        row("Under load, to the browser", bitrate(found.load_down_bps), bitrate(null)),
        row("Under load, lost from the browser", inPercent(found.load_dropped), inPercent(null)),
        row("Room that its congestion control found", bitrate(found.estimate_bps), bitrate(null))))),
    h("p", { class: "muted" }, `The browser's bitrates are means, the server's of the best second. The load test is a call of its own, test-${found.code}-load.`),
    h("p", { class: "muted" }, found.browser ?? ""));
}
