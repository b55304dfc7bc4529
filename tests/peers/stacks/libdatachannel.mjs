// node-datachannel: libdatachannel, with libjuice for ICE, OpenSSL or mbedTLS, and usrsctp.
import { Audio, PeerConnection, Video } from 'node-datachannel';
import { echoTest, finish } from './janus.mjs';

const handle = await echoTest(process.argv[2]);
const peer = new PeerConnection('client', { iceServers: [], bindAddress: '127.0.0.1' });
// Before the channel is made, which starts the negotiation.
const gathered = new Promise((done) => peer.onGatheringStateChange((state) => { if (state === 'complete') done(); }));
const came = { audio: 0, video: 0, data: 0 };
const [audio, video] = [new Audio('audio', 'SendRecv'), new Video('video', 'SendRecv')];
audio.addOpusCodec(111);
audio.addSSRC(43, 'client');
video.addVP8Codec(96);
video.addSSRC(42, 'client');
const tracks = [[peer.addTrack(audio), 111, 43, 'audio'], [peer.addTrack(video), 96, 42, 'video']];
for (const [track, , , kind] of tracks) track.onMessage(() => { came[kind] += 1; });
const channel = peer.createDataChannel('echo');
channel.onMessage(() => { came.data += 1; });
await gathered;
const { type, sdp } = peer.localDescription();
peer.setRemoteDescription((await handle.offer({ type, sdp })).sdp, 'answer');

let number = 0;
setInterval(() => {
  number += 1;
  for (const [track, payloadType, ssrc] of tracks) {
    if (!track.isOpen()) continue;
    const packet = Buffer.alloc(40);
    packet[0] = 0x80;
    packet[1] = payloadType | 0x80;
    packet.writeUInt16BE(number, 2);
    packet.writeUInt32BE(number * 960, 4);
    packet.writeUInt32BE(ssrc, 8);
    packet[12] = 0x10;
    track.sendMessageBinary(packet);
  }
  if (channel.isOpen()) channel.sendMessage('hello');
}, 20);
await finish(handle, () => came, 60);
