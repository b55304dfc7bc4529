// The demo call page: a real call through EchoTest, and beside it what the server sees of it.

import { getConfig } from "./api.js";
import { h } from "./dom.js";
import { EchoCall } from "./echo.js";
import { bitrate as bitrateText } from "./format.js";
import { MediaError, capture, devices, fillPicker } from "./media.js";
import { NetworkTest } from "./networktest.js";
import { onEvery } from "./page.js";
import { followCall } from "./serverside.js";

const $ = (id) => document.getElementById(id);
const SETTINGS = "demo-call";
let config = null;
let call = null;
let stream = null;
let stopFollowing = () => {};
let stopStats = () => {};
let test = null;

function problem(message, action = null) {
  $("problem").replaceChildren(message, ...(action ? [" ", action] : []));
  $("problem").hidden = !message;
}

function state(text, live = false) {
  $("state").textContent = text;
  $("state").classList.toggle("live", live);
}

function log(kind, text) {
  const list = $("log");
  list.append(h("p", { class: kind }, text));
  while (list.children.length > 200) list.firstChild.remove();
  list.scrollTop = list.scrollHeight;
}

async function refreshDevices() {
  const found = await devices();
  fillPicker($("microphone"), found.audioinput, "microphone");
  fillPicker($("camera"), found.videoinput, "camera");
}

const muted = { microphone: false, camera: false };
const TRACKS = { microphone: "audio", camera: "video" };

function applyMute(device) {
  const tracks = stream?.getTracks().filter((track) => track.kind === TRACKS[device]) ?? [];
  for (const track of tracks) track.enabled = !muted[device];
  const button = $(`mute-${device}`);
  button.disabled = call === null || tracks.length === 0;
  button.setAttribute("aria-pressed", String(muted[device]));
  button.textContent = `${muted[device] ? "Unmute" : "Mute"} ${device}`;
}

function show() {
  const inCall = call !== null;
  const testing = test !== null;
  $("call").disabled = inCall || testing;
  $("test").disabled = inCall || testing;
  $("hangup").disabled = !inCall;
  $("transport").disabled = inCall;
  for (const device of ["microphone", "camera"]) applyMute(device);
}

function stopMedia() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  $("local").srcObject = null;
  $("remote").srcObject = null;
}

function dataOpen(open) {
  $("text").disabled = !open;
  $("send").disabled = !open;
  log("note", open ? "The data channel is open." : "The data channel is closed.");
}

function ended(reason) {
  stopStats();
  $("browser-stats").textContent = "";
  $("text").disabled = true;
  $("send").disabled = true;
  stopMedia();
  call = null;
  state("Not in a call");
  log("note", reason);
  if (!/^You hung up/.test(reason)) problem(reason);
  show();
}

async function place(withMedia = true) {
  if (call !== null) return;
  problem("");
  stopFollowing();
  try {
    config ??= await getConfig();
  } catch (error) {
    problem(error.message);
    return;
  }
  const started = new EchoCall({
    state: (text) => state(text, text === "In the call"),
    ended,
    remote: (back) => { $("remote").srcObject = back; $("remote").muted = !$("listen").checked; },
    text: (text) => log("came", text),
    note: (text) => log("note", text),
    data: dataOpen,
  });
  call = started;
  show();
  try {
    if (withMedia) {
      state("Asking for microphone and camera");
      stream = await capture($("microphone").value, $("camera").value);
      $("local").srcObject = stream;
      refreshDevices().catch(() => {});
    }
    const overHttp = $("transport").value === "http";
    await started.place({
      url: overHttp ? config.janus_http : config.janus_websocket,
      stream,
      bitrate: Number($("bitrate").value),
      opaqueId: `demo-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`,
    });
    show();
    stopFollowing = followCall($("server"), started.session.id, started.handle.id);
    stopStats = onEvery(1000, showStats());
  } catch (error) {
    await started.hangUp(error.message).catch(() => {});
    const fallback = error instanceof MediaError
      ? h("button", { type: "button", onclick: () => place(false) }, "Call without microphone and camera") : null;
    problem(error.message, fallback);
  }
}

