// Vectors of one or two numbers, as arrays.

export const dot = (v, w) => v.reduce((sum, value, j) => sum + value * w[j], 0);
export const add = (v, factor, w) => v.map((value, j) => value + factor * w[j]);
export const norm = v => Math.hypot(...v);
export const mean = vectors => vectors.reduce((sum, v) => add(sum, 1 / vectors.length, v), vectors[0].map(() => 0));
