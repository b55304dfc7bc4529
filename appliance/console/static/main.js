// Which page is shown, by the address.

import { showCall } from "./call.js";
import { showCode } from "./code.js";
import { hideAddresses, hidesAddresses } from "./dom.js";
import { showFleet } from "./fleet.js";
import { showList } from "./list.js";
import { showLive } from "./live.js";
import { onNavigate, route, watchHealth } from "./page.js";
import { begin } from "./session.js";
import { showTogether } from "./together.js";

const PAGES = { "/fleet": showFleet, "/live": showLive, "/together": showTogether };

const main = document.getElementById("main");
let leave = () => {};

/** A path that is no percent-encoding names a call that nobody knows; it is shown as it came. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function show() {
  leave();
  window.scrollTo(0, 0);
  const call = /^\/call\/([^/]+)\/?$/.exec(location.pathname);
  for (const link of document.querySelectorAll(".top nav a")) {
    if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const code = /^\/code\/([^/]+)\/?$/.exec(location.pathname);
  if (call) leave = showCall(main, decoded(call[1]));
  else if (code) leave = showCode(main, decoded(code[1]), (path) => { history.replaceState(null, "", path); show(); });
  else leave = (PAGES[location.pathname] ?? showList)(main);
}

for (const link of document.querySelectorAll("[data-route]")) link.addEventListener("click", route);
onNavigate(() => { show(); main.focus({ preventScroll: true }); });
window.addEventListener("popstate", show);
begin(main, show);
const hide = document.getElementById("hide-addresses");
const drawHide = () => hide.setAttribute("aria-pressed", String(hidesAddresses()));
hide.addEventListener("click", () => { hideAddresses(!hidesAddresses()); drawHide(); show(); });
drawHide();
watchHealth();
