// Charts as SVG. Colours come from style sheets, so that they follow light and dark.

import { clock, count, duration } from "./format.js";
import { svg } from "./elements.js";

const HEIGHT = 170;
const LEFT = 62;
const BOTTOM = 22;
const TOP = 8;
const MAX_GAP_SECONDS = 2;
const CAUSES = ["late_source", "late_relay", "late_echo", "late_host", "lost"];
const CLASSES = { late_source: "source", late_relay: "relay", late_echo: "echo", late_host: "host", lost: "lost" };

function frame(place, description, height = HEIGHT) {
  const width = Math.max(place.clientWidth, 240);
  const drawn = svg("svg", { width: "100%", height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": description });
  place.replaceChildren(drawn);
  return { drawn, width, height, right: width - 8, bottom: height - BOTTOM };
}

function message(area, text) {
  area.drawn.append(svg("text", { x: area.width / 2, y: area.height / 2, class: "empty" }, text));
}

function logScale(low, high, from, to) {
  const [a, b] = [Math.log(low), Math.log(high)];
  return (value) => from + ((Math.log(Math.min(Math.max(value, low), high)) - a) / (b - a)) * (to - from);
}

function decades(low, high) {
  const found = [];
  for (let at = 10 ** Math.ceil(Math.log10(low)); at <= high; at *= 10) {
    found.push(at);
    if (found.length < 2 && high / low < 100) found.push(at * 2, at * 5);
  }
  return found.filter((at) => at <= high);
}

function timeAxis(area, seconds, now) {
  const x = (at) => LEFT + ((at - (now - seconds)) / seconds) * (area.right - LEFT);
  const steps = area.width < 500 ? 2 : 5;
  for (let part = 0; part <= steps; part += 1) {
    const at = Math.round(now - seconds + (part * seconds) / steps);
    const anchor = part === steps ? "end" : "middle";
    area.drawn.append(svg("text", { x: x(at), y: area.height - 6, class: "tick", "text-anchor": anchor }, clock(at)));
  }
  area.drawn.append(svg("line", { x1: LEFT, x2: area.right, y1: area.bottom, y2: area.bottom, class: "axis" }));
  return x;
}

// Runs of seconds that were measured. A second without a figure is a gap.
function runsOf(points) {
  const runs = [];
  let last = null;
  for (const point of points) {
    if (point.p50 === null) {
      last = null;
      continue;
    }
    if (last === null || point.at - last > MAX_GAP_SECONDS) runs.push([]);
    runs[runs.length - 1].push(point);
    last = point.at;
  }
  return runs;
}

// Points are {at, p5, p50, p95, p99, longest}; absent figures are null.
export function drawBands(place, points, { seconds, now, limit, cursor, description }) {
  const area = frame(place, description);
  const values = points.flatMap((each) => [each.p5, each.p50, each.p99, each.longest]).filter((each) => each > 0);
  const x = timeAxis(area, seconds, now);
  if (!values.length) return message(area, "Nothing was measured in this time");
  let [low, high] = [Infinity, 0];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  [low, high] = [low * 0.8, Math.max(high * 1.25, low * 4)];
  const y = logScale(low, high, area.bottom, TOP);
  for (const at of decades(low, high)) {
    area.drawn.append(
      svg("line", { x1: LEFT, x2: area.right, y1: y(at), y2: y(at), class: "grid" }),
      svg("text", { x: LEFT - 6, y: y(at) + 4, class: "count" }, duration(at)),
    );
  }
  const line = (run, name) => run.map((each, at) => `${at ? "L" : "M"}${x(each.at).toFixed(1)} ${y(each[name]).toFixed(1)}`);
  const paths = { band: "", p99: "", longest: "", p50: "" };
  for (const run of runsOf(points)) {
    if (run[0].p95 !== undefined && run[0].p95 !== null) {
      const back = [...run].reverse().map((each) => `L${x(each.at).toFixed(1)} ${y(each.p5).toFixed(1)}`);
      paths.band += `${line(run, "p95").join("")}${back.join("")}Z`;
      paths.p99 += line(run, "p99").join("");
    }
    paths.p50 += line(run, "p50").join("") + (run.length === 1 ? "h2" : "");
    for (const each of run) paths.longest += `M${x(each.at).toFixed(1)} ${y(each.longest).toFixed(1)}h2`;
  }
  for (const [name, d] of Object.entries(paths)) if (d) area.drawn.append(svg("path", { d, class: name }));
  if (limit && limit < high) {
    area.drawn.append(
      svg("line", { x1: LEFT, x2: area.right, y1: y(limit), y2: y(limit), class: "limit" }),
      svg("text", { x: area.right, y: y(limit) - 4, class: "limit-name" }, `longest accepted ${duration(limit)}`),
    );
  }
  drawCursor(area, x, cursor);
}

function drawCursor(area, x, cursor) {
  if (cursor) area.drawn.append(svg("line", { x1: x(cursor), x2: x(cursor), y1: TOP, y2: area.bottom, class: "cursor" }));
}

// Points are {at, late_source, late_relay, late_echo, late_host, lost}: a stack for each second.
export function drawEvents(place, points, { seconds, now, cursor, description }) {
  const area = frame(place, description, 110);
  const x = timeAxis(area, seconds, now);
  if (!points.some((each) => each.packets)) return message(area, "Nothing was measured in this time");
  const total = (each) => CAUSES.reduce((sum, name) => sum + (each[name] ?? 0), 0);
  const most = Math.max(...points.map(total), 1);
  const scale = (area.bottom - TOP) / Math.log1p(most);
  const width = Math.max((area.right - LEFT) / seconds, 1);
  for (const at of new Set([1, Math.round(Math.sqrt(most)), most])) {
    const y = area.bottom - Math.log1p(at) * scale;
    area.drawn.append(
      svg("line", { x1: LEFT, x2: area.right, y1: y, y2: y, class: "grid" }),
      svg("text", { x: LEFT - 6, y: y + 4, class: "count" }, count(at)),
    );
  }
  const paths = {};
  for (const point of points) {
    const sum = total(point);
    let bottom = area.bottom;
    for (const name of CAUSES) {
      const height = sum ? (Math.log1p(sum) * scale * (point[name] ?? 0)) / sum : 0;
      if (!height) continue;
      bottom -= height;
      paths[name] = `${paths[name] ?? ""}M${x(point.at).toFixed(1)} ${bottom.toFixed(1)}h${width.toFixed(1)}v${height.toFixed(1)}h-${width.toFixed(1)}Z`;
    }
  }
  for (const [name, d] of Object.entries(paths)) area.drawn.append(svg("path", { d, class: `part ${CLASSES[name]}` }));
  drawCursor(area, x, cursor);
}

// Bars are [from µs, to µs, packets]. Both axes are logarithmic.
export function drawDistribution(place, histograms, description) {
  const area = frame(place, description, 200);
  const all = Object.values(histograms).flat();
  if (!all.length) return message(area, "Nothing was measured in this window");
  const low = Math.max(Math.min(...all.map((bar) => bar[0])), 1) * 0.9;
  const high = Math.max(...all.map((bar) => bar[1])) * 1.1;
  const most = Math.max(...all.map((bar) => bar[2]));
  const x = logScale(low, high, LEFT, area.right);
  const y = (packets) => area.bottom - (Math.log1p(packets) / Math.log1p(most)) * (area.bottom - TOP);
  for (let at = 1; at <= most; at *= 10) {
    area.drawn.append(
      svg("line", { x1: LEFT, x2: area.right, y1: y(at), y2: y(at), class: "grid" }),
      svg("text", { x: LEFT - 6, y: y(at) + 4, class: "count" }, count(at)),
    );
  }
  for (const [name, bars] of Object.entries(histograms)) {
    let d = "";
    for (const [from, to, packets] of bars) {
      const [left, right] = [x(Math.max(from, low)), x(to)];
      d += `M${left.toFixed(1)} ${area.bottom}V${y(packets).toFixed(1)}H${right.toFixed(1)}V${area.bottom}Z`;
    }
    area.drawn.append(svg("path", { d, class: `bars ${name.toLowerCase()}` }));
  }
  for (const at of decades(low, high)) {
    area.drawn.append(svg("text", { x: x(at), y: area.height - 6, class: "tick", "text-anchor": "middle" }, duration(at)));
  }
  area.drawn.append(svg("line", { x1: LEFT, x2: area.right, y1: area.bottom, y2: area.bottom, class: "axis" }));
}

// Values are {longest, bad}: the longest round trip of each second, with a mark where packets were late or lost.
export function drawSparkline(drawn, values) {
  const [width, height] = [90, 22];
  let [low, high] = [Infinity, 0];
  for (const { longest } of values) {
    if (longest) [low, high] = [Math.min(low, longest), Math.max(high, longest)];
  }
  let d = "";
  let marks = "";
  let open = false;
  const y = high ? logScale(low * 0.9, high * 1.1, height - 3, 3) : null;
  values.forEach(({ longest, bad }, at) => {
    const x = ((at + 60 - values.length) / 60) * width;
    if (longest) d += `${open ? "L" : "M"}${x.toFixed(1)} ${y(longest).toFixed(1)}`;
    open = Boolean(longest);
    if (bad) marks += `M${x.toFixed(1)} ${height - 3}v3`;
  });
  drawn.replaceChildren(svg("path", { d, class: "p50" }), svg("path", { d: marks, class: "mark" }));
}
