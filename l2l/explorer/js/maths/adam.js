// Adam, the outer optimiser (Kingma & Ba, 2015, algorithm 1).

const [BETA1, BETA2, EPSILON] = [0.9, 0.999, 1e-8];

// The sum of the weights in both means after t updates: less than 1, as they start from 0.
export const remainders = t => [1 - BETA1 ** t, 1 - BETA2 ** t];

export const adamInit = ({values: {length}}) => ({t: 0, m: new Float64Array(length), v: new Float64Array(length)});

// One update, in place.
export function adam(theta, grad, state, rate) {
  state.t += 1;
  const {m, v, t} = state, [remainderM, remainderV] = remainders(t);
  for (let i = 0; i < grad.length; i++) {
    m[i] += (1 - BETA1) * (grad[i] - m[i]);
    v[i] += (1 - BETA2) * (grad[i] ** 2 - v[i]);
    theta.values[i] -= rate * m[i] / remainderM / (Math.sqrt(v[i] / remainderV) + EPSILON);
  }
}
