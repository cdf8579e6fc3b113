// One call: its histograms, and its seconds with lost and late packets by cause.

import { count, duration, timeElement, NOT_MEASURED } from "./format.js";
import { byId, html, setHidden, setText, tile } from "./elements.js";
import { drawBands, drawDistribution, drawEvents } from "./drawing.js";
import { toObject } from "./stream.js";

const SECONDS = 120;
const MAX_LISTED = 20;
const CAUSES = { lost: "lost", late_source: "late by source", late_relay: "late by relay", late_echo: "late by echo", late_host: "late by host" };

export class CallDetail {
  constructor() {
    this.document = null;
    this.shown = "";
    this.failure = "";
  }

  // Show a call, or hide the section without one. The focus follows a choice of the user.
  async show(call, { focus = false } = {}) {
    const section = byId("detail");
    if (!call) {
      this.shown = "";
      setHidden(section, true);
      return;
    }
    const isNew = call !== this.shown;
    this.shown = call;
    if (isNew) this.document = null;
    setHidden(section, false);
    setText(byId("detail-title"), `Call ${call}`);
    if (focus) section.focus();
    try {
      const answer = await fetch(`/calls/${encodeURIComponent(call)}`);
      if (this.shown !== call) return;
      if (answer.ok) this.document = await answer.json();
      this.failure = answer.ok ? "" : "The call has ended, and the relay has forgotten it.";
    } catch {
      this.failure = "The relay does not answer. The figures are old.";
    }
    if (this.shown === call) this.draw();
  }

  draw() {
    const { document: shown } = this;
    const ended = shown?.record.endedUnixMs ? " The call has ended: its seconds are no longer kept." : "";
    const refused = shown?.record.refusal ? ` Refused: ${shown.record.refusal}` : "";
    setText(byId("detail-note"), (this.failure + ended + refused).trim() || "Seconds since the call's begin, at most 120.");
    if (!shown) return;
    this.#drawFigures(shown.record);
    const points = shown.seconds.map((values) => {
      const second = toObject(shown.fields, values);
      return { ...second, at: second.at_unix_seconds };
    });
    const now = points.at(-1)?.at ?? Date.now() / 1000;
    drawBands(byId("detail-bands"), points, { seconds: SECONDS, now, description: "Median and longest round trip of each second of the call" });
    drawEvents(byId("detail-events"), points, { seconds: SECONDS, now, description: "Lost and late packets of each second of the call" });
    drawDistribution(byId("detail-distribution"), shown.histograms ?? {}, "Histograms of round trip and residence of the call");
    this.#list(points);
  }

  #drawFigures(record) {
    const figures = record.figures;
    const figure = (name, field, format = duration) => tile(name, figures ? format(figures[field] ?? null) : NOT_MEASURED);
    const began = html("div", {}, html("dt", {}, "Began"), html("dd", {}, timeElement(record.startedUnixMs / 1000)));
    byId("detail-figures").replaceChildren(
      began,
      tile("Caller", record.callerNumber ?? "not known"),
      tile("Port", record.port === null || record.port === undefined ? "none" : String(record.port)),
      tile("State", record.media ? `${record.state}, ${record.media}` : record.state),
      figure("Round trip, median", "p50Microseconds"),
      figure("Round trip, 99 %", "p99Microseconds"),
      figure("Round trip, longest", "maxMicroseconds"),
      figure("Residence, 99 %", "residenceP99Microseconds"),
      figure("Jitter at the echo", "jitterMicroseconds"),
      figure("Lost", "lost", count),
      figure("Packets", "packets", count),
      figure("MOS (estimate)", "estimatedMos", (value) => (value === null ? NOT_MEASURED : value.toFixed(2))),
    );
  }

  #list(points) {
    const found = points.filter((each) => Object.keys(CAUSES).some((name) => each[name])).slice(-MAX_LISTED).reverse();
    const items = found.map((each) => {
      const parts = Object.entries(CAUSES).filter(([name]) => each[name]).map(([name, text]) => `${count(each[name])} ${text}`);
      return html("li", {}, timeElement(each.at), `: ${parts.join(", ")}`);
    });
    byId("detail-list").replaceChildren(...(items.length ? items : [html("li", {}, "No packet of these seconds was lost or late.")]));
  }
}
