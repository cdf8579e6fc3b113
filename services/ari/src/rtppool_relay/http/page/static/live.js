// The live page: it follows the relay's events and draws what they say.

import { CallDetail } from "./detail.js";
import { CallTable, CALL_COLUMNS } from "./calls.js";
import { Model, follow } from "./stream.js";
import { byId, setText } from "./elements.js";
import { clock, count, duration, timeElement } from "./format.js";
import { ENDED_COLUMNS, showEnded } from "./ended.js";
import { drawBands, drawDistribution, drawEvents } from "./drawing.js";
import { readView, writeView } from "./view_state.js";
import { saveCsv, saveJson } from "./download.js";
import { showLate, showNow, showRefusals, showVerdict } from "./verdict.js";
import { showPorts } from "./ports.js";

const DETAIL_EVERY_SECONDS = 2;
const view = readView();
const model = new Model();
const detail = new CallDetail();
const table = new CallTable(view, () => apply({ focus: true }));
let paused = false;
let opened = "";

// Calls where they were measured, else the probe; the user may choose.
function kindShown() {
  if (view.source !== "auto") return view.source;
  return model.latest("calls")?.packets || model.state?.sla.calls ? "calls" : "probe";
}

function pointsShown(kind) {
  const now = model.second?.at ?? model.latest(kind)?.at ?? Math.floor(Date.now() / 1000);
  return { now, seconds: Number(view.span), points: model.history[kind].filter((each) => each.at > now - Number(view.span)) };
}

function drawHistory() {
  const kind = kindShown();
  const { now, seconds, points } = pointsShown(kind);
  const slider = byId("cursor");
  slider.max = String(seconds - 1);
  const back = Number(slider.max) - Math.min(Number(slider.value), Number(slider.max));
  const at = now - back;
  const cursor = back ? at : null;
  const limit = model.state?.sla.limits.maxRttMicroseconds;
  const subject = kind === "calls" ? "calls" : "the probe";
  const minutes = `${seconds / 60} minutes`;
  drawBands(byId("bands"), points, { seconds, now, limit, cursor, description: `Round trips of ${subject}, percentiles of each second over ${minutes}` });
  drawEvents(byId("events"), points, { seconds, now, cursor, description: `Late packets by cause and lost packets of ${subject} of each second over ${minutes}` });
  showReadout(points.findLast((each) => each.at <= at && each.at > at - 2), at, slider);
}

function showReadout(second, at, slider) {
  const text = second?.packets
    ? `: median ${duration(second.p50)}, 99 % within ${duration(second.p99)}, longest ${duration(second.longest)}; late by relay ${count(second.late_relay)}, echo ${count(second.late_echo)}, host ${count(second.late_host)}, source ${count(second.late_source)}; lost ${count(second.lost)}.`
    : ": nothing was measured.";
  byId("readout").replaceChildren(timeElement(at), text);
  slider.setAttribute("aria-valuetext", clock(at) + text);
}

function drawState() {
  if (!model.state) return;
  const kind = kindShown();
  showVerdict(model.state);
  showLate(model.state, kind);
  showRefusals(model.state);
  showEnded(model.state.lastEnded, (call) => table.open(call));
  const subject = kind === "calls" ? "calls" : "the probe";
  drawDistribution(byId("distribution"), model.state.histograms[kind], `Histograms of round trip and residence of ${subject}`);
  setText(byId("distribution-note"), `Packets of ${subject} in the window of ${count(model.state.sla.limits.windowSeconds)} s, both axes logarithmic.`);
}

function drawSecond() {
  const kind = kindShown();
  const note =
    kind === "probe"
      ? "These figures come from the probe, and are never judged: no call was measured, or the probe was chosen."
      : "Figures of calls that became known in the last second.";
  setText(byId("source-note"), note);
  byId("source-note").classList.toggle("warning", kind === "probe");
  showNow(model.latest(kind), kind, model.state);
  if (!model.second) return;
  showPorts(model.second.ports, model.calls, (call) => table.open(call));
  table.show(model, model.second.at);
}

function draw(name) {
  if (paused) return;
  if (name !== "state") {
    drawSecond();
    drawHistory();
    if (view.call && model.second && model.second.at % DETAIL_EVERY_SECONDS === 0) detail.show(view.call);
  }
  if (name !== "second") drawState();
}

// Take the view's state over into the page and the address.
function apply({ focus = false } = {}) {
  writeView(view);
  for (const name of ["source", "span", "filter", "only"]) if (byId(name).value !== view[name]) byId(name).value = view[name];
  if (view.call !== opened) detail.show(view.call, { focus: focus && Boolean(view.call) });
  opened = view.call;
  drawSecond();
  drawHistory();
  drawState();
}

function showConnection(state, heardAt) {
  const place = byId("connection");
  place.className = `connection ${state}`;
  const since = heardAt ? `The stream is cut: the figures are those of ${new Date(heardAt).toLocaleTimeString()}.` : "No data: the relay does not answer.";
  setText(place, state === "live" ? "Live: figures of each second." : `${since} Connecting again.`);
  document.body.classList.toggle("stale", state === "cut");
}

for (const name of ["source", "span", "only"]) {
  byId(name).addEventListener("change", (event) => {
    view[name] = event.target.value;
    if (name === "span") byId("cursor").value = byId("cursor").max = String(Number(view.span) - 1);
    apply();
  });
}
byId("filter").addEventListener("input", (event) => {
  view.filter = event.target.value;
  apply();
});
for (const form of ["controls", "filters"]) byId(form).addEventListener("submit", (event) => event.preventDefault());
byId("cursor").addEventListener("input", drawHistory);
byId("pause").addEventListener("click", (event) => {
  paused = !paused;
  event.target.setAttribute("aria-pressed", String(paused));
  setText(event.target, paused ? "Go on" : "Pause");
  if (!paused) apply();
});
byId("detail-close").addEventListener("click", () => {
  view.call = "";
  apply();
  byId("calls").focus();
});
byId("detail-json").addEventListener("click", () => saveJson(`call-${view.call}`, detail.document));
byId("calls-csv").addEventListener("click", () => saveCsv("calls", CALL_COLUMNS, table.select(model.calls)));
byId("calls-json").addEventListener("click", () => saveJson("calls", table.select(model.calls).map(({ second, ...call }) => call)));
byId("ended-csv").addEventListener("click", () => saveCsv("ended-calls", ENDED_COLUMNS, model.state?.lastEnded ?? []));
byId("ended-json").addEventListener("click", () => saveJson("ended-calls", model.state?.lastEnded ?? []));
const historyRows = () => pointsShown(kindShown()).points.map(({ at, ...second }) => second);
byId("history-csv").addEventListener("click", () => saveCsv(`history-${kindShown()}`, model.fields?.second ?? [], historyRows()));
byId("history-json").addEventListener("click", () => saveJson(`history-${kindShown()}`, historyRows()));
new ResizeObserver(() => draw("history")).observe(byId("bands"));

byId("cursor").max = byId("cursor").value = String(Number(view.span) - 1);
apply();
follow(model, draw, showConnection);
