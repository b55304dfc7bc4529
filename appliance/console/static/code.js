// /code/K7Q2MX: the call of a network test, by the code that the person was given.

import { getCalls } from "./api.js";
import { h, replace } from "./dom.js";
import { route } from "./page.js";

/** Goes to the call; where there is none, says so in `main`. Returns what ends it. */
export function showCode(main, given, go) {
  document.title = `Code ${given}`;
  // As it was written down, or heard.
  const code = given.toUpperCase().replace(/[\s-]/g, "").replace(/O/g, "0").replace(/[IL]/g, "1");
  let over = false;
  const title = h("div", { class: "list-head" }, h("h1", {}, `Code ${code}`));
  replace(main, title, h("p", { class: "notice", role: "status" }, "Looking for that test …"));
  (async () => {
    try {
      const { calls } = await getCalls({ search: `test-${code}`, limit: 10 });
      const found = calls.find((call) => call.opaque_id === `test-${code}`);
      if (over) return;
      if (found) { go(`/call/${encodeURIComponent(found.correlation_id)}`); return; }
      replace(main, title, h("p", { class: "notice fail", role: "alert" },
        `No test with the code ${code} is known. Either it is too long ago, or it never reached the gateway.`));
    } catch (error) {
      if (!over) replace(main, title, h("p", { class: "notice fail", role: "alert" }, error.message));
    }
    if (!over) main.append(h("p", { class: "inset" }, h("a", { href: "/", onclick: route }, "All calls")));
  })();
  return () => { over = true; };
}
