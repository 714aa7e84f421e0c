// Parameters as the page holds them: little-endian float32 in base64, as l2l.explorer writes them.

import {parameterCount} from "../maths/net.js";

export function decoded(text, sizes) {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0)), view = new DataView(bytes.buffer);
  const values = Float64Array.from({length: bytes.length / 4}, (_, i) => view.getFloat32(4 * i, true));
  const count = parameterCount(sizes);
  if (values.length !== count)
    throw new Error(`a network of widths ${sizes} has ${count} parameters, got ${values.length}`);
  return {sizes, values};
}
