// The load test: a few seconds of a picture that can't be compressed, as much as the way carries, through the echo.

import { h } from "./dom.js";
import { EchoCall } from "./echo.js";
import { look } from "./measure.js";

const EVERY_MS = 1_000;
const UP_MS = 8_000;
const LOOK_MS = 50;
const [WIDTH, HEIGHT] = [1280, 720];
const TILES = 4;
/** The rest is for headers and retransmissions. */
const SHARE = 0.9;
const SILENT = { state() {}, ended() {}, remote() {}, text() {}, note() {}, data() {} };

const wait = (time) => new Promise((resolve) => { setTimeout(resolve, time); });

/** A track of noise, and what ends it. */
function noise() {
  const tiles = Array.from({ length: TILES }, () => {
    const tile = h("canvas", { width: WIDTH, height: HEIGHT });
    const pen = tile.getContext("2d");
    const image = pen.createImageData(WIDTH, HEIGHT);
    const words = new Uint32Array(image.data.buffer);
    for (let index = 0; index < words.length; index += 1) words[index] = 0xff000000 | Math.random() * 0x1000000;
    pen.putImageData(image, 0, 0);
    return tile;
  });
  const canvas = h("canvas", { width: WIDTH, height: HEIGHT });
  const pen = canvas.getContext("2d");
  let step = 0;
  const draw = () => {
    step += 1;
    const [x, y] = [(step * 97) % WIDTH, (step * 61) % HEIGHT];
    for (const [left, top] of [[x, y], [x - WIDTH, y], [x, y - HEIGHT], [x - WIDTH, y - HEIGHT]]) pen.drawImage(tiles[step % TILES], left, top);
  };
  draw();
  const timer = setInterval(draw, 50);
  const [track] = canvas.captureStream(20).getTracks();
  return { track, end: () => { clearInterval(timer); track.stop(); } };
}

/**
 * { up, down, estimate, dropped }: bits per second that arrived at the gateway and came back, and the room that the browser's
 * congestion control found. In a call of its own, so that what it overfills is not taken for a fault of the network.
 * What comes back is never more than what was sent. null: the call did not come up.
 */
export async function loaded({ url, opaqueId, seconds, bitrate_bps: most }) {
  const source = noise();
  const call = new EchoCall(SILENT);
  const looks = [];
  const middle = Math.max(1, Math.floor(seconds / 2));
  try {
    await call.place({ url, stream: new MediaStream([source.track]), bitrate: 0, opaqueId });
    if (!await connected(call.peer)) return null;
    const [sender] = call.peer.getSenders();
    const parameters = sender.getParameters();
    for (const encoding of parameters.encodings) encoding.maxBitrate = most * SHARE;
    await sender.setParameters(parameters);
    // First up alone: an echo that the way back does not carry would hold the browser back too.
    await call.configure({ video: false });
    looks.push(await look(call.peer));
    for (let second = 0; second < seconds && !call.over; second += 1) {
      if (second === middle) await call.configure({ video: true });
      await wait(EVERY_MS);
      looks.push(await look(call.peer));
    }
  } finally {
    source.end();
    await call.hangUp("The test is over.").catch(() => {});
  }
  return looks.length > middle ? { ...rates(looks, middle), dropped: dropped(looks, middle) } : null;
}

/**
 * The share of packets that the way up lost while it was filled, 0 to 1. A line with a queue delays what is too much, and
 * congestion control gives way before much is lost; one without drops it at once.
 */
export function dropped(looks, middle) {
  const [begin, end] = [looks[0], looks[middle]];
  const sent = end.sent - begin.sent;
  return sent > 0 ? Math.min(1, Math.max(0, end.lostOut - begin.lostOut) / sent) : 0;
}

/**
 * The way up is that of the looks until `middle` without the first second, in which congestion control finds its level;
 * or what came back later, if that was more: it had arrived before. The way back is that of its best second.
 */
export function rates(looks, middle) {
  const rate = (bytes, one, next) => (8000 * bytes) / (next.at - one.at);
  const [begin, end] = [looks[Math.min(1, middle - 1)], looks[middle]];
  const sent = end.sent - begin.sent;
  const lost = Math.min(Math.max(0, end.lostOut - begin.lostOut), sent);
  const arrived = sent > 0 ? rate(end.bytesOut - begin.bytesOut, begin, end) * (1 - lost / sent) : 0;
  const down = Math.max(0, ...looks.slice(1).map((next, index) => rate(next.bytesIn - looks[index].bytesIn, looks[index], next)));
  return { up: Math.max(arrived, down), down, estimate: end.estimate };
}

async function connected(peer) {
  for (let waited = 0; waited < UP_MS; waited += LOOK_MS) {
    if (peer.connectionState === "connected") return true;
    await wait(LOOK_MS);
  }
  return false;
}
