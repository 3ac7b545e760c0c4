// Numbers, sizes and times as people read them. Pure: what is unknown is a dash, never a zero.

const GROUPED = new Intl.NumberFormat("en-US");
const UNKNOWN = "–";
const SCALES = [
  [1e15, "P"],
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];
/** Below this a number is written in full. */
const IN_FULL = 10_000;

/** How many: 9,999 in full, then 12.3k. */
export function count(number) {
  if (number === null || number === undefined) return UNKNOWN;
  if (Math.abs(number) < IN_FULL) return GROUPED.format(number);
  const [size, letter] = SCALES.find(([size]) => Math.abs(number) >= size);
  return `${significant(number / size)}${letter}`;
}

/** All of its digits, for where there is room. */
export function full(number) {
  return number === null || number === undefined ? UNKNOWN : GROUPED.format(number);
}

/** A rate: slow ones with a digit after the point. */
export function rate(number) {
  if (number === null || number === undefined) return UNKNOWN;
  if (number > 0 && number < 0.1) return "<0.1";
  return number < 10 && number > 0 ? String(Math.round(number * 10) / 10) : count(Math.round(number));
}

/** Bytes, in binary units. */
export function bytes(number) {
  if (number === null || number === undefined) return UNKNOWN;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = number;
  for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024;
  return `${unit === 0 ? value : significant(value)} ${units[unit]}`;
}

/** A time that something took. */
export function millis(number) {
  if (number === null || number === undefined) return UNKNOWN;
  if (number >= 1000) return `${significant(number / 1000)} s`;
  return number >= 1 || number === 0 ? `${significant(number)} ms` : `${significant(number * 1000)} µs`;
}

/** A part of one processor. */
export function percent(part) {
  if (part === null || part === undefined) return UNKNOWN;
  const hundredths = part * 100;
  return `${hundredths > 0 && hundredths < 10 ? hundredths.toFixed(1) : Math.round(hundredths)}%`;
}

/** A point in time, as this place writes it, with its date: `2026-11-28 01:02:03`. */
export function time(date) {
  if (Number.isNaN(date.getTime())) return UNKNOWN;
  const two = (number) => String(number).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** `1 task`, `2 tasks`. */
export function counted(number, noun, nouns = `${noun}s`) {
  return `${full(number)} ${number === 1 ? noun : nouns}`;
}

/** The last part of a path. */
export function fileName(path) {
  return path.split(/[\\/]/).at(-1);
}

/** The state as a word in a sentence: `Running`. */
export function word(state) {
  return state.charAt(0) + state.slice(1).toLowerCase();
}

function significant(number) {
  const digits = Math.abs(number) >= 100 ? 0 : Math.abs(number) >= 10 ? 1 : 2;
  return String(Number(number.toFixed(digits)));
}
