// The load test: a few seconds of a picture that can't be compressed, as much as the way carries, through the echo.

import { h } from "./dom.js";
import { look } from "./measure.js";

const EVERY_MS = 1_000;
const [WIDTH, HEIGHT] = [1280, 720];
const TILES = 4;
/** Kept free for sound and retransmissions. */
const SHARE = 0.95;

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
 * { up, down, estimate }: bits per second that arrived at the gateway and came back, the best second of `seconds`; and
 * the room that the browser's congestion control found. What comes back is never more than what was sent.
 */
export async function loaded(peer, { seconds, bitrate_bps: most }) {
  const sender = peer.getSenders().find((one) => one.track?.kind === "video");
  if (!sender) return null;
  const [before, parameters] = [sender.track, sender.getParameters()];
  const usual = parameters.encodings.map((encoding) => encoding.maxBitrate);
  const source = noise();
  const looks = [await look(peer)];
  try {
    await sender.replaceTrack(source.track);
    for (const encoding of parameters.encodings) encoding.maxBitrate = most * SHARE;
    await sender.setParameters(parameters);
    for (let second = 0; second < seconds && peer.connectionState === "connected"; second += 1) {
      await wait(EVERY_MS);
      looks.push(await look(peer));
    }
  } finally {
    source.end();
    await sender.replaceTrack(before).catch(() => {});
    const now = sender.getParameters();
    now.encodings.forEach((encoding, index) => {
      if (usual[index] === undefined) delete encoding.maxBitrate;
      else encoding.maxBitrate = usual[index];
    });
    await sender.setParameters(now).catch(() => {});
  }
  const found = { up: 0, down: 0, estimate: looks.at(-1).estimate };
  for (let index = 1; index < looks.length; index += 1) {
    const [one, next] = [looks[index - 1], looks[index]];
    const rate = (bytes) => (8000 * bytes) / (next.at - one.at);
    const sent = next.sent - one.sent;
    const lost = Math.min(Math.max(0, next.lostOut - one.lostOut), sent);
    found.up = Math.max(found.up, rate(next.bytesOut - one.bytesOut) * (sent ? 1 - lost / sent : 0));
    found.down = Math.max(found.down, rate(next.bytesIn - one.bytesIn));
  }
  return found;
}
