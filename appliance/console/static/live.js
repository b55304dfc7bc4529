// What a server has now: its settings, its sessions and their handles as a tree, asked of its Admin API while one looks.

import { getHandle, getServer, getServers, getSession, setServer, stop } from "./api.js";
import { confirmButton, h, plain, replace } from "./dom.js";
import { count, words } from "./format.js";
import { onEvery, route, showConnection } from "./page.js";
import { mayOperate } from "./session.js";

const EVERY_MS = 2_000;
const LEVELS = ["0: nothing", "1: fatal", "2: errors", "3: warnings", "4: information", "5: verbose", "6: more", "7: everything"];
const OPEN_UP_TO = 5;

/** Shows the page in `main`; returns what ends it. */
export function showLive(main) {
  document.title = "Live";
  const page = new LivePage(main);
  page.start();
  const stopTicking = onEvery(EVERY_MS, () => { if (!document.hidden) page.look(); });
  return () => {
    page.over = true;
    stopTicking();
  };
}

class LivePage {
  constructor(main) {
    this.over = false;
    this.looking = false;
    this.server = new URLSearchParams(location.search).get("server") ?? "";
    this.find = "";
    this.sessions = new Map();
    this.first = true;
    this.choice = h("div", { class: "segments", role: "group", "aria-label": "Server" });
    this.search = h("input", {
      type: "search", placeholder: "Session id", "aria-label": "Search sessions",
      oninput: () => { this.find = this.search.value.trim(); this.look(); },
    });
    this.said = h("p", { class: "notice fail", role: "alert", hidden: true });
    this.facts = h("dl", { class: "facts server-facts" });
    this.settings = h("div", { class: "settings" });
    this.modules = h("div", { class: "server-modules" });
    this.summary = h("p", { class: "muted", role: "status" });
    this.tree = h("ul", { class: "tree", "aria-label": "Sessions" });
    this.content = h("div", { class: "live-page", hidden: true },
      h("section", { class: "card", "aria-labelledby": "sessions-title" },
        h("div", { class: "card-head" }, h("h2", { id: "sessions-title" }, "Sessions and handles"), this.summary), this.tree),
      h("div", { class: "live-side" },
        h("section", { class: "card", "aria-labelledby": "server-title" }, h("h2", { id: "server-title" }, "Server"), this.facts, this.modules),
        h("section", { class: "card", "aria-labelledby": "settings-title" }, h("h2", { id: "settings-title" }, "Settings"), this.settings)));
    replace(main, h("div", { class: "list-head" }, h("h1", {}, "Live"), this.choice, this.search), this.said, this.content);
    showConnection("");
  }

  async start() {
    try {
      this.names = (await getServers()).servers;
    } catch (error) {
      this.say(error.message);
      return;
    }
    if (!this.names.includes(this.server)) [this.server] = this.names;
    if (this.server === undefined) {
      this.say("No server's Admin API is known. console.admin would name one; the gateway that runs beside this collector is found by itself, once it is connected.");
      return;
    }
    this.drawChoice();
    this.look();
  }

  drawChoice() {
    replace(this.choice, this.names.length < 2 ? null : this.names.map((name) => h("button", {
      type: "button", "aria-pressed": String(name === this.server),
      onclick: () => {
        this.server = name;
        this.sessions.clear();
        this.first = true;
        this.drawn = undefined;
        replace(this.tree);
        history.replaceState(null, "", `/live?${new URLSearchParams({ server: name })}`);
        this.drawChoice();
        this.look();
      },
    }, name)));
  }

  say(text) {
    this.said.hidden = !text;
    this.said.textContent = text;
  }

  /** Never twice at once: a slow server is asked again when it has answered. */
  async look() {
    if (this.server === undefined || this.over) return;
    if (this.looking) { this.again = true; return; }
    this.looking = true;
    const { server } = this;
    try {
      const found = await getServer(server, this.find);
      if (!this.over && server === this.server) {
        this.say("");
        this.content.hidden = false;
        this.draw(found);
      }
      await Promise.all([...this.sessions.values()].map((session) => session.look()));
    } catch (error) {
      if (!this.over && server === this.server) this.say(error.message);
    }
    this.looking = false;
    if (this.again) { this.again = false; this.look(); }
  }

