// One EchoTest call with the unmodified janus.js; what it sees is kept on `window` for the test to read.
import Janus from './janus.es.js';

const seen = { events: [], data: [], states: [], tracks: [] };
window.seen = seen;

const promise = (start) => new Promise((success, error) => start({ success, error: (e) => error(new Error(String(e))) }));

// `divert` and `hide`, where a test gives them, lead the media another way.
const takeAnswer = async (jsep) => {
  if (window.divert) jsep.sdp = await window.divert(jsep.sdp);
  window.handle.handleRemoteJsep({ jsep });
};

const sendOffer = async (jsep, callbacks) => {
  if (window.hide) jsep.sdp = await window.hide(jsep.sdp);
  window.handle.send({ message: { audio: true, video: true }, jsep, ...callbacks });
};

window.connect = async (server) => {
  await new Promise((callback) =>
    Janus.init({ debug: false, dependencies: Janus.useDefaultDependencies({ adapter: window.adapter }), callback }));
  await promise(({ success, error }) => {
    window.janus = new Janus({ server, iceServers: [], success, error, destroyed: () => seen.states.push('destroyed') });
  });
  window.handle = await promise(({ success, error }) => window.janus.attach({
    plugin: 'janus.plugin.echotest',
    opaqueId: 'browser',
    success,
    error,
    onmessage: (message, jsep) => {
      seen.events.push(message);
      if (jsep) takeAnswer(jsep);
    },
    webrtcState: (on, reason) => seen.states.push(on ? 'up' : `down ${reason}`),
    mediaState: (medium, on, mid) => seen.states.push(`${medium} ${on ? 'on' : 'off'}`),
    iceState: (state) => seen.states.push(`ice ${state}`),
    oncleanup: () => seen.states.push('cleanup'),
    ondataopen: (label) => seen.states.push(`data ${label}`),
    ondata: (text) => seen.data.push(text),
    onremotetrack: (track, mid, on) => {
      if (!on) return;
      seen.tracks.push(track.kind);
      const element = document.createElement(track.kind);
      element.autoplay = true;
      element.muted = true;
      element.srcObject = new MediaStream([track]);
      document.body.append(element);
    },
  }));
  return { session: window.janus.getSessionId(), handle: window.handle.getId() };
};

window.call = (options = {}) => promise(({ success, error }) => window.handle.createOffer({
  tracks: [
    { type: 'audio', capture: true, recv: true },
    { type: 'video', capture: { width: 320, height: 240, frameRate: 15 }, recv: true },
    { type: 'data' },
  ],
  trickle: !window.hide,
  ...options,
  success: (jsep) => sendOffer(jsep, { success, error }),
  error,
}));

window.send = (message) => promise(({ success, error }) => window.handle.send({ message, success, error }));
window.fallSilent = () => Promise.all(window.handle.webrtcStuff.pc.getSenders().map((s) => s.track && s.replaceTrack(null)));
window.say = (text) => promise(({ success, error }) => window.handle.data({ text, success, error }));

window.stats = async () => {
  const found = { inbound: {}, outbound: {}, remote: {} };
  const report = await window.handle.webrtcStuff.pc.getStats();
  report.forEach((s) => {
    if (s.type === 'inbound-rtp') found.inbound[s.kind] = s;
    if (s.type === 'outbound-rtp') found.outbound[s.kind] = s;
    if (s.type === 'remote-inbound-rtp') found.remote[s.kind] = s;
  });
  return found;
};

// Resolves once what `wanted` makes of the statistics is true; the test's own time limit ends a wait in vain.
window.untilStats = async (wanted) => {
  while (!wanted(await window.stats())) await new Promise((next) => setTimeout(next, 50));
};

window.hangUp = async () => {
  window.handle.hangup(true);
  await new Promise((done) => {
    const look = () => (seen.states.some((s) => s.startsWith('down')) || seen.states.includes('cleanup')) ? done() : requestAnimationFrame(look);
    look();
  });
  await promise((callbacks) => window.handle.detach(callbacks));
  await promise((callbacks) => window.janus.destroy(callbacks));
};
window.ready = true;
