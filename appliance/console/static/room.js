// One stay in a VideoRoom: a handle that publishes, one that receives everybody else; tells what happens through `on`.

import { JanusSession } from "./janus.js";

const PLUGIN = "janus.plugin.videoroom";

/** What a camera is sent in at once: as it is, and small for whoever asks for that. The highest first, as Janus has it. */
const ENCODINGS = [{ rid: "h" }, { rid: "l", scaleResolutionDownBy: 4, maxBitrate: 120000 }];

export class RoomStay {
  /** `on`: state(text), ended(reason), people(Map feed -> { display, stream }), talking(feed, talks), note(text) */
  constructor(on) {
    this.on = on;
    this.over = false;
    this.people = new Map();
    this.feedOf = new Map();
    this.simulcast = new Set();
    // Offers of the server are answered one after the other, whatever else comes meanwhile.
    this.turn = Promise.resolve();
  }

  async enter({ url, stream, room, display, pin, opaqueId, encodings = ENCODINGS }) {
    this.on.state("Reaching the gateway");
    this.room = room;
    this.opaqueId = opaqueId;
    this.session = await JanusSession.create(url);
    this.session.onlost = (reason) => this.end(reason);
    this.publisher = await this.session.attach(PLUGIN, opaqueId);
    this.publisher.on = {
      event: (message) => this.told(message.plugindata?.data ?? {}),
      webrtcup: () => this.on.state("In the room"),
      hangup: (message) => { if (!this.over) this.on.note(`The gateway ended what you send: ${message.reason}`); },
      detached: () => this.end("The gateway ended your stay."),
    };
    const { plugindata } = await this.publisher.message({ request: "join", ptype: "publisher", room, display, ...(pin ? { pin } : {}) });
    this.id = plugindata.data.id;
    this.privateId = plugindata.data.private_id;
    this.on.state("In the room");
    if (stream) await this.publish(stream, encodings);
    this.told(plugindata.data);
  }

  async publish(stream, encodings) {
    this.sending = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    for (const track of stream.getTracks()) {
      const simulcast = track.kind === "video" ? { sendEncodings: encodings } : {};
      this.sending.addTransceiver(track, { direction: "sendonly", streams: [stream], ...simulcast });
    }
    const trickle = trickler(this.sending, this.publisher, (text) => this.on.note(text));
    await this.sending.setLocalDescription(await this.sending.createOffer());
    const { type, sdp } = this.sending.localDescription;
    const answer = await this.publisher.message({ request: "publish" }, { type, sdp });
    if (!answer.jsep) throw new Error("The room sent no answer to the offer.");
    await this.sending.setRemoteDescription(answer.jsep);
    trickle.begin();
  }

  /** What the room says on the publishing handle. */
  told(data) {
    if (data.publishers) this.arrived(data.publishers);
    if (data.talking !== undefined || data.videoroom === "talking") this.on.talking(data.id, true);
    if (data.videoroom === "stopped-talking") this.on.talking(data.id, false);
    for (const gone of [data.unpublished, data.leaving]) {
      if (gone === "ok") this.end(data.reason === "kicked" ? "You were sent out of the room." : "You have left the room.");
      else if (gone !== undefined) this.left(gone);
    }
    if (data.videoroom === "destroyed") this.end("The room was closed.");
  }

  arrived(publishers) {
    const fresh = publishers.filter(({ id }) => !this.people.has(id));
    if (fresh.length === 0) return;
    for (const { id, display } of fresh) this.people.set(id, { display: display ?? String(id), stream: new MediaStream() });
    this.on.people(this.people);
    this.inTurn(() => this.watch(fresh.map(({ id }) => ({ feed: id }))));
  }

  left(feed) {
    if (!this.people.delete(feed)) return;
    this.on.people(this.people);
    this.inTurn(async () => {
      if (this.watcher) await this.answer(await this.watcher.message({ request: "unsubscribe", streams: [{ feed }] }));
    });
  }

  inTurn(action) {
    this.turn = this.turn.then(() => (this.over ? null : action())).catch((error) => this.on.note(error.message));
    return this.turn;
  }

  async watch(streams) {
    if (this.watcher) {
      await this.answer(await this.watcher.message({ request: "subscribe", streams }));
      return;
    }
    this.watcher = await this.session.attach(PLUGIN, this.opaqueId);
    this.receiving = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    this.receiving.ontrack = ({ track, transceiver }) => this.received(track, transceiver.mid);
    const trickle = trickler(this.receiving, this.watcher, (text) => this.on.note(text));
    this.watcher.on = {
      // An offer of the room's own: somebody left, or stopped a track.
      event: (message) => { if (message.jsep) this.inTurn(() => this.answer(message)); },
      hangup: (message) => { if (!this.over) this.on.note(`The gateway ended what you receive: ${message.reason}`); },
    };
    await this.answer(await this.watcher.message({
      request: "join", ptype: "subscriber", room: this.room, private_id: this.privateId, streams,
    }));
    trickle.begin();
  }

