// torch's random numbers, its Mersenne Twister (Matsumoto & Nishimura, 1998), so that a seed in the page is that seed
// in the library: the same first parameters and the same tasks.

export class Generator {
  constructor(seed) {
    this.state = new Uint32Array(624);
    this.state[0] = seed;
    for (let i = 1; i < 624; i++) {
      const previous = this.state[i - 1] ^ (this.state[i - 1] >>> 30);
      this.state[i] = Math.imul(1812433253, previous) + i;
    }
    this.next = 624;
  }

  random32() {
    if (this.next === 624) {
      const s = this.state;
      for (let i = 0; i < 624; i++) {
        const bits = (s[i] & 0x80000000) | (s[(i + 1) % 624] & 0x7fffffff);
        s[i] = s[(i + 397) % 624] ^ (bits >>> 1) ^ (bits & 1 ? 0x9908b0df : 0);
      }
      this.next = 0;
    }
    let y = this.state[this.next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  // torch.rand: 24 random bits in single precision, 53 in double.
  single() {
    return (this.random32() & 0xffffff) / 2 ** 24;
  }

  double() {
    const high = this.random32() & 0x1fffff;
    return (high * 2 ** 32 + this.random32()) / 2 ** 53;
  }

  normal() {  // Box–Muller
    return Math.sqrt(-2 * Math.log(1 - this.double())) * Math.cos(2 * Math.PI * this.double());
  }
}
