// What the page shows, as a file.

import { html } from "./elements.js";

function save(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = html("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

// A text that begins like a formula would run in a spreadsheet.
function csvCell(value) {
  if (value === null || value === undefined) return "";
  let text = String(value);
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function saveCsv(name, columns, rows) {
  const lines = [columns, ...rows.map((row) => columns.map((column) => row[column]))];
  save(`${name}.csv`, "text/csv", `${lines.map((cells) => cells.map(csvCell).join(",")).join("\r\n")}\r\n`);
}

export function saveJson(name, value) {
  save(`${name}.json`, "application/json", `${JSON.stringify(value, null, 1)}\n`);
}
