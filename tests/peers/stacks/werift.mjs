// werift: ICE, DTLS, SRTP and SCTP in TypeScript alone.
import { MediaStreamTrack, RTCPeerConnection, RtpHeader, RtpPacket } from 'werift';
import { echoTest, finish } from './janus.mjs';

const handle = await echoTest(process.argv[2]);
const peer = new RTCPeerConnection({ iceServers: [], iceAdditionalHostAddresses: ['127.0.0.1'] });
const came = { audio: 0, video: 0, data: 0 };
peer.onTrack.subscribe((track) => track.onReceiveRtp.subscribe(() => { came[track.kind] += 1; }));
const tracks = ['audio', 'video'].map((kind) => new MediaStreamTrack({ kind }));
for (const track of tracks) peer.addTransceiver(track, { direction: 'sendrecv' });
const channel = peer.createDataChannel('echo');
channel.onMessage.subscribe(() => { came.data += 1; });
await peer.setLocalDescription(await peer.createOffer());
const { type, sdp } = peer.localDescription;
await peer.setRemoteDescription(await handle.offer({ type, sdp }));

const payloads = { audio: [111, 'fc01'], video: [96, '10000200'] };
let number = 0;
setInterval(() => {
  number += 1;
  for (const track of tracks) {
    const [payloadType, payload] = payloads[track.kind];
    const header = new RtpHeader({ payloadType, sequenceNumber: number, timestamp: number * 960, ssrc: 7, marker: true });
    track.writeRtp(new RtpPacket(header, Buffer.from(payload, 'hex')));
  }
  if (channel.readyState === 'open') channel.send('hello');
}, 20);
await finish(handle, () => came, 60);
