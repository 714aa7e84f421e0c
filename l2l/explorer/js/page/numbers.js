// Numbers: kept in bounds, rounded, read from an address, and written as people write them.

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
export const round = (value, unit) => +(Math.round(value / unit) * unit).toFixed(6);

// `count` evenly spaced numbers from low to high.
export const evenly = (low, high, count) =>
  Float64Array.from({length: count}, (_, i) => low + (high - low) * i / (count - 1));

const ROUNDING = 1e-20;  // of a squared error in double precision

export function readable(value) {
  if (!Number.isFinite(value)) return "∞";
  const size = Math.abs(value);
  if (size < ROUNDING) return "0";
  return size >= 1e4 || size < 1e-3 ? value.toExponential(1) : value.toFixed(size < 10 ? 3 : 1);
}

export const whole = n => Math.round(n).toLocaleString("en-GB");
export const iterationsText = n => `${whole(n)} iterations`;
export const twoDecimals = value => value.toFixed(2);

export function roundUp(value) {  // to 1, 2 or 5 times a power of ten
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map(f => f * power).find(v => v >= value * 0.999);
}

// The number that an address gives, kept within bounds; `otherwise` if it gives none.
export const within = (text, low, high, otherwise) =>
  text === undefined || !Number.isFinite(+text) ? otherwise : clamp(+text, low, high);
export const wholeWithin = (...given) => Math.round(within(...given));
export const numbers = text => text ? text.split(",").map(Number).filter(Number.isFinite) : [];
