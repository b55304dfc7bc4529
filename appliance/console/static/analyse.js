// A recorded file, dropped on the page or chosen, is explained by the collector and shown; nothing of it is kept.

import { analyse } from "./api.js";
import { h, replace } from "./dom.js";
import { moment, offset } from "./format.js";
import { showCandidates, showDtls, showPairs } from "./pairs.js";
import { showPhases } from "./phases.js";
import { showDescriptions } from "./sdp.js";
import { showVerdict } from "./verdict.js";

/** A button and what a file told; the whole page takes the drop. `end()` when the page is left. */
export function dropZone() {
  const input = h("input", { type: "file", class: "visually-hidden", tabindex: "-1", "aria-hidden": "true" });
  const button = h("button", { type: "button", class: "more" }, "Analyse a file …");
  const status = h("p", { class: "muted", role: "status" }, "Or drop a capture (pcap, pcapng), a bundle (zip) or events (JSON) here.");
  const results = h("div", { class: "sections analysed" });
  const element = h("section", { class: "analyse", "aria-label": "Analyse a file" },
    h("div", { class: "list-head" }, button, input, status), results);

  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files.length) take(input.files[0]);
    input.value = "";
  });
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  const over = (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  };
  const drop = (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  };
  document.addEventListener("dragover", over);
  document.addEventListener("drop", drop);

  let turn = 0;
  async function take(file) {
    const mine = ++turn;
    replace(results);
    status.textContent = `Reading ${file.name} …`;
    try {
      const { calls, notes } = await analyse(file);
      if (mine !== turn) return;
      status.textContent = `${file.name}: ${calls.length === 1 ? "one call" : `${calls.length} calls`}.`;
      replace(results, notes.map((note) => h("p", { class: "notice" }, note)), calls.map(showAnalysed));
    } catch (error) {
      if (mine === turn) status.textContent = error.message;
    }
  }

  const end = () => {
    turn += 1;
    document.removeEventListener("dragover", over);
    document.removeEventListener("drop", drop);
  };
  return { element, end };
}

/** One call that was explained from a file. */
export function showAnalysed(call) {
  const startUs = call.started_us ?? call.verdict.timestamp_us;
  return h("article", { "aria-label": call.correlation_id },
    h("h2", { class: "break" }, call.opaque_id ?? call.correlation_id, " ", h("small", { class: "muted" }, moment(startUs))),
    showVerdict(call.verdict, false),
    h("section", { class: "card" }, h("h3", {}, "Phases"), showPhases(call.phases, false, Date.now() * 1000)),
    h("section", { class: "card" }, h("h3", {}, "Evidence"),
      h("ul", {}, call.evidence.map((item) => h("li", {}, `${offset(item.timestamp_us, startUs)}  ${item.text}`)))),
    h("details", { class: "card" }, h("summary", {}, "Path"), showPairs(call.pairs),
      h("div", { class: "path" },
        showCandidates("Server's candidates", call.candidates.local),
        showCandidates("Client's candidates", call.candidates.remote),
        showDtls(call.dtls))),
    call.descriptions.length
      ? h("details", { class: "card" }, h("summary", {}, "Offer and answer"), showDescriptions(call.descriptions))
      : null);
}
