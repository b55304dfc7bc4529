// @roamhq/wrtc: libwebrtc without a browser; trickles.
import wrtc from '@roamhq/wrtc';
import { echoTest, finish } from './janus.mjs';

const handle = await echoTest(process.argv[2]);
const peer = new wrtc.RTCPeerConnection({ iceServers: [] });
const [audio, video] = [new wrtc.nonstandard.RTCAudioSource(), new wrtc.nonstandard.RTCVideoSource()];
const came = { audio: 0, frames: 0, data: 0 };
peer.addTrack(audio.createTrack());
peer.addTrack(video.createTrack());
const channel = peer.createDataChannel('echo');
channel.onmessage = () => { came.data += 1; };
const early = [];
let described = false;
peer.onicecandidate = ({ candidate }) => {
  const said = candidate ?? { completed: true };
  if (described) handle.trickle(said); else early.push(said);
};
await peer.setLocalDescription(await peer.createOffer());
const { type, sdp } = peer.localDescription;
const answer = await handle.offer({ type, sdp });
described = true;
early.forEach((said) => handle.trickle(said));
await peer.setRemoteDescription(answer);

const [width, height] = [320, 240];
let number = 0;
setInterval(() => {
  const samples = new Int16Array(480).fill(100);
  audio.onData({ samples, sampleRate: 48000, bitsPerSample: 16, channelCount: 1, numberOfFrames: 480 });
}, 10);
setInterval(async () => {
  number += 1;
  video.onFrame({ width, height, data: new Uint8ClampedArray(width * height * 1.5).fill(number) });
  if (channel.readyState === 'open') channel.send('hello');
  for (const one of (await peer.getStats()).values()) {
    if (one.type !== 'inbound-rtp') continue;
    if (one.kind === 'audio') came.audio = one.packetsReceived;
    else came.frames = one.framesDecoded ?? 0;
  }
}, 40);
await finish(handle, () => came, 30);
