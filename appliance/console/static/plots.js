// Loss, jitter, round trip, bitrate and requests of each track over time: small multiples on one cursor.

import { h } from "./dom.js";
import { NONE, bitrate, count, ms, percent } from "./format.js";
import uPlot from "./vendor/uplot/uPlot.esm.js";

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const aSecond = (value) => (value === null || value === undefined ? NONE : `${Math.round(value * 10) / 10}/s`);

// in: from the client to the server; out: the other way, as the client reports.
const METRICS = [
  { title: "Loss", unit: "%", format: percent, lines: [["from the client, seen here", "loss_in", 100], ["to the client, as it reports", "loss_out", 100]], least: 2 },
  { title: "Jitter", unit: "ms", format: ms, lines: [["from the client", "jitter_in_ms", 1], ["to the client", "jitter_out_ms", 1]], least: 10 },
  { title: "Round trip", unit: "ms", format: ms, lines: [["round trip", "rtt_ms", 1]], least: 20 },
  { title: "Bitrate", unit: "kbit/s", format: (value) => bitrate(value === null ? null : value * 1000),
    lines: [["from the client", "bitrate_in_bps", 0.001], ["to the client", "bitrate_out_bps", 0.001]], least: 10 },
  { title: "Repeats asked for (NACK)", unit: "/s", format: aSecond, lines: [["by the server", "nacks_out", 1], ["by the client", "nacks_in", 1]], least: 2 },
  { title: "Key frames asked for (PLI, FIR)", unit: "/s", format: aSecond, lines: [["by the server", "plis_out", 1], ["by the client", "plis_in", 1]],
    least: 2, only: "video" },
];

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200];

/** Seconds as m:ss, from an hour on as h:mm:ss. */
function sinceStart(seconds) {
  const two = (value) => String(Math.floor(value)).padStart(2, "0");
  const rest = `${two((seconds % 3600) / 60)}:${two(seconds % 60)}`;
  return seconds >= 3600 ? `${Math.floor(seconds / 3600)}:${rest}` : rest.replace(/^0/, "");
}