/** Rates are differences; the first second has none. */
function showStats() {
  let last = null;
  return async () => {
    if (!call?.peer || call.over) return;
    const now = { ...(await call.stats()), at: performance.now() };
    if (call === null) return;
    const rate = (name) => (last ? ((now[name] - last[name]) * 8000) / (now.at - last.at) : null);
    const parts = [
      `browser sends ${bitrateText(rate("sent"))}, receives ${bitrateText(rate("received"))}`,
      `${now.lost} lost`,
      now.width ? `${now.width}×${now.height} at ${Math.round(now.fps ?? 0)}/s` : null,
    ];
    $("browser-stats").textContent = parts.filter(Boolean).join(" · ");
    last = now;
  };
}

async function testNetwork() {
  problem("");
  try {
    config ??= await getConfig();
  } catch (error) {
    problem(error.message);
    return;
  }
  // A test of the test takes less time than a person's.
  const asked = Number(new URLSearchParams(location.search).get("seconds"));
  const seconds = asked >= 1 && asked <= 120 ? asked : undefined;
  test = new NetworkTest($("test-shown"), { config, seconds, microphone: $("microphone").value, camera: $("camera").value });
  show();
  await test.run();
  test = null;
  show();
}

/** Another device while the call goes on. */
async function changeDevice(device) {
  remember();
  if (call === null || !stream) return;
  const kind = TRACKS[device];
  const old = stream.getTracks().find((track) => track.kind === kind);
  const choice = $(device).value;
  if (!old || choice === "none") {
    log("note", "That takes effect with the next call.");
    return;
  }
  try {
    const fresh = await capture(device === "microphone" ? choice : "none", device === "camera" ? choice : "none");
    const [track] = fresh.getTracks();
    await call.replaceTrack(track);
    old.stop();
    stream.removeTrack(old);
    stream.addTrack(track);
    applyMute(device);
  } catch (error) {
    problem(error.message);
  }
}

/** A reload keeps the choices. */
function remember() {
  const values = Object.fromEntries(["microphone", "camera", "transport", "bitrate"].map((id) => [id, $(id).value]));
  sessionStorage.setItem(SETTINGS, JSON.stringify(values));
}

function restore(ids) {
  const kept = JSON.parse(sessionStorage.getItem(SETTINGS) ?? "{}");
  for (const id of ids) {
    if ([...$(id).options].some((option) => option.value === kept[id])) $(id).value = kept[id];
  }
}

// Buttons first: listing the devices can take a browser seconds, and a click meanwhile must not be lost.
function begin() {
  restore(["transport", "bitrate"]);
  $("call").addEventListener("click", () => place());
  $("test").addEventListener("click", testNetwork);
  $("hangup").addEventListener("click", () => { $("hangup").disabled = true; call?.hangUp(); });
  for (const device of ["microphone", "camera"]) {
    fillPicker($(device), [], device);
    $(`mute-${device}`).addEventListener("click", () => { muted[device] = !muted[device]; applyMute(device); });
    $(device).addEventListener("change", () => changeDevice(device));
  }
  $("transport").addEventListener("change", remember);
  $("bitrate").addEventListener("change", () => {
    remember();
    call?.setBitrate(Number($("bitrate").value)).catch((error) => log("note", error.message));
  });
  $("listen").addEventListener("change", () => { $("remote").muted = !$("listen").checked; });
  $("setup").addEventListener("submit", (submit) => submit.preventDefault());
  $("chat").addEventListener("submit", (submit) => {
    submit.preventDefault();
    const text = $("text").value.trim();
    if (!text || !call) return;
    call.send(text);
    log("sent", text);
    $("text").value = "";
  });
  navigator.mediaDevices?.addEventListener("devicechange", refreshDevices);
  window.addEventListener("pagehide", () => { call?.leave(); test?.call?.leave(); });
  refreshDevices().then(() => restore(["microphone", "camera"])).catch(() => {});
  getConfig().then((found) => { config = found; }, (error) => problem(error.message));
}

begin();
