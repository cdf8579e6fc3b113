// The calls that ended last, newest first.

import { count, duration, timeElement } from "./format.js";
import { byId, figureCell, html, replaceRows, setHidden, setText } from "./elements.js";

const MILLISECONDS_PER_SECOND = 1000;
const ENDS = {
  callerGone: "caller hung up",
  callerMoved: "moved to another bridge",
  asteriskGone: "Asterisk ended",
  mediaGone: "media channel gone",
  bridgeGone: "bridge gone",
  stepFailed: "a request failed",
  timedOut: "set-up took too long",
  cut: "cut by a drain",
};
export const ENDED_COLUMNS = ["call", "caller", "port", "endedUnixMs", "lastedMs", "why", "p50", "p99", "late", "lost", "packets", "sla"];

let drawn = null;

export function showEnded(calls, open) {
  // A row keeps the focus until another call ends.
  const listed = calls.map((call) => `${call.call} ${call.endedUnixMs}`).join();
  if (listed === drawn) return;
  drawn = listed;
  setText(byId("ended-note"), calls.length ? `${count(calls.length, "call")}, newest first.` : "No call has ended since the relay started.");
  setHidden(byId("ended-table"), !calls.length);
  replaceRows(byId("ended-body"), calls.map((call) => cells(call, open)));
}

function cells(call, open) {
  const button = html("button", { type: "button", class: "open", "aria-label": `Show ended call ${call.call}` }, call.call);
  button.addEventListener("click", () => open(call.call));
  const why = call.refused ? `refused: ${call.why}` : (ENDS[call.why] ?? call.why ?? "not known");
  return [
    html("th", { scope: "row" }, button),
    html("td", {}, call.caller ?? "not known"),
    html("td", {}, call.port === null ? "none" : String(call.port)),
    html("td", {}, timeElement(call.endedUnixMs / MILLISECONDS_PER_SECOND)),
    html("td", {}, `${count(Math.round(call.lastedMs / MILLISECONDS_PER_SECOND))} s`),
    html("td", {}, why),
    figureCell(duration(call.p50)),
    figureCell(duration(call.p99)),
    figureCell(count(call.late)),
    figureCell(count(call.lost)),
    figureCell(count(call.packets)),
    html("td", {}, call.sla ?? "not judged"),
  ];
}
