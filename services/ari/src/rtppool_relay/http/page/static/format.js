// Figures as text. A figure that was not measured is null, and never shown as 0.

const MICROSECONDS_PER_MILLISECOND = 1000;
const PPM_PER_PERCENT = 10000;
export const NOT_MEASURED = "not measured";

const decimals = (value, digits) => value.toLocaleString("en", { maximumFractionDigits: digits });

export function duration(microseconds) {
  if (microseconds === null || microseconds === undefined) return NOT_MEASURED;
  if (Math.abs(microseconds) < MICROSECONDS_PER_MILLISECOND) return `${decimals(microseconds, 0)} µs`;
  return `${decimals(microseconds / MICROSECONDS_PER_MILLISECOND, 3)} ms`;
}

export function share(ppm) {
  return ppm === null || ppm === undefined ? NOT_MEASURED : `${decimals(ppm / PPM_PER_PERCENT, 4)} %`;
}

export function count(value, unit = "") {
  if (value === null || value === undefined) return NOT_MEASURED;
  const plural = unit && value !== 1 ? `${unit}s` : unit;
  return plural ? `${decimals(value, 0)} ${plural}` : decimals(value, 0);
}

export function limitFigure(limit, value) {
  return limit.endsWith("Ppm") ? share(value) : duration(value);
}

export function distance(accepted, measured) {
  if (measured === null || measured === undefined) return NOT_MEASURED;
  if (measured > accepted) {
    return accepted ? `${decimals(measured / accepted, 2)} times the limit` : "above the limit of 0";
  }
  return accepted ? `${decimals((100 * (accepted - measured)) / accepted, 1)} % left` : "at the limit";
}

export function clock(unixSeconds) {
  return new Date(unixSeconds * 1000).toLocaleTimeString();
}

// A local time with UTC under the pointer.
export function timeElement(unixSeconds) {
  const made = document.createElement("time");
  const at = new Date(unixSeconds * 1000);
  made.dateTime = at.toISOString();
  made.title = `${at.toISOString().replace("T", " ").slice(0, 19)} UTC`;
  made.textContent = at.toLocaleTimeString();
  return made;
}