  draw(found) {
    const { info, status } = found;
    this.summary.textContent = found.total === found.sessions.length
      ? `${count(found.total)} ${found.total === 1 ? "session" : "sessions"}`
      : `${count(found.sessions.length)} of ${count(found.found)} found, ${count(found.total)} in all`;
    const text = JSON.stringify([info, status]);
    if (text !== this.drawn) {
      this.drawn = text;
      this.drawServer(info);
      this.drawSettings(found);
    }
    const kept = new Set(found.sessions);
    for (const [id, session] of this.sessions) {
      if (!kept.has(id)) { session.element.remove(); this.sessions.delete(id); }
    }
    for (const id of found.sessions) {
      if (!this.sessions.has(id)) {
        const session = new Session(this, id, this.first && found.sessions.length <= OPEN_UP_TO);
        this.sessions.set(id, session);
        this.tree.append(session.element);
      }
    }
    this.first = false;
  }

  drawServer(info) {
    const fact = (term, value) => (value === undefined || value === "" ? null : h("div", {}, h("dt", {}, term), h("dd", { class: "break" }, String(value))));
    replace(this.facts,
      fact("Name", info["server-name"]), fact("Software", `${info.name ?? "?"} ${info["appliance-version"] ?? info.version_string ?? ""}`),
      fact("Address", info["local-ip"]), fact("ICE", info["ice-lite"] ? "lite" : "full"),
      fact("API secret", info.api_secret ? "asked for" : "none"), fact("Tokens", info.auth_token ? "asked for" : "none"));
    const modules = ["plugins", "transports", "events"].map((kind) => [kind, Object.entries(info[kind] ?? {})]).filter(([, all]) => all.length > 0);
    replace(this.modules, modules.map(([kind, all]) => h("details", {}, h("summary", {}, `${words(kind)} (${all.length})`),
      h("ul", { class: "plain" }, all.map(([name, module]) => h("li", {}, h("code", {}, name), " ", h("small", {}, module.version_string ?? "")))))));
  }

  drawSettings({ info, status, changes }) {
    const values = { ...("accepting-new-sessions" in info ? { "accepting-new-sessions": info["accepting-new-sessions"] } : {}), ...status };
    if (this.settings.contains(document.activeElement)) { this.drawn = undefined; return; }
    replace(this.settings, h("table", {}, h("caption", { class: "visually-hidden" }, "Settings in force"),
      h("tbody", {}, Object.entries(values).map(([name, value]) => h("tr", {},
        h("th", { scope: "row" }, h("label", { for: `setting-${name}` }, words(name.replaceAll("-", "_")))),
        h("td", {}, mayOperate() && name in changes ? this.control(name, value, changes[name]) : String(value)))))));
  }

  control(name, value, kind) {
    const id = `setting-${name}`;
    const change = async (control, wanted) => {
      control.disabled = true;
      try {
        await setServer(this.server, name, wanted);
        this.say("");
      } catch (error) {
        this.say(error.message);
      }
      control.disabled = false;
      control.blur();
      this.drawn = undefined;
      this.look();
    };
    if (kind === "bool") {
      const box = h("input", { id, type: "checkbox", checked: Boolean(value), onchange: () => change(box, box.checked) });
      return box;
    }
    if (name === "log_level") {
      const list = h("select", { id, onchange: () => change(list, Number(list.value)) },
        LEVELS.map((label, level) => h("option", { value: String(level), selected: level === value }, label)));
      return list;
    }
    const field = h("input", { id, type: "number", min: "0", step: "1", value: String(value), onchange: () => {
      if (field.validity.valid && field.value !== "") change(field, Number(field.value));
    } });
    return field;
  }
}

