// Who is looking, and the form that asks.

import { onLoginWanted, post } from "./api.js";
import { h, replace } from "./dom.js";

let session = { role: null, user: null, login: false, takes_secret: false };

/** Whether to offer what changes something; the server decides in any case. */
export const mayOperate = () => session.role === "operator";

/** Asks who is looking; then calls `ready`, at once or after a login. */
export async function begin(main, ready) {
  const corner = document.getElementById("session");
  // Beside the page, because what was asked for before may still arrive and be drawn there.
  const place = h("div");
  main.after(place);
  const enter = (found) => {
    session = found;
    drawCorner(corner);
    replace(place);
    main.hidden = false;
    ready();
  };
  const ask = (text) => {
    main.hidden = true;
    showLogin(place, text, enter);
  };
  onLoginWanted(() => {
    if (main.hidden) return;
    session = { ...session, role: null };
    drawCorner(corner);
    ask("Your login has ended.");
  });
  try {
    session = await (await fetch("/api/session", { credentials: "same-origin" })).json();
  } catch {
    // The pages say so themselves.
  }
  drawCorner(corner);
  if (session.login && !session.role) ask("");
  else ready();
}

function drawCorner(corner) {
  if (!session.login || !session.role) { replace(corner); return; }
  const who = session.user ? `${session.user} (${session.role})` : session.role;
  replace(corner, h("span", { class: "muted" }, who), session.user ? null : h("button", {
    type: "button",
    onclick: async () => { await post("/api/logout"); location.reload(); },
  }, "Log out"));
}

function showLogin(place, text, enter) {
  if (!session.takes_secret && session.login) {
    replace(place, h("p", { id: "login", class: "notice fail", role: "alert" },
      "This console is open to those whom its reverse proxy knows. Come by its address."));
    return;
  }
  document.title = "Log in";
  const said = h("p", { class: "login-said", role: "alert" }, text);
  const secret = h("input", { id: "secret", type: "password", autocomplete: "current-password", required: true });
  const button = h("button", { class: "primary", type: "submit" }, "Log in");
  const form = h("form", { id: "login", class: "card login", onsubmit: async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      const found = await post("/api/login", { secret: secret.value });
      enter(found);
    } catch (error) {
      said.textContent = error.message.charAt(0).toUpperCase() + error.message.slice(1) + ".";
      secret.select();
    }
    button.disabled = false;
  } },
  h("h1", {}, "Log in"),
  h("p", { class: "muted" }, "With the secret of this console: the operators' one, or the one for reading."),
  h("label", { for: "secret" }, "Secret"), secret, said, button);
  replace(place, form);
  secret.focus();
}
