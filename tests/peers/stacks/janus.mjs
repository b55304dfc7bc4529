// An EchoTest handle over WebSocket; what is common to the clients beside it, each with a WebRTC stack of its own.
import WebSocket from 'ws';

export async function echoTest(url) {
  const socket = new WebSocket(url, 'janus-protocol');
  await new Promise((opened, failed) => { socket.on('open', opened); socket.on('error', failed); });
  const waiting = new Map();
  let transactions = 0;
  socket.on('message', (text) => {
    const message = JSON.parse(text);
    if (message.janus === 'ack' || !waiting.has(message.transaction)) return;
    waiting.get(message.transaction)(message);
    waiting.delete(message.transaction);
  });
  const ask = (janus, rest) => new Promise((done) => {
    const transaction = String(++transactions);
    waiting.set(transaction, done);
    socket.send(JSON.stringify({ janus, transaction, ...rest }));
  });
  const session_id = (await ask('create', {})).data.id;
  const handle_id = (await ask('attach', { session_id, plugin: 'janus.plugin.echotest' })).data.id;
  return {
    session_id,
    async offer(jsep) {
      const reply = await ask('message', { session_id, handle_id, body: { audio: true, video: true }, jsep });
      if (!reply.jsep) throw new Error(JSON.stringify(reply));
      return reply.jsep;
    },
    trickle: (candidate) => ask('trickle', { session_id, handle_id, candidate }),
    hangUp: () => ask('hangup', { session_id, handle_id }),
  };
}

// Waits until each count has grown so far, hangs up and tells them.
export async function finish(handle, counts, enough) {
  while (!Object.values(counts()).every((count) => count >= enough)) {
    await new Promise((next) => setTimeout(next, 50));
  }
  await handle.hangUp();
  console.log('came ' + JSON.stringify({ session_id: handle.session_id, ...counts() }));
  process.exit(0);
}
