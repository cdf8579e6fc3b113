// The table of live calls: sorted, filtered, with a sparkline each.

import { count, duration } from "./format.js";
import { byId, html, setText, svg } from "./elements.js";
import { drawSparkline } from "./drawing.js";

const COLUMNS = [
  ["call", "Call", (call) => call.call],
  ["caller", "Caller", (call) => call.caller ?? "not known"],
  ["port", "Port", (call) => (call.port === null ? "none" : String(call.port))],
  ["state", "State", (call) => (call.media && call.media !== "flowing" ? `${call.state}, ${call.media}` : call.state)],
  ["startedUnixMs", "Age", (call, now) => age(now - call.startedUnixMs / 1000)],
  ["p50", "Median", (call) => duration(call.p50)],
  ["longest", "Longest", (call) => duration(call.longest)],
  ["late", "Late here", (call) => count(call.late)],
  ["lateSource", "Late source", (call) => count(call.lateSource)],
  ["lost", "Lost", (call) => count(call.lost)],
  ["packets", "Packets", (call) => count(call.packets)],
];
export const CALL_COLUMNS = [
  ...["call", "caller", "port", "state", "startedUnixMs", "media", "packets", "lost", "lateSource", "lateRelay"],
  ...["lateEcho", "lateHost", "p50", "longest"],
];
const SOUNDLESS = new Set(["silent", "stopped", "oneWay"]);

function age(seconds) {
  const whole = Math.max(Math.round(seconds), 0);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

export class CallTable {
  constructor(view, changed) {
    this.view = view;
    this.rows = new Map();
    this.buttons = new Map();
    for (const [name, title] of COLUMNS) {
      const button = html("button", { type: "button" }, title);
      button.addEventListener("click", () => {
        view.sort = view.sort === name ? `-${name}` : name;
        changed();
      });
      const head = html("th", { scope: "col" }, button);
      this.buttons.set(name, head);
      byId("calls-head").append(head);
    }
    byId("calls-head").append(html("th", { scope: "col" }, "Last minute"));
    this.open = (call) => {
      view.call = call;
      changed();
    };
  }

  // Return the calls that pass the filter, in order.
  select(calls) {
    const { filter, only, sort } = this.view;
    const wanted = filter.trim().toLowerCase();
    const shown = calls.filter((call) => {
      if (wanted && ![call.call, call.caller, call.port].some((each) => String(each ?? "").toLowerCase().includes(wanted))) return false;
      if (only === "late") return call.late > 0;
      if (only === "lost") return call.lost > 0;
      return only !== "silent" || SOUNDLESS.has(call.media);
    });
    const name = sort.replace(/^-/, "");
    const sign = sort.startsWith("-") ? -1 : 1;
    // What was not measured is last in either order.
    return shown.sort((a, b) => {
      const [x, y] = [a[name] ?? null, b[name] ?? null];
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true }));
    });
  }

  show(model, now) {
    const shown = this.select(model.calls);
    const name = this.view.sort.replace(/^-/, "");
    for (const [column, head] of this.buttons) {
      const order = this.view.sort.startsWith("-") ? "descending" : "ascending";
      if (column === name) head.setAttribute("aria-sort", order);
      else head.removeAttribute("aria-sort");
    }
    const note = model.calls.length ? `${count(shown.length)} of ${count(model.calls.length, "live call")}` : "No call is live. The probe measures the path.";
    setText(byId("calls-note"), note);
    const kept = new Map();
    for (const call of shown) kept.set(call.call, this.#update(call, model.sparklines.get(call.port) ?? [], now));
    this.rows = kept;
    const body = byId("calls-body");
    const rows = [...kept.values()].map((row) => row.element);
    // Rows that stay in place keep the focus.
    if (rows.length !== body.children.length || rows.some((row, at) => row !== body.children[at])) {
      const focused = document.activeElement;
      body.replaceChildren(...rows);
      if (body.contains(focused)) focused.focus({ preventScroll: true });
    }
  }

  #update(call, sparkline, now) {
    const row = this.rows.get(call.call) ?? this.#create(call);
    COLUMNS.forEach(([, , text], at) => {
      const cell = row.cells[at];
      const value = text(call, now);
      setText(cell, value);
      if (at) cell.classList.toggle("absent", value === "not measured");
    });
    drawSparkline(row.sparkline, sparkline);
    row.element.classList.toggle("chosen", call.call === this.view.call);
    return row;
  }

  #create(call) {
    const button = html("button", { type: "button", class: "open", "aria-label": `Show call ${call.call}` });
    button.addEventListener("click", () => this.open(call.call));
    const cells = COLUMNS.slice(1).map(() => html("td"));
    const sparkline = svg("svg", { width: 90, height: 22, class: "sparkline", role: "img", "aria-label": "Longest round trip of each second, with marks of late and lost packets" });
    const element = html("tr", {}, html("th", { scope: "row" }, button), ...cells, html("td", {}, sparkline));
    return { element, cells: [button, ...cells], sparkline };
  }
}
