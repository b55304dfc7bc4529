// Offer and answer side by side by m-line: the differences marked, and what came of them said in words.

import { h, icon } from "./dom.js";
import { clock } from "./format.js";

/** [{ head, lines }]: the session part first, then one a medium. */
export function sections(sdp) {
  const found = [{ head: "session", lines: [] }];
  for (const line of String(sdp ?? "").split(/\r\n|\n|\r/)) {
    if (line === "") continue;
    if (line.startsWith("m=")) found.push({ head: line, lines: [line] });
    else found.at(-1).lines.push(line);
  }
  return found;
}

/** What two lines must share to stand beside each other: the attribute and its first number or name. */
function key(line) {
  if (!line.startsWith("a=")) return line.slice(0, 2);
  const [, name, value = ""] = /^a=([^:]*):?(.*)$/.exec(line);
  if (["sendrecv", "sendonly", "recvonly", "inactive"].includes(name)) return "a=direction";
  if (["rtpmap", "fmtp", "rid", "ssrc", "ssrc-group", "group", "simulcast"].includes(name)) return `a=${name}:${value.split(/[\s]/)[0]}`;
  if (name === "rtcp-fb") return line;
  if (name === "extmap") return `a=extmap:${value.split(" ").slice(1).join(" ")}`;
  if (name === "candidate") return `a=candidate:${value.split(" ").slice(4, 6).join(" ")}`;
  return `a=${name}`;
}

/** Pairs of lines [left, right]; null where one side has none. In the order of the left, the right's own at the end. */
export function align(left, right) {
  const waiting = new Map();
  for (const line of right) {
    const name = key(line);
    if (!waiting.has(name)) waiting.set(name, []);
    waiting.get(name).push(line);
  }
  const rows = left.map((line) => [line, waiting.get(key(line))?.shift() ?? null]);
  const rest = new Set([...waiting.values()].flat());
  for (const line of right) if (rest.has(line)) { rows.push([null, line]); rest.delete(line); }
  return rows;
}

const attribute = (lines, name) => lines.find((line) => line === `a=${name}` || line.startsWith(`a=${name}:`));
const value = (lines, name) => attribute(lines, name)?.slice(name.length + 3);
const directionOf = (lines, outer) => ["sendrecv", "sendonly", "recvonly", "inactive"].find((word) => lines.includes(`a=${word}`))
  ?? outer ?? "sendrecv";

const REPAIR = new Set(["rtx", "red", "ulpfec", "flexfec-03", "telephone-event", "cn"]);
const STATIC = { 0: "PCMU", 8: "PCMA", 9: "G722" };

export function codecs(lines) {
  const names = new Map(lines.filter((line) => line.startsWith("a=rtpmap:")).map((line) => {
    const [payload, name] = line.slice(9).split(" ");
    return [payload, name.split("/")[0]];
  }));
  const payloads = (lines[0] ?? "").split(" ").slice(3);
  const all = payloads.map((payload) => names.get(payload) ?? STATIC[payload]).filter(Boolean);
  return [...new Set(all.filter((name) => !REPAIR.has(name.toLowerCase())))];
}

/** One m-line in words: kind, mid, refused or not, the codecs of the answer, both directions, both DTLS roles. */
export function negotiated(offer, answer, offerSession = [], answerSession = []) {
  const [kind = "", port = "0"] = (offer[0] ?? answer[0] ?? "").slice(2).split(" ");
  const answerPort = (answer[0] ?? "").split(" ")[1];
  const refused = answer.length > 0 && answerPort === "0" && !attribute(answer, "bundle-only");
  return {
    kind,
    mid: value(offer, "mid") ?? value(answer, "mid"),
    withdrawn: port === "0" && !attribute(offer, "bundle-only"),
    refused,
    unanswered: answer.length === 0,
    codecs: kind === "application" ? [] : codecs(answer),
    offered: kind === "application" ? [] : codecs(offer),
    direction: [directionOf(offer), answer.length ? directionOf(answer) : null],
    setup: [value(offer, "setup") ?? value(offerSession, "setup"), value(answer, "setup") ?? value(answerSession, "setup")],
  };
}

