// The HEP packets that were sent for this call, as the capture server got them.

import { getHep } from "./api.js";
import { h, replace } from "./dom.js";
import { bytes, isoTime, offset } from "./format.js";

// HEP3 chunk 0x000b, protocol types.
const TYPES = { 1: "SIP", 5: "RTCP", 100: "Log", 32: "QoS" };

export class HepList {
  constructor(correlationId, startUs) {
    this.correlationId = correlationId;
    this.startUs = startUs;
    this.element = h("div", {}, h("p", { class: "empty", role: "status" }, "Loading …"));
  }

  async load() {
    try {
      const { enabled, packets } = await getHep(this.correlationId);
      if (!enabled) this.say("The HEP handler is off: nothing is sent to a capture server.");
      else if (packets.length === 0) this.say("No HEP packet is remembered for this call. The last ones of each recent call are kept.");
      else replace(this.element, this.table(packets));
    } catch (error) {
      this.say(error.message);
    }
  }

  say(text) {
    replace(this.element, h("p", { class: "empty", role: "status" }, text));
  }

  table(packets) {
    return h("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": "Table of HEP packets" }, h("table", {},
      h("caption", { class: "visually-hidden" }, "HEP packets"),
      h("thead", {}, h("tr", {},
        h("th", { scope: "col", class: "number" }, "After"),
        ["Type", "From", "To"].map((title) => h("th", { scope: "col" }, title)),
        h("th", { scope: "col", class: "number" }, "Size"),
        h("th", { scope: "col" }, "Begins with"))),
      h("tbody", {}, packets.map((packet) => h("tr", {},
        h("td", { class: "number", title: isoTime(packet.timestamp_us) }, offset(packet.timestamp_us, this.startUs)),
        h("td", { class: "nowrap" }, `${packet.payload_type} ${TYPES[packet.payload_type] ?? ""}`),
        h("td", { class: "nowrap" }, h("code", {}, packet.source)),
        h("td", { class: "nowrap" }, h("code", {}, packet.destination)),
        h("td", { class: "number" }, bytes(packet.size)),
        h("td", { class: "begins", title: packet.summary }, h("code", {}, packet.summary)))))));
  }
}
