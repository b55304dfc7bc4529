// The figures of a network test: from two looks at the browser's statistics, and what they mean in plain words.

/** Where calls begin to suffer: what people use, see the verdicts' own thresholds. */
export const LIMITS = { lossPercent: 3, jitterMs: 30, rttMs: 400, bitrate: 100_000 };

/** What the browser counts, summed over its streams. Jitter in ms, round trips in ms, loss and bytes since the start. */
export async function look(peer) {
  const seen = {
    at: performance.now(), sent: 0, received: 0, bytesOut: 0, bytesIn: 0, lostIn: 0, lostOut: 0,
    jitterIn: null, jitterOut: null, rtt: null, estimate: null, level: 0, pair: null,
  };
  const stats = await peer.getStats();
  const larger = (one, other) => (other === undefined ? one : Math.max(one ?? 0, other * 1000));
  for (const item of stats.values()) {
    if (item.type === "inbound-rtp") {
      seen.received += item.packetsReceived ?? 0;
      seen.lostIn += item.packetsLost ?? 0;
      seen.bytesIn += item.bytesReceived ?? 0;
      seen.jitterIn = larger(seen.jitterIn, item.jitter);
    } else if (item.type === "outbound-rtp") {
      seen.sent += item.packetsSent ?? 0;
      seen.bytesOut += item.bytesSent ?? 0;
    } else if (item.type === "remote-inbound-rtp") {
      seen.lostOut += item.packetsLost ?? 0;
      seen.jitterOut = larger(seen.jitterOut, item.jitter);
    } else if (item.type === "media-source" && item.kind === "audio") {
      seen.level = Math.max(seen.level, item.audioLevel ?? 0);
    } else if (item.type === "candidate-pair" && item.nominated && item.state === "succeeded") {
      seen.rtt = item.currentRoundTripTime === undefined ? seen.rtt : item.currentRoundTripTime * 1000;
      seen.estimate = item.availableOutgoingBitrate ?? seen.estimate;
      seen.pair = [stats.get(item.localCandidateId), stats.get(item.remoteCandidateId)];
    }
  }
  return seen;
}

const worst = (looks, name) => looks.reduce((most, one) => (one[name] === null ? most : Math.max(most ?? 0, one[name])), null);
const share = (lost, passed) => (lost + passed > 0 ? (100 * Math.max(0, lost)) / (Math.max(0, lost) + passed) : null);

/** The figures of a row of looks, each way; null where nothing was measured. */
export function figures(looks) {
  const [first, last] = [looks[0], looks.at(-1)];
  const seconds = (last.at - first.at) / 1000;
  const lostUp = last.lostOut - first.lostOut;
  const received = last.received - first.received;
  const rtts = looks.map((one) => one.rtt).filter((rtt) => rtt !== null).sort((one, other) => one - other);
  return {
    seconds,
    // What was lost on the way there is missing in the echo too, and is no loss of the way back.
    lossUp: share(lostUp, last.sent - first.sent - Math.max(0, lostUp)),
    lossDown: share(last.lostIn - first.lostIn - Math.max(0, lostUp), received),
    jitterUp: worst(looks, "jitterOut"),
    jitterDown: worst(looks, "jitterIn"),
    rtt: rtts.length ? rtts[Math.floor(rtts.length / 2)] : null,
    bitrateUp: seconds > 0 ? (8 * (last.bytesOut - first.bytesOut)) / seconds : null,
    bitrateDown: seconds > 0 ? (8 * (last.bytesIn - first.bytesIn)) / seconds : null,
    estimate: last.estimate,
    received,
  };
}

/** { tone, text }: one sentence for the person, of the first thing that is wrong; `used` is udp or tcp. */
export function conclude(found, used = "udp") {
  const bad = [];
  if (found.received === 0) return { tone: "fail", text: "You are connected, but nothing of what you sent came back." };
  if (found.lossUp > LIMITS.lossPercent) bad.push(`${found.lossUp.toFixed(1)} % of your packets are lost on their way to the server`);
  if (found.lossDown > LIMITS.lossPercent) bad.push(`${found.lossDown.toFixed(1)} % of the packets to you are lost`);
  if (found.rtt > LIMITS.rttMs) bad.push(`it takes ${Math.round(found.rtt)} ms there and back`);
  if (Math.max(found.jitterUp ?? 0, found.jitterDown ?? 0) > LIMITS.jitterMs) bad.push("packets arrive unevenly");
  if (bad.length === 0 && found.estimate !== null && found.estimate < LIMITS.bitrate) bad.push("there is little room on your way out");
  if (bad.length === 0 && used === "tcp") {
    return { tone: "warn", text: "Calls work here, but over TCP only: UDP is blocked. They suffer more than others where packets are lost." };
  }
  if (used === "tcp") bad.unshift("UDP is blocked, so that they go over TCP");
  if (bad.length === 0) return { tone: "ok", text: "Your network is fine for calls." };
  return { tone: "warn", text: `Calls will work, but not well: ${bad.join(", and ")}.` };
}
