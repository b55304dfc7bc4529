// One EchoTest call: session, handle, PeerConnection, data channel; tells what happens through `on`.

import { JanusSession } from "./janus.js";

const PLUGIN = "janus.plugin.echotest";
const LABEL = "JanusDataChannel";

export class EchoCall {
  /** `on`: state(text), ended(reason), remote(stream), text(message), data(open) */
  constructor(on) {
    this.on = on;
    this.over = false;
    this.up = false;
  }

  /** `take`: the gateway's description as the browser is to see it. */
  async place({ url, stream, bitrate, opaqueId, take = (sdp) => sdp }) {
    this.on.state("Reaching the gateway");
    this.session = await JanusSession.create(url);
    this.session.onlost = (reason) => this.end(reason);
    this.handle = await this.session.attach(PLUGIN, opaqueId);
    this.handle.on = {
      webrtcup: () => { this.up = true; this.showState(); this.announceData(); },
      hangup: (message) => this.end(`The gateway hung up: ${message.reason}`),
      detached: () => this.end("The gateway ended the call."),
      media: (message) => { if (!message.receiving) this.on.note(`The server hears no ${message.type} from you.`); },
      slowlink: (message) => this.on.note(`${message.lost ?? "Some"} ${message.media ?? "media"} packets were lost `
        + (message.uplink ? "on the way to you." : "on the way from you.")),
    };
    this.peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    const back = new MediaStream();
    this.peer.ontrack = ({ track }) => { back.addTrack(track); this.on.remote(back); };
    // One after the other, once the offer has been answered: parallel requests overtake each other, and an end of
    // candidates that comes before a candidate, or a candidate before the offer, is not what anyone means.
    let offered = () => {};
    this.trickling = new Promise((resolve) => { offered = resolve; });
    this.peer.onicecandidate = ({ candidate }) => this.trickle(candidate);
    this.peer.onconnectionstatechange = () => this.showState();
    for (const track of stream?.getTracks() ?? []) this.peer.addTrack(track, stream);
    this.openChannel();
    await this.peer.setLocalDescription(await this.peer.createOffer());
    this.on.state("Offering");
    const body = { audio: true, video: true, ...(bitrate ? { bitrate } : {}) };
    const { type, sdp } = this.peer.localDescription;
    const answer = await this.handle.message(body, { type, sdp });
    if (!answer.jsep) throw new Error("The plugin sent no answer to the offer.");
    await this.peer.setRemoteDescription({ type: answer.jsep.type, sdp: take(answer.jsep.sdp) });
    offered();
  }

  /** In the call is what both sides say: the browser is connected, and the gateway has told so. */
  showState() {
    const state = this.peer.connectionState;
    if (state === "connected" && this.up) this.on.state("In the call");
    else this.on.state({ disconnected: "Interrupted", failed: "No connection" }[state] ?? "Connecting");
  }

  /** A text that is sent before the gateway's plugin has heard of the connection would be lost. */
  announceData() {
    if (this.up && this.channel.readyState === "open") this.on.data(true);
  }

  trickle(candidate) {
    // An empty candidate is the browser's own end mark for one generation; null follows and says the same.
    if (candidate && candidate.candidate === "") return;
    this.trickling = this.trickling.then(() => (this.over ? null : this.handle.trickle(candidate)))
      .catch((error) => this.on.note(`A candidate was refused: ${error.message}`));
  }

  openChannel() {
    this.channel = this.peer.createDataChannel(LABEL, { ordered: true });
    this.channel.onopen = () => this.announceData();
    this.channel.onclose = () => this.on.data(false);
    this.channel.onmessage = ({ data }) => this.on.text(typeof data === "string" ? data : `${data.byteLength} bytes`);
  }

  send(text) {
    this.channel.send(text);
  }

  setBitrate(bitrate) {
    return this.configure({ bitrate });
  }

  /** What the plugin is to do: { video: false } sends no picture back. */
  configure(body) {
    return this.handle.message(body);
  }

  /** Another microphone or camera without a new offer. */
  async replaceTrack(track) {
    const sender = this.peer.getSenders().find((one) => one.track?.kind === track.kind);
    await sender?.replaceTrack(track);
    return sender !== undefined;
  }

  /** { sent, received, lost, rtt, width, height, frames } as the browser has it. */
  async stats() {
    const found = { received: 0, sent: 0, lost: 0 };
    for (const item of (await this.peer.getStats()).values()) {
      if (item.type === "inbound-rtp") {
        found.received += item.bytesReceived ?? 0;
        found.lost += item.packetsLost ?? 0;
        if (item.kind === "video") Object.assign(found, { width: item.frameWidth, height: item.frameHeight, fps: item.framesPerSecond });
      } else if (item.type === "outbound-rtp") found.sent += item.bytesSent ?? 0;
      else if (item.type === "candidate-pair" && item.nominated) found.rtt = item.currentRoundTripTime;
    }
    return found;
  }

  async hangUp(reason = "You hung up.") {
    if (this.over) return;
    this.over = true;
    try {
      await this.handle?.hangup();
    } catch {
      // The gateway may have gone first; what matters is that we let go of everything.
    }
    await this.session?.destroy();
    this.close(reason);
  }

  /** The page goes away: say so, without waiting for the answer. */
  leave() {
    this.over = true;
    this.session?.destroy({ leaving: true });
  }

  end(reason) {
    if (this.over) return;
    this.over = true;
    this.session?.destroy();
    this.close(reason);
  }

  close(reason) {
    this.peer?.close();
    this.session?.connection.close();
    this.on.ended(reason);
  }
}
