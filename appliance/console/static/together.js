// Those of one room, or the stays of one user, side by side: who publishes, who watches whom, on which handles.

import { getMembers, watch } from "./api.js";
import { h, replace } from "./dom.js";
import { clock, moment, NONE } from "./format.js";
import { onEvery, route, showConnection } from "./page.js";
import { nameOf } from "./verdict.js";

/** Whatever changes meanwhile is looked at once. */
const LATER_MS = 1_000;
/** Who joins and publishes nothing has no call that would change. */
const EVERY_MS = 5_000;

/** Shows the page in `main`; returns what ends it. */
export function showTogether(main) {
  const parameters = new URLSearchParams(location.search);
  const filter = Object.fromEntries(["room", "user", "server"].map((name) => [name, parameters.get(name) ?? ""]));
  const title = filter.user ? `User ${filter.user}` : `Room ${filter.room}`;
  document.title = title;
  const body = h("tbody");
  const note = h("p", { class: "empty", role: "status" }, "Loading …");
  let shown = "";
  const aborter = new AbortController();
  replace(main,
    h("div", { class: "list-head" }, h("h1", {}, title)),
    h("div", { class: "card scroll", tabindex: "0", role: "region", "aria-label": "Table of people" },
      h("table", { class: "calls together" },
        h("caption", { class: "visually-hidden" }, "Who publishes and who watches whom, the latest to join first"),
        h("thead", {}, h("tr", {}, ["Who", "Room", "From", "Publishes", "Watches", "Joined", "Left"].map((text) =>
          h("th", { scope: "col" }, text)))),
        body),
      note));

  async function load() {
    try {
      const { members } = await getMembers(filter, aborter.signal);
      const text = JSON.stringify(members);
      if (text === shown) return;
      shown = text;
      replace(body, members.map(drawMember));
      note.hidden = members.length > 0;
      note.textContent = "Nobody was there, or it is not kept any more.";
    } catch (error) {
      if (error.name === "AbortError") return;
      note.hidden = false;
      note.textContent = error.message;
    }
  }

  let timer = null;
  const later = () => { timer ??= setTimeout(() => { timer = null; load(); }, LATER_MS); };
  const stopWatching = watch(null, { calls: later, reload: later, state: showConnection });
  const stopLooking = onEvery(EVERY_MS, () => { if (!document.hidden) later(); });
  load();
  return () => {
    stopLooking();
    stopWatching();
    clearTimeout(timer);
    aborter.abort();
  };
}

const callLink = (correlationId, text) => correlationId
  ? h("a", { href: `/call/${encodeURIComponent(correlationId)}`, onclick: route }, text)
  : text;

function drawMember(member) {
  const nowUs = Date.now() * 1000;
  return h("tr", {},
    h("td", { class: "who break" },
      h("strong", {}, member.display ?? member.opaque_id ?? `Feed ${member.feed}`),
      h("small", {}, [member.opaque_id, `session ${member.session_id}`, member.server].filter(Boolean).join(" · "))),
    h("td", {}, h("a", { href: `/together?${new URLSearchParams({ room: member.room })}`, onclick: route }, member.room)),
    h("td", { class: "nowrap" }, member.client_address ?? NONE),
    h("td", {},
      callLink(member.correlation_id, `feed ${member.feed} on handle ${member.handle_id}`),
      h("small", {}, member.verdict_code ? nameOf(member.verdict_code) : member.published ? "" : "has not published")),
    h("td", {}, member.watches?.length
      ? h("ul", { class: "plain" }, member.watches.map((watched) => h("li", {},
        callLink(watched.correlation_id, `${watched.display ?? `feed ${watched.feed}`} on handle ${watched.handle_id}`))))
      : NONE),
    h("td", { class: "nowrap" }, h("time", { title: moment(member.joined_us) }, clock(member.joined_us, nowUs))),
    h("td", { class: "nowrap" }, member.left_us === undefined || member.left_us === null
      ? h("span", { class: "badge live" }, "There")
      : h("time", { title: moment(member.left_us) }, clock(member.left_us, nowUs))));
}
