// The list of calls, verdict first; live ones change as they go.

import { dropZone } from "./analyse.js";
import { getCalls, watch } from "./api.js";
import { h, icon, replace } from "./dom.js";
import { groupText } from "./fleet.js";
import { clock, duration, moment } from "./format.js";
import { showQuality, verdictWord } from "./verdict.js";
import { onEvery, route, showConnection } from "./page.js";

const PAGE = 100;
/** Calls in the page; older ones have a page of their own, and what is new pushes out what is oldest. */
const MOST = 500;
/** Characters of a detail that is kept on one line. */
const SHORT = 30;
const SEVERITIES = [["", "Any verdict"], ["fault", "Faults"], ["notice", "Notices"], ["good", "Good"]];

/** Microseconds as a datetime-local field has them, in the reader's own time; the other way NaN where it is none. */
const asField = (us) => (us ? new Date(us / 1000 - new Date(us / 1000).getTimezoneOffset() * 60_000).toISOString().slice(0, 16) : "");
const ofField = (text) => new Date(text).getTime() * 1000;

/** Shows the list in `main`; returns what ends it. */
export function showList(main) {
  document.title = "Calls";
  const parameters = new URLSearchParams(location.search);
  const state = {
    search: parameters.get("search") ?? "", live: parameters.get("live") ?? "",
    severity: parameters.get("severity") ?? "", before: parameters.get("before") ?? "",
    by: parameters.get("by") ?? "", key: parameters.get("key") ?? "",
  };
  const rows = new Map();
  let calls = [];
  let before = null;
  let wanted = PAGE;
  let aborter = null;
  let clockSkewUs = 0;

  const body = h("tbody");
  const note = h("p", { class: "empty", role: "status" }, "Loading …");
  const more = h("button", { type: "button", class: "more", hidden: true, onclick: () => {
    if (calls.length < MOST) { load(before); return; }
    state.before = String(before);
    from.value = asField(before);
    restart();
    window.scrollTo(0, 0);
  } }, "Older calls");
  const search = h("input", {
    type: "search", value: state.search, placeholder: "Search id, opaque id, room, address, verdict",
    "aria-label": "Search calls", oninput: () => { state.search = search.value; later(); },
  });
  const choices = [["", "All"], ["true", "Live"], ["false", "Ended"]].map(([value, label]) => h("button", {
    type: "button", "aria-pressed": String(state.live === value),
    onclick: () => {
      state.live = value;
      choices.forEach((choice, index) => choice.setAttribute("aria-pressed", String(["", "true", "false"][index] === value)));
      restart();
    },
  }, label));

  const severity = h("select", { "aria-label": "Verdict", onchange: () => { state.severity = severity.value; restart(); } },
    SEVERITIES.map(([value, label]) => h("option", { value, selected: state.severity === value }, label)));
  const from = h("input", { type: "datetime-local", "aria-label": "Started before", title: "Started before", value: asField(Number(state.before)),
    onchange: () => {
      const us = ofField(from.value);
      state.before = us > 0 ? String(us) : "";
      restart();
    } });

  const group = h("button", { type: "button", class: "chip", hidden: state.by === "", "aria-label": `${groupText(state.by, state.key)}, show all`,
    onclick: () => {
      Object.assign(state, { by: "", key: "" });
      group.hidden = true;
      restart();
    } }, `${groupText(state.by, state.key)} ×`);

  const zone = dropZone();
  replace(main,
    h("div", { class: "list-head" },
      h("h1", {}, "Calls"),
      group,
      h("div", { class: "segments", role: "group", "aria-label": "Which calls" }, choices),
      severity,
      h("label", { class: "muted" }, "before ", from),
      search),
    h("div", { class: "card scroll" },
      h("table", { class: "calls" },
        h("caption", { class: "visually-hidden" }, "Calls, newest first"),
        h("thead", {}, h("tr", {},
          ["Verdict", "Who", "Started"].map((title) => h("th", { scope: "col" }, title)),
          h("th", { scope: "col", class: "number" }, "Duration"),
          ["Quality", "State"].map((title) => h("th", { scope: "col" }, title)))),
        body),
      note),
    more,
    zone.element);

  let timer = null;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(restart, 200);
  };

  function restart() {
    const query = new URLSearchParams(Object.entries(state).filter(([, value]) => value !== "")).toString();
    history.replaceState(null, "", query ? `/?${query}` : "/");
    load(null);
  }

  /** The first page, or what is older than the last of those shown. */
  async function load(older) {
    aborter?.abort();
    aborter = new AbortController();
    try {
      const page = await getCalls({ ...state, before: older ?? state.before, limit: PAGE }, aborter.signal);
      clockSkewUs = page.now_us - Date.now() * 1000;
      calls = older === null ? page.calls : [...calls, ...page.calls];
      wanted = Math.max(PAGE, calls.length);
      before = page.before;
      more.hidden = before === null;
      draw();
    } catch (error) {
      if (error.name === "AbortError") return;
      note.hidden = false;
      note.textContent = error.message;
    }
  }

  const filtered = () => Object.values(state).some((value) => value !== "");
  const nowUs = () => Date.now() * 1000 + clockSkewUs;
  const length = (call) => duration((call.ended_us ?? nowUs()) - call.started_us);

  function draw(fresh = new Set()) {
    const kept = new Set(calls.map((call) => call.correlation_id));
    for (const id of rows.keys()) if (!kept.has(id)) rows.delete(id);
    const focused = document.activeElement?.closest("tr")?.dataset.id;
    arrange(body, calls.map((call) => {
      const known = rows.get(call.correlation_id);
      const text = JSON.stringify(call);
      if (known?.text === text) return known.row;
      const row = drawRow(call, nowUs(), length(call));
      if (fresh.has(call.correlation_id)) row.classList.add("fresh");
      rows.set(call.correlation_id, { row, text, call });
      return row;
    }));
    if (focused) body.querySelector(`tr[data-id="${CSS.escape(focused)}"] a`)?.focus({ preventScroll: true });
    note.hidden = calls.length > 0;
    note.textContent = filtered()
      ? "No call matches."
      : "No call yet. Place one from the demo call page, or point a client at the gateway.";
  }

  function change(changed) {
    // A filtered list can't be patched from here: what matches is the archive's to say.
    if (filtered()) { later(); return; }
    const byId = new Map(calls.map((call) => [call.correlation_id, call]));
    const fresh = new Set(changed.filter((call) => !byId.has(call.correlation_id)).map((call) => call.correlation_id));
    for (const call of changed) byId.set(call.correlation_id, call);
    calls = [...byId.values()].sort((one, other) => other.started_us - one.started_us);
    // A page that stays open for days holds no more than it was asked for.
    if (calls.length > wanted) {
      calls.length = wanted;
      before = calls.at(-1).started_us;
      more.hidden = false;
    }
    draw(fresh);
  }

  const stopTicking = onEvery(1000, () => {
    for (const { row, call } of rows.values()) {
      if (call.ended_us === undefined) row.querySelector(".duration").textContent = length(call);
    }
  });
  const stopWatching = watch(null, { calls: change, reload: () => load(null), state: showConnection });
  load(null);
  return () => {
    zone.end();
    stopTicking();
    stopWatching();
    aborter?.abort();
    clearTimeout(timer);
  };
}

