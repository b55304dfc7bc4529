// Elements from values. Text only ever becomes text nodes, so that nothing an endpoint says can become markup.

const SVG = "http://www.w3.org/2000/svg";

// Characters that turn the reading order around would let an endpoint rewrite the words beside its own.
const TURNING = /[\u202A-\u202E\u2066-\u2069]/g;

// Whole addresses only: a time of day and a fingerprint have colons too.
const ADDRESSES = [
  [/(?<![\d.])(\d{1,3}\.\d{1,3})\.\d{1,3}\.\d{1,3}(?!\d|\.\d)/g, "$1.x.x"],
  [/(?<![\w:.])((?:[0-9a-f]{1,4}:){2})(?:[0-9a-f]{1,4}:){5}[0-9a-f]{1,4}(?![\w:])/gi, "$1x"],
  [/(?<![\w:.])([0-9a-f]{1,4}:)?(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4})*)?:?:(?<=::)(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4})*)(?![\w:])/gi, "$1:x"],
];

/** What a reader chose stays chosen, where the browser lets a page keep anything. */
export function recall(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Then it holds as long as the page is open.
  }
}

const HIDING = "hide-addresses";
let hiding = recall(HIDING) === "true";

/** Whether addresses are cut: a picture of the page may then be passed on. */
export const hidesAddresses = () => hiding;

export function hideAddresses(wanted) {
  hiding = wanted;
  remember(HIDING, String(wanted));
}

/** The text as it is shown, whatever wrote it. */
export function plain(text) {
  const harmless = String(text).replace(TURNING, "\uFFFD");
  return hiding ? ADDRESSES.reduce((shown, [address, cut]) => shown.replace(address, cut), harmless) : harmless;
}

/** h("a", {href, class, onclick, "aria-label": ...}, children...): null and false children are left out. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : name === "title" ? plain(value) : String(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : plain(child));
  }
}

export function replace(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

// Shapes differ as well as colours: a circle, a triangle, an octagon, a ring.
const ICONS = {
  ok: ["M8 1.2a6.8 6.8 0 1 0 0 13.6A6.8 6.8 0 0 0 8 1.2Z", "M4.9 8.3l2.2 2.2 4-4.6"],
  warn: ["M8 1.6 15 14H1L8 1.6Z", "M8 6.2v3.6M8 11.7v.2"],
  fail: ["M5.2 1.2h5.6l4 4v5.6l-4 4H5.2l-4-4V5.2l4-4Z", "M5.6 5.6l4.8 4.8M10.4 5.6l-4.8 4.8"],
  info: ["M8 1.2a6.8 6.8 0 1 0 0 13.6A6.8 6.8 0 0 0 8 1.2Z", "M8 7.2v4M8 4.6v.2"],
  wait: ["M8 1.2a6.8 6.8 0 1 0 0 13.6A6.8 6.8 0 0 0 8 1.2Z", "M8 4.4V8l2.4 1.8"],
};

/** A decorative icon; the word beside it says the same. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  const [outline, mark] = ICONS[name] ?? ICONS.info;
  for (const [d, kind] of [[outline, "outline"], [mark, "mark"]]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    path.setAttribute("class", kind);
    svg.append(path);
  }
  return svg;
}

/** Copies, and says so on the button for a moment; where the clipboard is refused, selects the text in a prompt. */
export function copyButton(label, text) {
  const button = h("button", { type: "button", class: "button" }, label);
  button.addEventListener("click", async () => {
    const value = typeof text === "function" ? text() : text;
    try {
      await navigator.clipboard.writeText(value);
      button.textContent = "Copied";
    } catch {
      window.prompt("Copy with Ctrl+C", value);
    }
    setTimeout(() => { button.textContent = label; }, 1500);
  });
  return button;
}

const SURE_MS = 5_000;

/** What can't be taken back is asked for twice: the button turns into its question, and back after a while. */
export function confirmButton(label, question, action) {
  let timer = null;
  const back = () => {
    clearTimeout(timer);
    timer = null;
    button.textContent = label;
    button.classList.remove("danger");
  };
  const button = h("button", { type: "button", onclick: async () => {
    if (timer === null) {
      button.textContent = question;
      button.classList.add("danger");
      timer = setTimeout(back, SURE_MS);
      return;
    }
    back();
    button.disabled = true;
    await action(button);
    button.disabled = false;
  } }, label);
  return button;
}