/** Pairs each offer with the answer that follows it. */
export function rounds(descriptions) {
  const found = [];
  for (const description of descriptions ?? []) {
    const last = found.at(-1);
    if (description.type === "offer" || !last || last.answer) found.push({ offer: null, answer: null });
    const round = found.at(-1);
    if (description.type === "offer") round.offer = description;
    else round.answer = description;
  }
  return found;
}

export function showDescriptions(descriptions) {
  const all = rounds(descriptions);
  if (all.length === 0) return h("p", { class: "empty" }, "No offer or answer was seen.");
  const box = h("div");
  const show = (index) => {
    box.replaceChildren(...[
      all.length > 1 ? h("div", { class: "segments inset", role: "group", "aria-label": "Negotiation" }, all.map((round, at) => h("button", {
        type: "button", "aria-pressed": String(at === index), onclick: () => show(at),
      }, `${at === 0 ? "First" : `Renegotiation ${at}`}, ${clock((round.offer ?? round.answer).timestamp_us)}`))) : null,
      drawRound(all[index]),
    ].filter(Boolean));
  };
  show(all.length - 1);
  return box;
}

const who = (description, fallback) => {
  if (!description) return `No ${fallback}`;
  return `${description.type === "offer" ? "Offer" : "Answer"} of the ${description.owner === "local" ? "server" : "client"}`;
};

function drawRound({ offer, answer }) {
  const left = sections(offer?.sdp);
  const right = sections(answer?.sdp);
  const parts = [];
  for (let index = 0; index < Math.max(left.length, right.length); index += 1) {
    const offered = left[index]?.lines ?? [];
    const answered = right[index]?.lines ?? [];
    if (index > 0 || offered.length || answered.length) {
      parts.push(drawSection(index, offered, answered, left[0].lines, right[0].lines));
    }
  }
  return h("div", { class: "sdp" },
    h("div", { class: "sdp-titles" }, h("h3", {}, who(offer, "offer")), h("h3", {}, who(answer, "answer"))),
    parts);
}

function drawSection(index, offered, answered, offerSession, answerSession) {
  const rows = align(offered, answered).map(([one, other]) => {
    const mark = one === null ? "only-right" : other === null ? "only-left" : one === other ? "same" : "differs";
    return h("tr", { class: mark },
      h("td", {}, one === null ? "" : h("code", {}, one)),
      h("td", { class: "sign" }, h("span", { "aria-hidden": "true" }, SIGNS[mark]), h("span", { class: "visually-hidden" }, SIGN_WORDS[mark])),
      h("td", {}, other === null ? "" : h("code", {}, other)));
  });
  const different = rows.filter((row) => row.className !== "same").length;
  return h("details", { class: "sdp-section", open: false },
    h("summary", {}, index === 0 ? h("strong", {}, "Session") : mediaSummary(negotiated(offered, answered, offerSession, answerSession)),
      h("small", { class: "sdp-count" }, `${rows.length} lines, ${different} differ`)),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Lines of ${index === 0 ? "the session" : `m-line ${index}`}` },
      h("table", { class: "sdp-lines" }, h("tbody", {}, rows))));
}

const SIGNS = { same: "", differs: "≠", "only-left": "−", "only-right": "+" };
const SIGN_WORDS = { same: "", differs: "differs", "only-left": "only offered", "only-right": "only answered" };

function mediaSummary(line) {
  const [offered, answered] = line.direction;
  const codec = line.codecs.length ? line.codecs.join(", ") : line.kind === "application" ? "data channel" : null;
  return [
    h("strong", {}, `${line.kind} · mid ${line.mid ?? "–"}`),
    line.refused ? h("span", { class: "tone-fail" }, icon("fail"), " refused") : null,
    line.withdrawn ? h("span", { class: "muted" }, "withdrawn") : null,
    line.unanswered ? h("span", { class: "tone-warn" }, icon("warn"), " no answer") : null,
    !line.refused && codec ? h("span", {}, codec) : null,
    line.refused && line.offered.length ? h("span", { class: "muted" }, `offered ${line.offered.join(", ")}`) : null,
    line.kind !== "application" && answered ? h("span", {}, `${offered} → ${answered}`) : null,
    line.setup[0] || line.setup[1] ? h("span", { class: "muted" }, `setup ${line.setup[0] ?? "–"} → ${line.setup[1] ?? "–"}`) : null,
  ];
}
