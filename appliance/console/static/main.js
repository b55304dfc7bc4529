// Which page is shown, by the address.

import { showCall } from "./call.js";
import { showList } from "./list.js";
import { onNavigate, route } from "./page.js";

const main = document.getElementById("main");
let leave = () => {};

function show() {
  leave();
  window.scrollTo(0, 0);
  const call = /^\/call\/([^/]+)\/?$/.exec(location.pathname);
  for (const link of document.querySelectorAll(".top nav a")) {
    if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  leave = call ? showCall(main, decodeURIComponent(call[1])) : showList(main);
}

for (const link of document.querySelectorAll("[data-route]")) link.addEventListener("click", route);
onNavigate(() => { show(); main.focus({ preventScroll: true }); });
window.addEventListener("popstate", show);
show();