/** Makes `rows` the children of `body`, and touches none that is where it belongs. */
function arrange(body, rows) {
  rows.forEach((row, at) => {
    if (body.children[at] !== row) body.insertBefore(row, body.children[at] ?? null);
  });
  while (body.children.length > rows.length) body.lastChild.remove();
}

function drawRow(call, nowUs, length) {
  const { tone, word, sentence } = verdictWord(call.verdict, call.ended_us === undefined);
  const who = call.opaque_id ?? (call.room !== undefined ? `Room ${call.room}` : null) ?? `Handle ${call.handle_id}`;
  const details = [
    call.room !== undefined && call.opaque_id !== undefined ? `room ${call.room}` : null,
    call.client_address,
    call.plugin?.replace(/^janus\.plugin\./, ""),
    call.server,
  ].filter(Boolean);
  const href = `/call/${encodeURIComponent(call.correlation_id)}`;
  return h("tr", { "data-id": call.correlation_id },
    h("td", {}, h("div", { class: "verdict-cell" },
      h("span", { class: `tone-${tone}` }, icon(tone)),
      h("div", {},
        h("a", { href, onclick: route, class: `tone-${tone}` }, word),
        sentence ? h("p", {}, sentence) : null))),
    h("td", { class: "who break" }, h("strong", { title: who }, who), h("small", {}, details.map((detail, at) => [at ? " · " : "", detail.length > SHORT ? detail : h("span", { class: "nowrap" }, detail)]))),
    h("td", { class: "nowrap" }, h("time", { title: moment(call.started_us) }, clock(call.started_us, nowUs))),
    h("td", { class: "number duration" }, length),
    h("td", {}, showQuality(call.verdict)),
    h("td", {}, call.ended_us === undefined ? h("span", { class: "badge live" }, "Live") : h("span", { class: "badge" }, "Ended")));
}
