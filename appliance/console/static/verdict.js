// A verdict in a list and on a page: an icon, a word, a sentence; who should act, how sure, what to do next.

import { h, icon } from "./dom.js";
import { NONE, words } from "./format.js";

const TONES = { good: "ok", notice: "warn", fault: "fail" };
const SEVERITY_WORDS = { good: "as it should be", notice: "worth knowing", fault: "the person was not served" };

// Where a code's own words would not be a person's: nobody knows which way "uplink" is.
const NAMES = {
  uplink_loss: "Loss from the client", downlink_loss: "Loss to the client", ended_by_app: "Ended by the application",
  ended_by_plugin: "Ended by the plugin", ended_by_admin: "Ended by an administrator", normal_close: "Closed by the client",
  end_untold: "Gone, and no event told how",
  ice_failed_unknown: "ICE failed", in_progress: "Being set up", mdns_only: "Only mDNS candidates",
};
export const nameOf = (code) => NAMES[code] ?? words(code);

/** { tone, word, sentence } of a verdict as the archive keeps it. */
export function verdictWord(verdict, live) {
  if (!verdict) {
    return live
      ? { tone: "wait", word: "Setting up", sentence: "No verdict yet." }
      : { tone: "info", word: "No verdict", sentence: "It ended before there was anything to say." };
  }
  return { tone: TONES[verdict.severity] ?? "info", word: nameOf(verdict.code), sentence: verdict.sentence ?? "" };
}

const IMPAIRMENTS = {
  uplink_loss: "loss from client", downlink_loss: "loss to client", congestion: "congestion", bandwidth_drop: "bandwidth drop",
  high_jitter: "jitter", keyframe_storm: "key frame storm", no_keyframe: "no key frame", one_way_audio: "one-way audio",
  media_stopped: "stopped", no_media_from_client: "none from client", no_media_to_client: "none to client",
  network_lost: "interrupted", network_interrupted: "interrupted for a while", unstable_path: "unstable path",
  loss_repaired: "loss, repaired", no_video_from_client: "no video from client", clock_or_timestamp_fault: "clock drift",
  srtp_decrypt_failed: "not decrypted", rtp_unroutable: "not passed on",
};

/** How the media was, as far as the verdict and what holds beside it tell: good, or what was wrong with it. */
export function showQuality(verdict) {
  const mediaPhases = ["first_media", "media", "end"];
  if (!verdict || !mediaPhases.includes(verdict.phase)) return h("span", { class: "muted", title: "It never had media" }, NONE);
  const found = [verdict.code, ...(verdict.also ?? [])].filter((code) => code in IMPAIRMENTS);
  if (found.length === 0) {
    return verdict.severity === "fault" ? h("span", { class: "muted" }, NONE) : h("span", { class: "quality tone-ok" }, icon("ok"), "good");
  }
  const tone = found.every((code) => code === "loss_repaired") ? "warn" : TONES[verdict.severity] === "fail" ? "fail" : "warn";
  const { percent, jitter_ms: jitter } = verdict.detail ?? {};
  const figure = percent !== undefined ? ` ${percent} %` : jitter !== undefined ? ` ${Math.round(jitter)} ms` : "";
  const names = found.map((code, index) => IMPAIRMENTS[code] + (index === 0 && code === verdict.code ? figure : ""));
  return h("span", { class: `quality tone-${tone}`, title: names.join(", ") }, icon(tone), names[0], names.length > 1 ? ` +${names.length - 1}` : null);
}

const fact = (term, ...value) => h("div", {}, h("dt", {}, term), h("dd", {}, value));

/** The head of a call's page; `compact` leaves out what only an investigation needs. */
export function showVerdict(verdict, live, { compact = false } = {}) {
  const { tone, word, sentence } = verdictWord(verdict, live);
  const head = h("p", { class: "verdict-word" }, h("span", { class: `tone-${tone}` }, icon(tone)), h("strong", {}, word),
    verdict && live && !verdict.final ? h("span", { class: "badge" }, "so far") : null,
    verdict?.severity ? h("span", { class: "visually-hidden" }, `, ${SEVERITY_WORDS[verdict.severity]}`) : null);
  const nobody = verdict?.actor === "nobody" || verdict?.actor === undefined;
  return h("div", { class: `verdict card tone-edge-${tone}` },
    head,
    h("p", { class: "verdict-sentence" }, sentence),
    verdict ? h("dl", { class: "facts" },
      fact("Who should act", nobody ? "nobody" : verdict.actor),
      fact("Confidence", h("span", { class: "confidence", "data-level": verdict.confidence }, verdict.confidence)),
      verdict.advice && !nobody ? fact("What to do next", verdict.advice) : null,
      !compact && verdict.disproof ? fact("What would disprove it", verdict.disproof) : null,
      verdict.also?.length ? fact("Also", verdict.also.map(nameOf).join(", ")) : null) : null);
}
