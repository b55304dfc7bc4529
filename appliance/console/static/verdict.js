// A verdict in a list and on a page: an icon, a word, a sentence; who should act, how sure, what to do next.

import { h, icon } from "./dom.js";
import { NONE, words } from "./format.js";

const TONES = { good: "ok", notice: "warn", fault: "fail" };
const SEVERITY_WORDS = { good: "as it should be", notice: "worth knowing", fault: "the person was not served" };

/** { tone, word, sentence } of a verdict as the archive keeps it. */
export function verdictWord(verdict, live) {
  if (!verdict) {
    return live
      ? { tone: "wait", word: "Setting up", sentence: "No verdict yet." }
      : { tone: "info", word: "No verdict", sentence: "It ended before there was anything to say." };
  }
  return { tone: TONES[verdict.severity] ?? "info", word: words(verdict.code), sentence: verdict.sentence ?? "" };
}

/** Loss and quality of a call in the list, where its verdict holds them. */
export function qualityMeter(call) {
  const quality = call.verdict?.quality ?? call.quality;
  if (quality === undefined || quality === null) return h("span", { class: "muted", title: "Not measured" }, NONE);
  const tone = quality >= 80 ? "ok" : quality >= 50 ? "warn" : "fail";
  return h("span", { class: `meter tone-${tone}`, title: `Quality ${Math.round(quality)} of 100` },
    h("i", {}, h("b", { style: { width: `${Math.max(4, quality)}%` } })), String(Math.round(quality)));
}

const fact = (term, ...value) => h("div", {}, h("dt", {}, term), h("dd", {}, value));

/** The head of a call's page. `qualifiers`: verdicts that hold beside it. */
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
      verdict.advice ? fact("What to do next", verdict.advice) : null,
      !compact && verdict.disproof ? fact("What would disprove it", verdict.disproof) : null) : null);
}