export class Plots {
  constructor() {
    this.element = h("div", { class: "plots" });
    this.charts = new Map();
    this.sync = uPlot.sync("call");
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.element);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.recolour = () => { this.clear(); this.show(this.tracks ?? []); };
    this.scheme.addEventListener("change", this.recolour);
  }

  /** `startUs`: what the time axis counts from, as the events below do. */
  show(tracks, startUs = this.startUs) {
    this.startUs = startUs;
    this.tracks = tracks.filter((track) => track.kind !== "data" && track.series.timestamp_us.length > 0);
    if (this.tracks.length === 0) {
      this.clear();
      this.element.replaceChildren(h("p", { class: "empty" }, "No statistics of audio or video: they come once media flows, one a second."));
      return;
    }
    if (this.charts.size === 0) this.element.replaceChildren();
    for (const track of this.tracks) {
      const name = `${track.mid} ${track.layer ?? 0}`;
      if (!this.charts.has(name)) this.charts.set(name, this.add(track));
      this.fill(this.charts.get(name), track);
    }
  }

  add(track) {
    const row = h("div", { class: "plot-row" });
    const figures = METRICS.filter(({ only }) => !only || only === track.kind).map((metric) => {
      const box = h("div", { class: "plot" });
      const values = metric.lines.map(([label], index) => h("span", { class: `legend line-${index + 1}` }, label, " ", h("b")));
      const figure = h("figure", {},
        h("figcaption", {}, h("strong", {}, metric.title), h("span", { class: "legends" }, values)), box);
      row.append(figure);
      return { metric, box, values: values.map((value) => value.querySelector("b")), plot: null };
    });
    const title = h("h3", {});
    this.element.append(h("section", { class: "plot-track", "aria-label": `${track.kind} ${track.mid}` }, title, row));
    return { figures, title };
  }

  fill({ figures, title }, track) {
    title.replaceChildren([`${track.kind} · mid ${track.mid}`, track.layer ? `layer ${track.layer}` : null, track.codec].filter(Boolean).join(" · "),
      h("small", {}, whole(track)));
    const times = track.series.timestamp_us.map((at) => (at - this.startUs) / 1e6);
    for (const figure of figures) {
      const lines = figure.metric.lines.map(([, name, factor]) => track.series[name].map((value) => (
        value === null ? null : value * factor)));
      figure.measured = lines.some((line) => line.some((value) => value !== null));
      if (figure.plot === null) figure.plot = this.draw(figure, [times, ...lines]);
      else figure.plot.setData([times, ...lines]);
      figure.box.dataset.empty = figure.measured ? "" : "not measured";
      figure.box.setAttribute("role", "img");
      figure.box.setAttribute("aria-label", `${figure.metric.title}: ${describe(figure.metric, lines)}`);
      this.readout(figure, null);
    }
  }

  draw(figure, data) {
    const { metric, box } = figure;
    const grid = { stroke: css("--line"), width: 1 };
    const axis = { stroke: css("--muted"), font: `11px ${css("--sans")}`, grid, ticks: { show: false } };
    const stroke = [css("--series-1"), css("--series-2")];
    return new uPlot({
      width: Math.max(120, box.clientWidth || 300),
      height: 130,
      cursor: { sync: { key: this.sync.key }, y: false, points: { size: 6 }, drag: { x: true, y: false } },
      legend: { show: false },
      scales: { x: { time: false }, y: { range: (_plot, least, most) => [0, Math.max(metric.least, (most ?? 0) * 1.1)] } },
      axes: [
        { ...axis, size: 22, space: 60, incrs: STEPS, values: (_plot, splits) => splits.map(sinceStart) },
        { ...axis, size: 42, space: 28, values: (_plot, splits) => splits.map((value) => (value >= 10000 ? `${value / 1000}k` : value)) },
      ],
      series: [{}, ...metric.lines.map(([label], index) => ({
        label, stroke: stroke[index], width: 1.5, dash: index === 1 ? [5, 3] : undefined, spanGaps: false,
        points: { show: data[0].length < 3 },
      }))],
      hooks: { setCursor: [(plot) => this.readout(figure, plot.cursor.idx)] },
    }, data, box);
  }

  /** The values under the cursor, or the newest ones. */
  readout(figure, index) {
    if (!figure.plot) return;
    const at = index ?? figure.plot.data[0].length - 1;
    figure.values.forEach((element, line) => {
      element.textContent = figure.metric.format(figure.plot.data[line + 1]?.[at] ?? null);
    });
  }

  resize() {
    for (const { figures } of this.charts.values()) {
      for (const { plot, box } of figures) {
        if (plot && box.clientWidth > 0 && Math.abs(plot.width - box.clientWidth) > 1) plot.setSize({ width: box.clientWidth, height: 130 });
      }
    }
  }

  clear() {
    for (const { figures } of this.charts.values()) for (const { plot } of figures) plot?.destroy();
    this.charts.clear();
    this.element.replaceChildren();
  }

  destroy() {
    this.observer.disconnect();
    this.scheme.removeEventListener("change", this.recolour);
    this.clear();
  }
}

/** The call as a whole, beside the curves. */
function whole(track) {
  const share = (value) => percent(value === null ? null : value * 100);
  return [
    `${count(track.packets_in)} packets from the client, ${share(track.loss_in)} lost`,
    `${count(track.packets_out)} to it, ${share(track.loss_out)} lost`,
  ].join("; ");
}

/** The curve in words, for those who can't see it. */
function describe(metric, lines) {
  return metric.lines.map(([label], index) => {
    const values = lines[index].filter((value) => value !== null);
    if (values.length === 0) return `${label} not measured`;
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    return `${label} ${metric.format(mean)} on average, at most ${metric.format(Math.max(...values))}, of ${count(values.length)} values`;
  }).join("; ");
}
