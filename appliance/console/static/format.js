// Values to words. Absent is a dash, never zero.

export const NONE = "–";

const absent = (value) => value === null || value === undefined || Number.isNaN(value);

/** Microseconds to "340 µs", "12 ms", "3.42 s", "2 min 05 s", "1 h 04 min". */
export function duration(us) {
  if (absent(us)) return NONE;
  if (us < 0) return `−${duration(-us)}`;
  if (us < 1000) return us === 0 ? "0 ms" : `${Math.round(us)} µs`;
  const ms = us / 1000;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 60) return `${s.toFixed(s < 10 ? 2 : 1)} s`;
  const whole = Math.round(s);
  const two = (value) => String(value).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

const today = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const earlier = new Intl.DateTimeFormat(undefined, {
  month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
});
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

/** Wall clock in the reader's zone; the date only where it is not today's. */
export function clock(us, nowUs = Date.now() * 1000) {
  if (absent(us)) return NONE;
  const when = new Date(us / 1000);
  const sameDay = when.toDateString() === new Date(nowUs / 1000).toDateString();
  return (sameDay ? today : earlier).format(when);
}

export const moment = (us) => (absent(us) ? NONE : full.format(new Date(us / 1000)));
export const isoTime = (us) => new Date(us / 1000).toISOString();

/** Since the start of the call: "+1.204 s". */
export function offset(us, startUs) {
  const s = (us - startUs) / 1e6;
  return `${s < 0 ? "−" : "+"}${Math.abs(s).toFixed(3)} s`;
}

export function bitrate(bps) {
  if (absent(bps)) return NONE;
  if (bps < 1000) return `${Math.round(bps)} bit/s`;
  if (bps < 1e6) return `${Math.round(bps / 1000)} kbit/s`;
  return `${(bps / 1e6).toFixed(2)} Mbit/s`;
}

export function bytes(count) {
  if (absent(count)) return NONE;
  if (count < 1000) return `${count} B`;
  if (count < 1e6) return `${(count / 1000).toFixed(1)} kB`;
  return `${(count / 1e6).toFixed(1)} MB`;
}

const grouped = new Intl.NumberFormat();
export const count = (value) => (absent(value) ? NONE : grouped.format(value));
export const ms = (value) => (absent(value) ? NONE : `${value < 10 ? Number(value).toFixed(1) : Math.round(value)} ms`);
export const percent = (value) => (absent(value) ? NONE : `${value.toFixed(value !== 0 && value < 9.95 ? 1 : 0)} %`);

/** "udp_blocked_or_firewall" to "UDP blocked or firewall". */
export function words(code) {
  if (!code) return NONE;
  const acronyms = { udp: "UDP", tcp: "TCP", ice: "ICE", dtls: "DTLS", sdp: "SDP", nat: "NAT", mdns: "mDNS", srtp: "SRTP",
    rtp: "RTP", mtu: "MTU", rtcp: "RTCP", turn: "TURN" };
  const text = String(code).split(/[_\s]+/).map((word) => acronyms[word] ?? word).join(" ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Fill a link template's {fields}; each value is percent-encoded. */
export function fill(template, values) {
  return template.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? encodeURIComponent(values[name] ?? "") : whole));
}