/** Draws `build()` into an element when its value has changed, and leaves alone what somebody is selecting in. */
function keep(element, value, build) {
  const text = JSON.stringify(value);
  if (element.dataset.drawn === text || element.contains(getSelection()?.isCollapsed === false ? getSelection().anchorNode : null)) return;
  element.dataset.drawn = text;
  replace(element, build());
}

class Session {
  constructor(page, id, open) {
    this.page = page;
    this.id = id;
    this.handles = new Map();
    this.count = h("small", {});
    this.list = h("ul", { class: "tree" });
    this.said = h("p", { class: "tone-fail", role: "alert", hidden: true });
    this.details = h("details", { open, ontoggle: () => this.look() },
      h("summary", {}, h("span", {}, "Session ", h("code", {}, String(id))), this.count),
      h("div", { class: "branch" },
        h("div", { class: "actions" },
          h("a", { class: "button", href: `/?${new URLSearchParams({ search: `${id}-` })}`, onclick: route }, "Its calls"),
          mayOperate() ? confirmButton("Destroy", "Destroy the session?", () => this.act(() => stop(page.server, id))) : null),
        this.said, this.list));
    this.element = h("li", {}, this.details);
  }

  async act(action) {
    try {
      await action();
      this.said.hidden = true;
    } catch (error) {
      this.said.hidden = false;
      this.said.textContent = error.message;
    }
    this.page.look();
  }

  async look() {
    if (!this.details.open || this.page.over) return;
    let found;
    try {
      found = await getSession(this.page.server, this.id);
    } catch (error) {
      if (error.status !== 404) throw error;
      return;
    }
    this.count.textContent = `${found.total} ${found.total === 1 ? "handle" : "handles"}`;
    const kept = new Set(found.handles.map(({ handle }) => handle));
    for (const [id, handle] of this.handles) {
      if (!kept.has(id)) { handle.element.remove(); this.handles.delete(id); }
    }
    for (const told of found.handles) {
      if (!this.handles.has(told.handle)) {
        const handle = new Handle(this, told.handle);
        this.handles.set(told.handle, handle);
        this.list.append(handle.element);
      }
      this.handles.get(told.handle).tell(told);
    }
    await Promise.all([...this.handles.values()].map((handle) => handle.look()));
  }
}

class Handle {
  constructor(session, id) {
    this.session = session;
    this.id = id;
    this.line = h("span", { class: "handle-line" });
    this.json = h("pre", { class: "json", tabindex: "0", "aria-label": `What the server knows of handle ${id}` });
    this.actions = h("div", { class: "actions" },
      h("a", { class: "button", href: `/?${new URLSearchParams({ search: `${session.id}-${id}` })}`, onclick: route }, "Its calls"),
      mayOperate() ? confirmButton("Hang up", "Hang up this call?", () => session.act(() => stop(session.page.server, session.id, id))) : null);
    this.details = h("details", { ontoggle: () => this.look() }, h("summary", {}, this.line), h("div", { class: "branch" }, this.actions, this.json));
    this.element = h("li", {}, this.details);
  }

  tell(told) {
    const badge = (name, value) => (value ? h("span", { class: `badge${/^(ready|connected|completed)$/.test(value) ? " live" : ""}` }, `${name} ${value}`) : null);
    keep(this.line, told, () => [
      h("strong", {}, (told.plugin ?? "no plugin").replace(/^janus\.plugin\./, "")), " ", h("code", {}, String(this.id)),
      told.opaque_id ? h("span", {}, told.opaque_id) : null, told.room ? h("span", {}, `room ${told.room}`) : null,
      told.up ? [badge("ICE", told.ice), badge("DTLS", told.dtls)] : h("span", { class: "badge" }, "no PeerConnection"),
    ]);
  }

  async look() {
    if (!this.details.open || this.session.page.over) return;
    try {
      const { info } = await getHandle(this.session.page.server, this.session.id, this.id);
      keep(this.json, info, () => plain(JSON.stringify(info, null, 2)));
    } catch (error) {
      if (error.status !== 404) throw error;
    }
  }
}
