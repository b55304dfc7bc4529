// One person in a VideoRoom with the unmodified janus.js: publishes, and sees everybody in one subscriber handle.
import Janus from './janus.es.js';

const promise = (start) => new Promise((success, error) => start({ success, error: (e) => error(new Error(String(e))) }));
const seen = { gone: [], problems: [], videos: {}, streams: [] };
window.seen = seen;
let privateId = null;
let subscriber = null;
let waiting = Promise.resolve();

const attach = (opaqueId, callbacks) => promise(({ success, error }) => window.janus.attach({
  plugin: 'janus.plugin.videoroom', opaqueId, success, error, ...callbacks }));
const send = (handle, message, jsep) => promise(({ success, error }) => handle.send({ message, jsep, success, error }));

const answer = async (jsep) => {
  const mine = await promise(({ success, error }) => subscriber.createAnswer({
    jsep, tracks: [{ type: 'data' }], success, error }));
  await send(subscriber, { request: 'start', room: 1234 }, mine);
};

const subscribe = async (publishers) => {
  const streams = publishers.map(({ id }) => ({ feed: id }));
  if (subscriber) {
    await send(subscriber, { request: 'subscribe', streams });
    return;
  }
  subscriber = await attach('browser-sub', {
    onmessage: (message, jsep) => {
      if (message.error) seen.problems.push(message.error);
      if (message.streams) seen.streams = message.streams;
      if (jsep) answer(jsep).catch((error) => seen.problems.push(String(error)));
    },
    onremotetrack: (track, mid, on) => {
      if (track.kind !== 'video') return;
      if (!on) return;
      const element = seen.videos[mid] ?? document.createElement('video');
      element.autoplay = element.muted = true;
      element.srcObject = new MediaStream([track]);
      document.body.append(element);
      seen.videos[mid] = element;
    },
  });
  await send(subscriber, { request: 'join', room: 1234, ptype: 'subscriber', streams, private_id: privateId });
};

window.enter = async (server, display, width) => {
  await new Promise((callback) =>
    Janus.init({ debug: false, dependencies: Janus.useDefaultDependencies({ adapter: window.adapter }), callback }));
  await promise(({ success, error }) => { window.janus = new Janus({ server, iceServers: [], success, error }); });
  let joined;
  const isIn = new Promise((resolve) => { joined = resolve; });
  window.publisher = await attach('browser-pub', {
    onmessage: (message, jsep) => {
      if (message.error) seen.problems.push(message.error);
      if (jsep) window.publisher.handleRemoteJsep({ jsep });
      if (message.videoroom === 'joined') { privateId = message.private_id; joined(message); }
      if (message.publishers?.length) {
        waiting = waiting.then(() => subscribe(message.publishers)).catch((error) => seen.problems.push(String(error)));
      }
      if (message.leaving) seen.gone.push(message.leaving);
    },
  });
  await send(window.publisher, { request: 'join', room: 1234, ptype: 'publisher', display });
  const { id } = await isIn;
  const jsep = await promise(({ success, error }) => window.publisher.createOffer({
    tracks: [
      { type: 'audio', capture: true, recv: false },
      { type: 'video', capture: { width, height: (width * 3) / 4, frameRate: 15 }, recv: false },
    ],
    success, error }));
  await send(window.publisher, { request: 'configure', audio: true, video: true }, jsep);
  return id;
};

/** Frames decoded so far by the mid of the subscriber's m-line. */
window.frames = async () => {
  const found = {};
  for (const item of (await subscriber?.webrtcStuff.pc?.getStats())?.values() ?? []) {
    if (item.type === 'inbound-rtp' && item.kind === 'video') found[item.mid] = item.framesDecoded;
  }
  return found;
};
/** Width of the picture that came last, by the same mid: who is who, since everybody sends another size. */
window.widths = async () => {
  const found = {};
  for (const item of (await subscriber?.webrtcStuff.pc?.getStats())?.values() ?? []) {
    if (item.type === 'inbound-rtp' && item.kind === 'video') found[item.mid] = item.frameWidth;
  }
  return found;
};
/** Show one person's video where another's was. */
window.switchTo = (from, to) => {
  const videoOf = (feed) => seen.streams.find((one) => one.type === 'video' && one.feed_id === feed);
  const streams = [{ feed: to, mid: videoOf(to).feed_mid, sub_mid: videoOf(from).mid }];
  return send(subscriber, { request: 'switch', streams });
};
window.watching = async (people) => Object.values(await window.frames()).filter((frames) => frames > 10).length >= people;
window.leave = () => send(window.publisher, { request: 'leave' });
window.ready = true;
