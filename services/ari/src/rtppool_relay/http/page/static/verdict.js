// Verdict, distance to the limits, the last second, and the host's share.

import { count, distance, duration, limitFigure, share, timeElement, NOT_MEASURED } from "./format.js";
import { byId, figureCell, html, replaceRows, rowHead, setHidden, setText, svg, tile } from "./elements.js";

const SIGNS = { Met: "✓ Met", Violated: "✗ Violated", Unknown: "? Unknown" };
const CAUSES = { source: "Source: arrived late from Asterisk", relay: "Relay: delayed in this relay", echo: "Echo: delayed in the echo, or on the way to it", host: "Host: the machine took the processor away" };
const HOST = {
  heartbeat: ["heartbeatLateMilliseconds", "Watched processors stood still"],
  steal: ["stolenMilliseconds", "The hypervisor took processors"],
  runDelay: ["runDelayMilliseconds", "The media process waited for a processor"],
  throttling: ["throttledMilliseconds", "A CPU limit of this container held it back"],
  pressure: ["pressureMilliseconds", "Some process waited for a processor"],
};
const SHARE_PARTS = 1e6;
const BAR_LIMIT_PERCENT = 75;

export function showVerdict(state) {
  const { sla } = state;
  setText(byId("node"), state.node);
  setText(byId("place"), `relay ${state.relay}, ${state.pool}, echo ${state.echo}, Asterisk ${state.asterisk}`);
  document.title = `${SIGNS[sla.result]}: ${state.node}`;
  byId("verdict").className = `verdict ${sla.result.toLowerCase()}`;
  setText(byId("result"), SIGNS[sla.result]);
  const list = byId("violations");
  list.replaceChildren(...state.violations.map((each) => html("li", {}, each)));
  setHidden(list, !state.violations.length);
  const sentence = sla.host?.sentence ?? "";
  setText(byId("message"), state.violations.length ? "" : sla.message.replace(sentence, "").trim());
  setText(byId("host-sentence"), sentence);
  setHidden(byId("host-sentence"), !sentence);
  setText(byId("tier"), `${count(sla.activeCalls, "call")} active: ${state.tier}`);
  showWindow(sla);
  byId("problems").replaceChildren(...state.problems.map((each) => html("p", { class: "warning" }, each)));
  byId("limits").replaceChildren(...sla.checks.map((check) => limitRow(check, state.limitNames[check.limit])));
}

function showWindow(sla) {
  const place = byId("window");
  if (!sla.calls) {
    place.replaceChildren(`Window: ${count(sla.limits.windowSeconds)} s without a packet of a call.`);
    return;
  }
  const { startUnixSeconds: from, endUnixSeconds: to, packets } = sla.calls;
  place.replaceChildren("Window: ", timeElement(from), " to ", timeElement(to), `, ${count(packets, "packet")} of calls.`);
}

function limitRow({ limit, accepted, measured }, name) {
  const kept = measured <= accepted;
  const absent = measured === null || measured === undefined;
  const text = absent ? NOT_MEASURED : `${limitFigure(limit, measured)} ${kept ? "✓" : "✗"}`;
  const cell = html("td", { class: absent ? "measured absent" : `measured ${kept ? "kept" : "broken"}` }, text);
  const gauge = html("td", { class: "gauge" }, html("span", {}, distance(accepted, measured)));
  if (!absent) gauge.append(bar(accepted, measured, kept));
  return html("tr", {}, rowHead(name, limit), html("td", { class: "accepted" }, limitFigure(limit, accepted)), cell, gauge);
}

function bar(accepted, measured, kept) {
  const whole = Math.max((accepted * 100) / BAR_LIMIT_PERCENT, measured, 1);
  const edge = `${(100 * accepted) / whole}%`;
  return svg(
    "svg",
    { width: "100%", height: 8, "aria-hidden": "true" },
    svg("rect", { width: "100%", height: 8, rx: 2, class: "track" }),
    svg("rect", { width: `${(100 * measured) / whole}%`, height: 8, rx: 2, class: `fill ${kept ? "kept" : "broken"}` }),
    svg("line", { x1: edge, x2: edge, y1: 0, y2: 8, class: "edge" }),
  );
}

export function showNow(second, kind, state) {
  const figures = state?.sla[kind];
  if (!second?.packets) {
    byId("now").replaceChildren(tile("Packets", "none", kind === "calls" ? "No packet of a call in this second." : "No packet of the probe in this second."));
    return;
  }
  const late = (cause) => tile(`Late by ${cause}`, count(second[`late_${cause}`], "packet"), "", cause);
  byId("now").replaceChildren(
    tile("Round trip, median", duration(second.p50), `95 % within ${duration(second.p95)}`),
    tile("Round trip, 99 %", duration(second.p99), `longest ${duration(second.longest)}`),
    tile("Lost", count(second.lost, "packet"), `window: ${share(figures?.lossPpm)}; from Asterisk ${count(second.source_lost, "packet")}`),
    late("source"),
    late("relay"),
    late("echo"),
    late("host"),
    tile("Jitter at the echo", duration(second.jitter), `from Asterisk ${duration(second.source_jitter)}`),
    tile("Residence, median", duration(second.residence_p50), `99 % within ${duration(second.residence_p99)}`),
    tile("MOS (estimate)", figures?.estimatedMos === undefined ? NOT_MEASURED : figures.estimatedMos.toFixed(2), "of the window, 1 to 5"),
    tile("Packets", count(second.packets), "in this second"),
  );
}

export function showLate(state, kind) {
  const figures = state.sla[kind];
  const rows = Object.entries(CAUSES).map(([cause, name]) => {
    const packets = figures?.late[cause] ?? null;
    const part = packets === null ? NOT_MEASURED : share((SHARE_PARTS * packets) / figures.packets);
    return [html("th", { scope: "row" }, html("span", { class: `cause ${cause}` }, name)), figureCell(count(packets)), figureCell(part)];
  });
  replaceRows(byId("late"), rows);
  const host = state.sla.host;
  const taken = Object.entries(HOST).map(([witness, [field, name]]) => {
    const reason = state.hostWitnesses[witness] ?? NOT_MEASURED;
    const held = host?.[field];
    return [rowHead(name, witness), held === undefined || held === null ? html("td", { class: "absent" }, reason) : html("td", {}, duration(held * 1000))];
  });
  replaceRows(byId("host"), taken);
}

export function showRefusals(state) {
  const refused = Object.entries(state.refused).map(([reason, calls]) => `${reason} ${count(calls)}`);
  const text = refused.length ? `Refused since the relay started: ${refused.join(", ")}.` : "No call was refused since the relay started.";
  setText(byId("refusals"), text);
}
