// The relay's stream of events, and the model that they fill.

const MAX_SECONDS = 900;
const SPARKLINE_SECONDS = 60;
const MAX_SILENT_MILLISECONDS = 5000;
const RECONNECT_MILLISECONDS = 5000;

export const toObject = (names, values) => Object.fromEntries(names.map((name, at) => [name, values[at]]));

export class Model {
  constructor() {
    this.fields = null;
    this.history = { calls: [], probe: [] };
    this.sparklines = new Map();
    this.second = null;
    this.state = null;
    this.calls = [];
  }

  applyHistory(event) {
    this.fields = event.fields;
    for (const kind of ["calls", "probe"]) this.history[kind] = event[kind].map((values) => this.#toSecond(values));
    this.sparklines = new Map(
      Object.entries(event.sparklines).map(([port, values]) => [
        Number(port),
        values.map(([longest, bad]) => ({ longest, bad })),
      ]),
    );
  }

  applySecond(event) {
    this.second = event;
    for (const kind of ["calls", "probe"]) {
      this.history[kind].push(this.#toSecond(event[kind]));
      this.history[kind].splice(0, this.history[kind].length - MAX_SECONDS);
    }
    this.calls = event.live.map((values) => this.#toCall(values));
    const ports = new Set(this.calls.map((call) => call.port));
    for (const port of this.sparklines.keys()) if (!ports.has(port)) this.sparklines.delete(port);
  }

  latest(kind) {
    return this.history[kind].at(-1) ?? null;
  }

  #toSecond(values) {
    const second = toObject(this.fields.second, values);
    second.at = second.at_unix_seconds;
    return second;
  }

  #toCall(values) {
    const call = toObject(this.fields.call, values);
    const second = call.second && toObject(this.fields.callSecond, call.second);
    call.p50 = second?.p50 ?? null;
    call.longest = second?.longest ?? null;
    call.late = call.packets === null ? null : call.lateRelay + call.lateEcho + (call.lateHost ?? 0);
    if (call.port !== null) {
      const values60 = this.sparklines.get(call.port) ?? [];
      if (second) values60.push({ longest: second.longest, bad: second.lost + second.late_relay + second.late_echo + (second.late_host ?? 0) });
      values60.splice(0, values60.length - SPARKLINE_SECONDS);
      this.sparklines.set(call.port, values60);
    }
    return call;
  }
}

// Follow /events for ever. `changed` gets the name of each event, `connection` each change: waiting, live or cut.
export function follow(model, changed, connection) {
  let heardAt = 0;
  let state = "waiting";
  let source = null;
  const setState = (next) => {
    if (state !== next) connection((state = next), heardAt);
  };
  const open = () => {
    source = new EventSource("/events");
    const on = (name, apply) =>
      source.addEventListener(name, (event) => {
        heardAt = Date.now();
        apply(JSON.parse(event.data));
        if (name === "second") setState("live");
        changed(name);
      });
    on("history", (event) => model.applyHistory(event));
    on("second", (event) => model.applySecond(event));
    on("state", (event) => (model.state = event));
    source.addEventListener("error", () => {
      setState("cut");
      // A refused stream is not tried again by the browser.
      if (source.readyState === EventSource.CLOSED) setTimeout(open, RECONNECT_MILLISECONDS);
    });
  };
  setInterval(() => {
    if (state === "live" && Date.now() - heardAt > MAX_SILENT_MILLISECONDS) setState("cut");
  }, 1000);
  open();
}
