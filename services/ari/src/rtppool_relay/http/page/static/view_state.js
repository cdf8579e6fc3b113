// The state of the view in the address, so that a link shows the same.

const DEFAULTS = { source: "auto", span: "900", sort: "port", filter: "", only: "", call: "" };

export function readView() {
  const given = new URLSearchParams(location.search);
  return Object.fromEntries(Object.entries(DEFAULTS).map(([name, value]) => [name, given.get(name) ?? value]));
}

export function writeView(view) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(DEFAULTS)) if (view[name] !== value) given.set(name, view[name]);
  const query = given.toString();
  history.replaceState(null, "", query ? `?${query}` : location.pathname);
}
