// Ended calls by what they have in common, so that a fault which all calls of one office share is seen as one fault.

import { getFleet } from "./api.js";
import { h, icon, replace } from "./dom.js";
import { ms, percent } from "./format.js";
import { onEvery, route } from "./page.js";
import { nameOf } from "./verdict.js";

const BY = [
  ["network", "Network"], ["browser", "Browser"], ["pair", "Candidate pair"], ["protocol", "Transport"],
  ["server", "Server"], ["room", "Room"], ["plugin", "Plugin"], ["code", "Verdict"], ["hour", "Hour"],
];
const SPANS = [["1", "Last hour"], ["24", "Last day"], ["168", "Last week"]];
const ratio = (value) => percent(value === null || value === undefined ? value : 100 * value);
const hour = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const HOUR_US = 3_600_000_000;
/** Groups that stand out and are named above the table; more would bury it. */
const NAMED = 5;
const EVERY_MS = 30_000;
/** Shows the page in `main`; returns what ends it. */
export function showFleet(main) {
  document.title = "Fleet";
  const parameters = new URLSearchParams(location.search);
  const state = { by: parameters.get("by") ?? "network", hours: parameters.get("hours") ?? "24" };
  const outliers = h("div", { class: "outliers", "aria-live": "polite" });
  const body = h("tbody");
  const records = h("a", { class: "button" }, "Records as CSV");
  const note = h("p", { class: "empty", role: "status" }, "Loading …");
  const title = h("th", { scope: "col" });
  let aborter = null;
  let shown = "";

  const choices = BY.map(([value, label]) => h("button", {
    type: "button", "aria-pressed": String(state.by === value), "data-value": value,
    onclick: () => {
      state.by = value;
      for (const choice of choices) choice.setAttribute("aria-pressed", String(choice.dataset.value === value));
      restart();
    },
  }, label));
  const span = h("select", { "aria-label": "Time", onchange: () => { state.hours = span.value; restart(); } },
    SPANS.map(([value, label]) => h("option", { value, selected: state.hours === value }, label)));

  replace(main,
    h("div", { class: "list-head" },
      h("h1", {}, "Fleet"),
      h("div", { class: "segments", role: "group", "aria-label": "Group by" }, choices),
      span,
      records),
    h("p", { class: "lead" }, "Do failed calls have something in common? One office, one browser, one server: the ended calls, "
      + "counted by what they share. A group whose calls fail far more often than the others' is named first."),
    outliers,
    h("div", { class: "card scroll", tabindex: "0", role: "region", "aria-label": "Table of groups" },
      h("table", { class: "calls fleet" },
        h("caption", { class: "visually-hidden" }, "Ended calls by what they have in common, most faults first"),
        h("thead", {}, h("tr", {}, title,
          ["Calls", "Faults", "Share"].map((text) => h("th", { scope: "col", class: "number" }, text)),
          h("th", { scope: "col" }, "Verdicts"),
          ["Loss in", "Loss out", "RTT"].map((text) => h("th", { scope: "col", class: "number" }, text)))),
        body),
      note));

  function restart() {
    history.replaceState(null, "", `/fleet?${new URLSearchParams(state)}`);
    load();
  }

  async function load() {
    aborter?.abort();
    aborter = new AbortController();
    title.textContent = BY.find(([value]) => value === state.by)?.[1] ?? "";
    try {
      const since = Math.max(0, Math.round(Date.now() * 1000 - Number(state.hours) * HOUR_US));
      records.href = `/api/records?${new URLSearchParams({ since, limit: 5000, format: "csv" })}`;
      const fleet = await getFleet({ by: state.by, since }, aborter.signal);
      const text = JSON.stringify([fleet.by, fleet.groups, fleet.outliers]);
      if (text === shown) return;
      shown = text;
      draw(fleet);
    } catch (error) {
      if (error.name === "AbortError") return;
      shown = "";
      replace(body);
      note.hidden = false;
      note.textContent = error.message;
    }
  }

  function draw(fleet) {
    const marked = new Set(fleet.outliers.map((outlier) => outlier.key));
    const further = fleet.outliers.length - NAMED;
    replace(outliers,
      fleet.outliers.slice(0, NAMED).map((outlier) => h("p", { class: "notice fail" }, icon("fail"), " ", outlier.sentence)),
      further > 0 ? h("p", { class: "muted" }, `${further} further groups stand out too; they are marked below.`) : null);
    // Hours are read in their order, whatever failed in them.
    if (fleet.by === "hour") fleet.groups.sort((one, other) => Number(other.key) - Number(one.key));
    replace(body, fleet.groups.map((group) => drawGroup(group, fleet.by, marked.has(group.key))));
    note.hidden = fleet.groups.length > 0;
    note.textContent = "No call has ended in that time.";
  }

  const stopRefreshing = onEvery(EVERY_MS, () => { if (!document.hidden) load(); });
  load();
  return () => {
    stopRefreshing();
    aborter?.abort();
  };
}

/** "Network 192.0.2.0/24", where the list of calls says of whom it is. */
export const groupText = (by, key) => `${BY.find(([value]) => value === by)?.[1] ?? by} ${keyText(by, key)}`;

function keyText(by, key) {
  const texts = { code: nameOf, hour: () => hour.format(new Date(Number(key) / 1000)), protocol: () => key.toUpperCase() };
  return (texts[by] ?? String)(key);
}

function drawGroup(group, by, marked) {
  const share = group.faults / group.calls;
  return h("tr", { class: marked ? "outlier" : null },
    h("th", { scope: "row", class: "break" }, marked ? icon("fail") : null, named(group, by)),
    h("td", { class: "number" }, group.calls),
    h("td", { class: "number" }, group.faults),
    h("td", { class: "number" }, h("span", { class: "share", style: { "--share": share.toFixed(3) } }, ratio(share))),
    h("td", {}, Object.entries(group.codes).slice(0, 4).map(([code, calls]) =>
      h("span", { class: "badge" }, `${nameOf(code)}: ${calls}`))),
    h("td", { class: "number" }, ratio(group.loss_in)),
    h("td", { class: "number" }, ratio(group.loss_out)),
    h("td", { class: "number" }, ms(group.rtt_ms)));
}

function named(group, by) {
  if (group.key === null || group.key === undefined) return "not known";
  const text = keyText(by, group.key);
  return h("a", { href: `/?${new URLSearchParams({ by, key: group.key })}`, onclick: route }, text);
}
