// Elements of HTML and SVG. Text is set as text, so no value becomes markup.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export const html = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

// Set a text only where it changes: a screen reader announces each change of a live region.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

export function replaceRows(body, rows) {
  body.replaceChildren(...rows.map((cells) => html("tr", {}, ...cells)));
}

export function rowHead(text, detail) {
  const head = html("th", { scope: "row" }, text);
  if (detail) head.append(html("code", {}, detail));
  return head;
}

export function figureCell(text) {
  return html("td", text === "not measured" ? { class: "absent" } : {}, text);
}

export function tile(name, value, detail, cause) {
  const shown = html("dd", value === "not measured" ? { class: "absent" } : {}, value);
  const parts = [html("dt", cause ? { class: `cause ${cause}` } : {}, name), shown];
  if (detail) parts.push(html("dd", { class: "soft" }, detail));
  return html("div", {}, ...parts);
}
