// Matrices as {values, at, row, column}: an array, where the matrix begins in it, and how far it is to the next row and
// column. Everything is in double precision.

export const matrix = (values, row, at = 0) => ({values, at, row, column: 1});
export const transposed = ({values, at, row, column}) => ({values, at, row: column, column: row});

// Intermediate values live in one array that every gradient reuses, because allocation is slow in browsers.
let scratch = new Float64Array(1 << 14), used = 0;

export function reuseScratch() {
  used = 0;
}

export function zeros(rows, columns) {
  const size = rows * columns;
  if (used + size > scratch.length) [scratch, used] = [new Float64Array(2 * (used + size)), 0];
  return matrix(scratch.subarray(used, used += size).fill(0), columns);
}

// out += A · B for A of m × p and B of p × n. Half of A is zeros where units are off, so each row's others are
// collected first; then four columns are summed at a time, in variables, which is faster than in arrays.
let factors = new Float64Array(64), starts = new Int32Array(64);

export function multiplyAdd({values: out, at, row}, m, p, n, A, {values: b, at: bAt, row: bRow, column: step}) {
  if (factors.length < p) [factors, starts] = [new Float64Array(p), new Int32Array(p)];
  for (let i = 0; i < m; i++) {
    let count = 0, k = 0;
    for (let j = 0; j < p; j++) {
      const factor = A.values[A.at + i * A.row + j * A.column];
      if (factor !== 0) {
        factors[count] = factor;
        starts[count++] = bAt + j * bRow;
      }
    }
    const to = at + i * row;
    for (; k + 3 < n; k += 4) {
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
      for (let j = 0; j < count; j++) {
        const factor = factors[j], w = starts[j] + k * step;
        s0 += factor * b[w];
        s1 += factor * b[w + step];
        s2 += factor * b[w + 2 * step];
        s3 += factor * b[w + 3 * step];
      }
      out[to + k] += s0;
      out[to + k + 1] += s1;
      out[to + k + 2] += s2;
      out[to + k + 3] += s3;
    }
    for (; k < n; k++) for (let j = 0; j < count; j++) out[to + k] += factors[j] * b[starts[j] + k * step];
  }
}
