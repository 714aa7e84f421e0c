// What the explorer "draw" shows, in Python, with l2l's line styles.

import {listed} from "../page/share.js";

const rounded = values => listed(Array.from(values, value => +value.toFixed(4)));

export function drawAsPython({x, points, answers}, curve) {
  const lines = Object.entries(answers).map(([name, y]) => `    "${name}": ${listed(y)},`).join("\n");
  return `import matplotlib.pyplot as plt
import numpy as np
from l2l import plots

x = np.array(${listed(x)})
answers = {
${lines}
}
mine = np.interp(x, np.linspace(x[0], x[-1], ${curve.length}), ${rounded(curve)})
plt.plot(${listed(points.x)}, ${listed(points.y)}, **plots.POINT_STYLE)
plt.plot(x, mine, color="black", label="your curve")
for name, y in answers.items():
    plt.plot(x, y, **(plots.TRUTH_STYLE if name == "truth" else plots.METHOD_STYLE[name]))
    print(name, ((mine - np.array(y)) ** 2).mean())
plt.show()
`;
}