  /** Agree to the room's offer, if there is one, and learn whose each m-line is. */
  async answer({ plugindata, jsep }) {
    for (const { mid, feed_id: feed, simulcast } of plugindata?.data?.streams ?? []) {
      this.feedOf.set(mid, feed);
      this.simulcast[simulcast ? "add" : "delete"](mid);
    }
    this.on.people(this.people);
    if (!jsep) return;
    await this.receiving.setRemoteDescription(jsep);
    await this.receiving.setLocalDescription(await this.receiving.createAnswer());
    const { type, sdp } = this.receiving.localDescription;
    for (const { mid, receiver, direction } of this.receiving.getTransceivers()) {
      if (direction !== "inactive") this.received(receiver.track, mid);
    }
    await this.watcher.message({ request: "start" }, { type, sdp });
  }

  /** Somebody's pictures come in more than one encoding. */
  hasChoice(feed) {
    return [...this.simulcast].some((mid) => this.feedOf.get(mid) === feed);
  }

  /** Ask for an encoding of somebody's pictures: 0 is the lowest, 2 the highest there may be. */
  choose(feed, substream) {
    const streams = [...this.simulcast].filter((mid) => this.feedOf.get(mid) === feed).map((mid) => ({ mid, substream }));
    return this.inTurn(() => this.watcher.message({ request: "configure", streams }));
  }

  received(track, mid) {
    const feed = this.feedOf.get(mid);
    for (const [id, { stream }] of this.people) {
      if (id === feed) { if (!stream.getTracks().includes(track)) stream.addTrack(track); }
      else if (stream.getTracks().includes(track)) stream.removeTrack(track);
    }
    this.on.people(this.people);
  }

  /** Map of feed -> { bytes, lost, packets, jitter, width, height, fps }, and of our own id -> what others report. */
  async stats() {
    const found = new Map();
    const add = (feed, values) => {
      const entry = found.get(feed) ?? { bytes: 0, lost: 0, packets: 0 };
      for (const name of ["bytes", "lost", "packets"]) entry[name] += values[name] ?? 0;
      // Of encodings of one picture, the largest tells the size.
      const size = (values.width ?? 0) >= (entry.width ?? 0) ? ["width", "height", "fps"] : [];
      found.set(feed, { ...entry, ...Object.fromEntries(["jitter", "rtt", ...size]
        .filter((name) => values[name] !== undefined).map((name) => [name, values[name]])) });
    };
    for (const item of (await this.receiving?.getStats())?.values() ?? []) {
      if (item.type !== "inbound-rtp" || !this.feedOf.has(item.mid)) continue;
      add(this.feedOf.get(item.mid), {
        bytes: item.bytesReceived, lost: item.packetsLost, packets: item.packetsReceived, jitter: item.jitter,
        width: item.frameWidth, height: item.frameHeight, fps: item.framesPerSecond,
      });
    }
    for (const item of (await this.sending?.getStats())?.values() ?? []) {
      if (item.type === "outbound-rtp") {
        add(this.id, { bytes: item.bytesSent, packets: item.packetsSent, width: item.frameWidth, height: item.frameHeight, fps: item.framesPerSecond });
      } else if (item.type === "remote-inbound-rtp") add(this.id, { lost: item.packetsLost, jitter: item.jitter, rtt: item.roundTripTime });
    }
    return found;
  }

  async leave(reason = "You have left the room.") {
    if (this.over) return;
    this.over = true;
    await this.session?.destroy();
    this.close(reason);
  }

  /** The page goes away: say so, without waiting for the answer. */
  vanish() {
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
    this.sending?.close();
    this.receiving?.close();
    this.session?.connection.close();
    this.on.ended(reason);
  }
}

/** Candidates one after the other, and none before the other side knows of the description. */
function trickler(peer, handle, note) {
  let begin = () => {};
  let chain = new Promise((resolve) => { begin = resolve; });
  peer.onicecandidate = ({ candidate }) => {
    if (candidate && candidate.candidate === "") return;
    chain = chain.then(() => (peer.signalingState === "closed" ? null : handle.trickle(candidate)))
      .catch((error) => note(`A candidate was refused: ${error.message}`));
  };
  return { begin };
}
