// The ways from a browser to the gateway: what an answer names, which one is in use, and whether another would do.

import { EchoCall } from "./echo.js";
import { look } from "./measure.js";

const SETTLE_MS = 2_500;
const PROBE_MS = 12_000;
const EVERY_MS = 100;

const wait = (time) => new Promise((resolve) => { setTimeout(resolve, time); });
const CANDIDATE = /^a=candidate:\S+ 1 (udp|tcp) \d+ (\S+) (\d+) .*$/gim;

/** { udp, tcp }: "192.0.2.1 port 10000" of the first candidate over each, or null. */
export function offered(sdp) {
  const found = { udp: null, tcp: null };
  for (const [, transport, host, port] of sdp.matchAll(CANDIDATE)) found[transport.toLowerCase()] ??= `${host} port ${port}`;
  return found;
}

/** The description with the candidates of one transport only. */
export function only(transport, sdp) {
  return sdp.replace(CANDIDATE, (line, its) => (its.toLowerCase() === transport ? line : "a=x-left-out"));
}

/** udp or tcp. The browser may take what answers first, and change to what it prefers: that is waited for. */
export async function inUse(peer) {
  const until = performance.now() + SETTLE_MS;
  for (;;) {
    const { pair } = await look(peer);
    const protocol = pair?.[0]?.protocol ?? null;
    if (protocol === "udp" || performance.now() > until) return protocol;
    await wait(EVERY_MS);
  }
}

/** Milliseconds until a PeerConnection of its own is up over `transport` alone; null when it does not come up. */
export async function probe(transport, { url, opaqueId }) {
  const began = performance.now();
  let settle = () => {};
  const outcome = new Promise((resolve) => { settle = resolve; });
  const call = new EchoCall({
    state: (text) => { if (text === "In the call") settle(true); if (text === "No connection") settle(false); },
    ended: () => settle(false), remote: () => {}, text: () => {}, note: () => {}, data: () => {},
  });
  try {
    await call.place({ url, stream: null, bitrate: 0, opaqueId, take: (sdp) => only(transport, sdp) });
    const up = await Promise.race([outcome, wait(PROBE_MS).then(() => false)]);
    return up ? performance.now() - began : null;
  } catch {
    return null;
  } finally {
    await call.hangUp("The test is over.").catch(() => {});
  }
}
