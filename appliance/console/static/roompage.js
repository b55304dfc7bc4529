// The demo of a VideoRoom: everybody's picture, and beside it how well it comes through.

import { getConfig } from "./api.js";
import { h, replace } from "./dom.js";
import { bitrate, ms, percent } from "./format.js";
import { MediaError, capture, devices, fillPicker } from "./media.js";
import { onEvery } from "./page.js";
import { RoomStay } from "./room.js";

const $ = (id) => document.getElementById(id);
const tiles = new Map();
let config = null;
let stay = null;
let stream = null;
let stopStats = () => {};

function problem(message) {
  $("problem").textContent = message;
  $("problem").hidden = !message;
}

function state(text) {
  $("state").textContent = text;
  $("state").classList.toggle("live", text === "In the room");
}

function tile(feed, name, own) {
  let found = tiles.get(feed);
  if (!found) {
    const video = h("video", { autoplay: true, playsinline: true, muted: own || !$("listen").checked });
    const quality = h("span", { class: "muted" }, "Waiting for media …");
    const choice = h("select", { "aria-label": `Picture of ${name}`, onchange: () => stay?.choose(feed, Number(choice.value)) },
      h("option", { value: "2" }, "Best picture there is"), h("option", { value: "0" }, "Small picture"));
    choice.hidden = true;
    const element = h("figure", { class: own ? "tile own" : "tile", "data-feed": String(feed) }, video,
      h("figcaption", {}, h("strong", {}, own ? `${name} (you)` : name), quality, choice));
    found = { element, video, quality, choice, own, last: null };
    tiles.set(feed, found);
    $("people").append(element);
  }
  return found;
}

function people(everybody) {
  for (const [feed, found] of tiles) {
    if (!found.own && !everybody.has(feed)) {
      found.element.remove();
      tiles.delete(feed);
    }
  }
  for (const [feed, { display, stream: theirs }] of everybody) {
    const found = tile(feed, display, false);
    if (found.video.srcObject !== theirs) found.video.srcObject = theirs;
    found.choice.hidden = !stay?.hasChoice(feed);
  }
  $("count").textContent = stay ? `${everybody.size + 1} in the room` : "";
}

/** Rates and loss of the last second; the first has none. */
async function showQuality() {
  if (!stay || stay.over) return;
  const at = performance.now();
  for (const [feed, now] of await stay.stats()) {
    const found = tiles.get(feed);
    if (!found) continue;
    const { last } = found;
    found.last = { ...now, at };
    if (!last) continue;
    const lost = Math.max(0, now.lost - last.lost);
    const expected = lost + Math.max(0, now.packets - last.packets);
    found.quality.textContent = [
      now.width ? `${now.width}×${now.height} at ${Math.round(now.fps ?? 0)}/s` : null,
      bitrate(((now.bytes - last.bytes) * 8000) / (at - last.at)),
      expected ? `${percent((100 * lost) / expected)} lost` : null,
      now.jitter === undefined ? null : `jitter ${ms(now.jitter * 1000)}`,
      now.rtt === undefined ? null : `round trip ${ms(now.rtt * 1000)}`,
    ].filter(Boolean).join(" · ");
  }
}

function show() {
  const inside = stay !== null;
  $("enter").disabled = inside;
  $("leave").disabled = !inside;
  for (const id of ["room", "display", "pin", "microphone", "camera", "transport"]) $(id).disabled = inside;
  for (const [id, kind] of [["mute-microphone", "audio"], ["mute-camera", "video"]]) {
    const track = stream?.getTracks().find((one) => one.kind === kind);
    $(id).disabled = !inside || !track;
    $(id).setAttribute("aria-pressed", String(track ? !track.enabled : false));
  }
}

function ended(reason) {
  stopStats();
  for (const track of stream?.getTracks() ?? []) track.stop();
  for (const { element } of tiles.values()) element.remove();
  tiles.clear();
  stream = null;
  stay = null;
  state("Not in a room");
  $("count").textContent = "";
  $("side").hidden = true;
  if (!/^You have left/.test(reason)) problem(reason);
  show();
}

async function enter() {
  if (stay !== null) return;
  problem("");
  const started = new RoomStay({
    state, ended, people,
    talking: (feed, talks) => tiles.get(feed)?.element.classList.toggle("talking", talks),
    note: (text) => problem(text),
  });
  stay = started;
  show();
  const display = $("display").value.trim() || "Somebody";
  const room = /^\d+$/.test($("room").value.trim()) ? Number($("room").value.trim()) : $("room").value.trim();
  try {
    config ??= await getConfig();
    try {
      stream = await capture($("microphone").value, $("camera").value);
    } catch (error) {
      if (!(error instanceof MediaError)) throw error;
      problem(`${error.message} You see the others, and they do not see you.`);
      stream = null;
    }
    const opaqueId = `room-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;
    await started.enter({
      url: $("transport").value === "http" ? config.janus_http : config.janus_websocket,
      stream, room, display, pin: $("pin").value, opaqueId,
    });
    if (stream) {
      const own = tile(started.id, display, true);
      own.video.srcObject = stream;
      $("people").prepend(own.element);
    }
    replace($("side"), h("a", { class: "button", href: `/together?${new URLSearchParams({ room })}` }, "The room in the console"),
      h("a", { class: "button", href: `/?${new URLSearchParams({ search: opaqueId })}` }, "Your calls in the console"));
    $("side").hidden = false;
    stopStats = onEvery(1000, showQuality);
    show();
  } catch (error) {
    await started.leave(error.message).catch(() => {});
    problem(error.message);
  }
}

function toggle(kind) {
  const track = stream?.getTracks().find((one) => one.kind === kind);
  if (track) track.enabled = !track.enabled;
  show();
}

async function refreshDevices() {
  const found = await devices();
  fillPicker($("microphone"), found.audioinput, "microphone");
  fillPicker($("camera"), found.videoinput, "camera");
}

$("setup").addEventListener("submit", (submit) => { submit.preventDefault(); enter(); });
$("leave").addEventListener("click", () => stay?.leave());
$("mute-microphone").addEventListener("click", () => toggle("audio"));
$("mute-camera").addEventListener("click", () => toggle("video"));
$("listen").addEventListener("change", () => {
  for (const { video, own } of tiles.values()) video.muted = own || !$("listen").checked;
});
for (const device of ["microphone", "camera"]) fillPicker($(device), [], device);
const asked = new URLSearchParams(location.search);
if (asked.get("room")) $("room").value = asked.get("room");
window.addEventListener("pagehide", () => stay?.vanish());
refreshDevices().catch(() => {});
getConfig().then((found) => { config = found; }, (error) => problem(error.message));
