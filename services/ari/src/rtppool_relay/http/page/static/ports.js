// The port range as a map.

import { count } from "./format.js";
import { byId, html, setText, svg } from "./elements.js";

const CELL = 18;
const LETTERS = { free: "F", leased: "L", resting: "R", quarantined: "Q", excluded: "–", draining: "D" };

export function showPorts(ports, calls, choose) {
  const counts = ["free", "leased", "resting", "quarantined", "draining"].map((use) => `${count(ports[use])} ${use}`);
  const summary = `Range ${ports.range}, ${count(ports.total, "port")}: ${counts.join(", ")}.`;
  const empty = ports.free === 0 && ports.resting === 0 ? " No port is left for another call." : "";
  setText(byId("ports-note"), summary + empty);
  const reasons = ports.quarantine.map((each) => html("li", {}, `${each.port}: ${each.reason}`));
  if (ports.drainingPorts.length) reasons.push(html("li", {}, `Draining, outside the range: ${ports.drainingPorts.join(", ")}`));
  byId("ports-reasons").replaceChildren(...reasons);
  drawMap(ports, summary, new Map(calls.map((call) => [call.port, call])), choose);
}

function drawMap(ports, summary, callByPort, choose) {
  const place = byId("ports");
  if (!ports.map) {
    place.replaceChildren(html("p", { class: "note" }, "The range is too wide for a map."));
    return;
  }
  const columns = Math.max(Math.floor(place.clientWidth / CELL), 10);
  const uses = ports.map.flatMap(([use, number]) => Array(number).fill(use));
  const rows = Math.ceil(uses.length / columns);
  const drawn = svg("svg", { width: columns * CELL, height: rows * CELL, role: "img", "aria-label": `Map of ports. ${summary}` });
  uses.forEach((use, at) => {
    const port = ports.start + at;
    const [x, y] = [(at % columns) * CELL, Math.floor(at / columns) * CELL];
    const call = callByPort.get(port);
    const title = `${port}: ${use}${call ? `, call ${call.call}` : ""}${port === ports.probePort ? ", lent to the probe" : ""}`;
    const cell = svg(
      "g",
      { class: `port ${use}` },
      svg("title", {}, title),
      svg("rect", { x: x + 1, y: y + 1, width: CELL - 2, height: CELL - 2, rx: 3 }),
      svg("text", { x: x + CELL / 2, y: y + 13 }, LETTERS[use]),
    );
    if (call) cell.addEventListener("click", () => choose(call.call));
    drawn.append(cell);
  });
  place.replaceChildren(drawn);
}
