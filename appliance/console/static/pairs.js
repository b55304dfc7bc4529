// The path: candidate pairs with their STUN counters, the candidates of each side, and what DTLS agreed on.

import { h, icon } from "./dom.js";
import { NONE, count, ms } from "./format.js";

const endpoint = ({ address, port }) => (address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`);

const end = (address, type, protocol) => h("td", { class: "nowrap" },
  h("code", {}, address), " ", h("small", {}, [type, protocol].filter(Boolean).join(", ")));

/** "12 / 12": requests and how many were answered; none answered is marked. Null where the server does not tell. */
function exchange(requests, responses) {
  if (requests === null || requests === undefined) return h("td", { class: "number muted" }, NONE);
  const silent = requests > 0 && responses === 0;
  return h("td", { class: "number" }, silent ? h("span", { class: "tone-fail" }, icon("fail"), " ") : null,
    `${count(requests)} / ${count(responses)}`);
}

/** The selected pair first, as the explanation has it. */
export function showPairs(pairs) {
  if (!pairs?.length) return h("p", { class: "empty" }, "No candidate pair was told of.");
  const untold = pairs.every((pair) => pair.requests_sent === null);
  return [h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of candidate pairs" }, h("table", { class: "pairs" },
    h("caption", { class: "visually-hidden" }, "Candidate pairs, the selected one first"),
    h("thead", {}, h("tr", {},
      ["Pair", "Server", "Client"].map((title) => h("th", { scope: "col" }, title)),
      h("th", { scope: "col", class: "number", title: "Binding requests of the server, and the client's answers to them" }, "Server asked / answered"),
      h("th", { scope: "col", class: "number", title: "Binding requests of the client, and the server's answers to them" }, "Client asked / answered"),
      h("th", { scope: "col", class: "number", title: "Refused for their MESSAGE-INTEGRITY or user name" }, "Refused"),
      h("th", { scope: "col", class: "number" }, "Round trip"))),
    h("tbody", {}, pairs.map((pair) => h("tr", { class: pair.selected ? "selected" : null },
      h("td", { class: "nowrap" }, pair.selected
        ? h("span", { class: "tone-ok" }, icon("ok"), " selected")
        : h("span", { class: "muted" }, pair.nominated ? "nominated" : "tried")),
      end(pair.local, pair.local_type, pair.protocol), end(pair.remote, pair.remote_type, pair.protocol),
      exchange(pair.requests_sent, pair.responses_received),
      exchange(pair.requests_received, pair.responses_sent),
      h("td", { class: "number" }, count(pair.bad_integrity)),
      h("td", { class: "number" }, ms(pair.rtt_ms))))))),
  untold ? h("p", { class: "empty" }, "This server tells no STUN counters.") : null];
}

const KINDS = { host: "host", srflx: "server reflexive", prflx: "peer reflexive", relay: "relay" };

export function showCandidates(title, candidates) {
  return h("div", { class: "inset" }, h("h3", {}, `${title} (${count(candidates?.length ?? 0)})`),
    candidates?.length
      ? h("ul", { class: "candidates" }, candidates.map((candidate) => h("li", {},
        h("code", {}, endpoint(candidate)), " ", h("small", {}, `${KINDS[candidate.type] ?? candidate.type}, ${candidate.transport ?? "udp"}`))))
      : h("p", { class: "muted" }, "none"));
}

const fact = (term, value, mono = false) => (value === null || value === undefined || value === "" ? null
  : h("div", {}, h("dt", {}, term), h("dd", { class: "break" }, mono ? h("code", {}, value) : value)));

const records = (counts) => Object.entries(counts ?? {}).map(([kind, number]) => `${kind.replaceAll("_", " ")} ${count(number)}`).join(", ");

/** `dtls`: the server's own detail; null for a server that tells only its states. */
export function showDtls(dtls) {
  if (!dtls) return h("div", { class: "inset" }, h("h3", {}, "DTLS"), h("p", { class: "muted" }, "This server tells no detail of the handshake."));
  const same = dtls.fingerprint_expected && dtls.fingerprint_received
    ? dtls.fingerprint_expected.toLowerCase() === dtls.fingerprint_received.toLowerCase() : null;
  return h("div", { class: "inset" }, h("h3", {}, "DTLS"),
    h("dl", { class: "facts dense" },
      fact("Our role", dtls.role),
      fact("Version", dtls.version),
      fact("Cipher", dtls.cipher),
      fact("SRTP profile", dtls.srtp_profile),
      fact("Retransmissions", dtls.retransmissions === undefined ? null : count(dtls.retransmissions)),
      fact("Alert", dtls.alert ? `${dtls.alert.name} (${dtls.alert.code}), ${dtls.alert.level}, ${dtls.alert.direction}` : null),
      fact("Records received", records(dtls.records_received)),
      fact("Records sent", records(dtls.records_sent)),
      same === null ? null : fact("Fingerprints", same
        ? h("span", { class: "tone-ok" }, icon("ok"), " the certificate is the one that the SDP names")
        : h("span", { class: "tone-fail" }, icon("fail"), " the certificate is not the one that the SDP names")),
      same === true ? null : fact("Expected", dtls.fingerprint_expected, true),
      fact(same ? "Certificate" : "Received", dtls.fingerprint_received, true)));
}
