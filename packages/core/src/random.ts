/**
 * The random numbers of Thimble: a counter-based generator, so that a run is a function of its
 * seed.
 *
 * Philox4x32-10 turns (key, counter) into four 32-bit words. A stream is named by a seed and a
 * list of keys, `Random.of(seed, 'augment', epoch, index)`: the names are hashed to 128 bits, of
 * which 64 become the Philox key and 64 the upper half of the counter; the lower half counts
 * blocks. So a stream needs no other stream to have been drawn first, and the order in which
 * threads ask changes nothing.
 *
 * Everything below uses only integer arithmetic, + - * / and Math.sqrt, which ECMAScript fixes to
 * the last bit; Math.log, Math.sin and Math.cos are left to the engine, hence `logarithm` and
 * `sineCosine` here.
 *
 * Reference: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011
 * (Philox; the test holds the known answers of the authors' Random123 library). Not for secrets.
 */
import { ConfigError } from './errors.js';

/** A part of a stream's name. The number 1 and the string '1' are different names. */
export type RandomKey = string | number;

/** Arrays that the bulk functions fill. */
export type FloatArray = Float32Array | Float64Array;

/**
 * One stream of random numbers.
 *
 * @example
 * const random = Random.of(42, 'shuffle', epoch);
 * random.shuffle(order);
 */
export class Random {
  private readonly key: Uint32Array; // [2]
  private readonly counter: Uint32Array; // [4]: block number low, high; stream name, two words
  private readonly words = new Uint32Array(4);
  private used = 4; // words of the current block already handed out
  private readonly pair = new Float64Array(2); // sine, cosine of the last Box-Muller step
  private spare = Number.NaN; // second normal of the pair, NaN when there is none

  private constructor(name: Uint32Array) {
    this.key = name.slice(0, 2);
    this.counter = Uint32Array.of(0, 0, name[2], name[3]);
  }

  /**
   * The stream of this seed and these keys; the same arguments give the same numbers everywhere.
   * Throws ConfigError for a seed that is not an integer in [0, 2^53).
   */
  static of(seed: number, ...keys: readonly RandomKey[]): Random {
    return new Random(streamName(seed, keys));
  }

  /** The next 32 random bits as an integer in [0, 2^32). */
  word(): number {
    if (this.used === 4) {
      philox4x32(this.counter, this.key, this.words);
      this.counter[0] += 1;
      if (this.counter[0] === 0) this.counter[1] += 1;
      this.used = 0;
    }
    return this.words[this.used++];
  }

  /** Uniform in [0, 1): a multiple of 2^-53. */
  uniform(): number {
    const high = this.word() >>> 5; // 27 bits
    const low = this.word() >>> 6; // 26 bits
    return (high * 67108864 + low) / 9007199254740992;
  }

  /** Uniform in [low, high). */
  between(low: number, high: number): number {
    return low + (high - low) * this.uniform();
  }

  /**
   * Uniform integer in [0, n), without bias: words above the last multiple of n are drawn again.
   */
  below(n: number): number {
    if (!(Number.isInteger(n) && n >= 1 && n <= 4294967296)) {
      throw new ConfigError({
        where: 'Random.below',
        expected: 'an integer from 1 to 2^32',
        got: String(n),
        todo: 'Pass the number of choices',
      });
    }
    const limit = 4294967296 - (4294967296 % n);
    let word = this.word();
    while (word >= limit) word = this.word();
    return word % n;
  }

  /** Standard normal by Box and Muller: sqrt(-2 ln u) · (cos 2πv, sin 2πv), handed out in turn. */
  normal(): number {
    if (!Number.isNaN(this.spare)) {
      const spare = this.spare;
      this.spare = Number.NaN;
      return spare;
    }
    const radius = Math.sqrt(-2 * logarithm(1 - this.uniform())); // 1 - u is in (0, 1]
    sineCosine(this.uniform(), this.pair);
    this.spare = radius * this.pair[0];
    return radius * this.pair[1];
  }

  /**
   * Normal with mean 0 and this standard deviation, drawn again until it lies in [low, high]
   * (bounds in the unit of the value, as in timm's trunc_normal_). Throws ConfigError when the
   * interval is so far out that a thousand draws miss it.
   */
  truncatedNormal(std: number, low: number, high: number): number {
    for (let tries = 0; tries < 1000; tries++) {
      const value = std * this.normal();
      if (value >= low && value <= high) return value;
    }
    throw new ConfigError({
      where: 'Random.truncatedNormal',
      expected: 'an interval with at least a thousandth of the probability',
      got: `[${low}, ${high}] with standard deviation ${std}`,
      todo: 'Widen the interval or the standard deviation',
    });
  }

  /** Fisher-Yates, in place; returns its argument. Every order is equally likely. */
  shuffle<A extends { readonly length: number; [index: number]: unknown }>(array: A): A {
    for (let last = array.length - 1; last > 0; last--) {
      const other = this.below(last + 1);
      const held = array[last];
      array[last] = array[other];
      array[other] = held;
    }
    return array;
  }

  /** Fills the array with uniform numbers in [low, high) (a Float32Array may round up to high). */
  fillUniform<A extends FloatArray>(array: A, low = 0, high = 1): A {
    for (let i = 0; i < array.length; i++) array[i] = this.between(low, high);
    return array;
  }

  /** Fills the array with normal numbers. */
  fillNormal<A extends FloatArray>(array: A, std = 1, mean = 0): A {
    for (let i = 0; i < array.length; i++) array[i] = mean + std * this.normal();
    return array;
  }

  /** Fills the array with `truncatedNormal(std, low, high)`. */
  fillTruncatedNormal<A extends FloatArray>(array: A, std: number, low: number, high: number): A {
    for (let i = 0; i < array.length; i++) array[i] = this.truncatedNormal(std, low, high);
    return array;
  }
}

/**
 * One block of Philox4x32-10: out = bijection_key(counter).
 *
 * @param counter four words; @param key two words; @param out four words, may be the counter
 * itself.
 */
export function philox4x32(counter: Uint32Array, key: Uint32Array, out: Uint32Array): void {
  // Words as int32, of which only the bits count: the engine then needs no wider numbers.
  let c0 = counter[0] | 0;
  let c1 = counter[1] | 0;
  let c2 = counter[2] | 0;
  let c3 = counter[3] | 0;
  let k0 = key[0] | 0;
  let k1 = key[1] | 0;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(0xd2511f53, c0);
    const low0 = Math.imul(0xd2511f53, c0);
    const high1 = multiplyHigh(0xcd9e8d57, c2);
    const low1 = Math.imul(0xcd9e8d57, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + 0x9e3779b9) | 0; // golden ratio
    k1 = (k1 + 0xbb67ae85) | 0; // sqrt(3) - 1
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/** The upper 32 bits of the product of two 32-bit words taken as unsigned; no sum passes 2^32. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = (Math.imul(aHigh, bLow) + (Math.imul(aLow, bLow) >>> 16)) | 0;
  const cross = (Math.imul(aLow, bHigh) + (middle & 0xffff)) | 0;
  return (Math.imul(aHigh, bHigh) + (middle >>> 16) + (cross >>> 16)) | 0;
}

/**
 * 128 bits for a seed and its keys: CBC-MAC with Philox under the seed, over words in which each
 * key is preceded by its type and length, so that no two lists of keys give the same words.
 */
function streamName(seed: number, keys: readonly RandomKey[]): Uint32Array {
  if (!(Number.isSafeInteger(seed) && seed >= 0)) {
    throw new ConfigError({
      where: 'seed',
      expected: 'an integer from 0 to 2^53 - 1',
      got: String(seed),
      todo: 'Choose another seed',
    });
  }
  const words = keyWords(keys);
  const seedWords = Uint32Array.of(seed % 4294967296, Math.floor(seed / 4294967296));
  const name = new Uint32Array(4);
  for (let start = 0; start < words.length; start += 4) {
    for (let i = 0; i < 4; i++) name[i] ^= words[start + i] ?? 0;
    philox4x32(name, seedWords, name);
  }
  return name;
}

function keyWords(keys: readonly RandomKey[]): number[] {
  const words = [keys.length];
  const bits = new DataView(new ArrayBuffer(8));
  for (const key of keys) {
    if (typeof key === 'number') {
      bits.setFloat64(0, key + 0); // -0 and 0 are one name
      words.push(0x6e000002, bits.getUint32(0), bits.getUint32(4));
    } else {
      words.push(0x73000000 + key.length);
      for (let i = 0; i < key.length; i++) words.push(key.charCodeAt(i));
    }
  }
  return words;
}

// Scratch for reading the bits of a number; holds nothing between calls.
const float64 = new Float64Array(1);
const float64Words = new Uint32Array(float64.buffer);
const highWord = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1 ? 1 : 0; // little endian: second

/**
 * Natural logarithm of a normal, positive x, to 1 ulp: x = 2^e·m with m in [sqrt(1/2), sqrt(2)),
 * and with s = (m - 1) / (m + 1), ln m = 2 (s + s^3/3 + s^5/5 + …); |s| < 0.172, so eleven terms
 * reach 2^-53.
 */
export function logarithm(x: number): number {
  float64[0] = x;
  let exponent = (float64Words[highWord] >>> 20) - 1023;
  float64Words[highWord] = (float64Words[highWord] & 0xfffff) | 0x3ff00000;
  let mantissa = float64[0];
  if (mantissa > Math.SQRT2) {
    mantissa /= 2;
    exponent += 1;
  }
  const s = (mantissa - 1) / (mantissa + 1);
  const square = s * s;
  // Written out: a loop divides by its counter, which took half of the time.
  let series = (1 / 21) * square;
  series = (series + 1 / 19) * square;
  series = (series + 1 / 17) * square;
  series = (series + 1 / 15) * square;
  series = (series + 1 / 13) * square;
  series = (series + 1 / 11) * square;
  series = (series + 1 / 9) * square;
  series = (series + 1 / 7) * square;
  series = (series + 1 / 5) * square;
  series = (series + 1 / 3) * square;
  return exponent * Math.LN2 + (2 * s + 2 * s * series);
}

/**
 * sin 2πu and cos 2πu into out[0] and out[1], for u in [0, 1). The eighth of the circle is taken
 * off exactly, the rest is a Taylor series on |x| <= π/4.
 */
export function sineCosine(u: number, out: Float64Array): void {
  const quarter = Math.floor(u * 4 + 0.5); // 0..4
  const x = (u - quarter / 4) * (2 * Math.PI);
  const square = x * x;
  // 1 - square / (k (k + 1)) · sine for k = 16, 14, … 2, written out.
  let sine = 1 - square / 272;
  sine = 1 - (square / 210) * sine;
  sine = 1 - (square / 156) * sine;
  sine = 1 - (square / 110) * sine;
  sine = 1 - (square / 72) * sine;
  sine = 1 - (square / 42) * sine;
  sine = 1 - (square / 20) * sine;
  sine = 1 - (square / 6) * sine;
  sine *= x;
  // 1 - square / (k (k - 1)) · cosine.
  let cosine = 1 - square / 240;
  cosine = 1 - (square / 182) * cosine;
  cosine = 1 - (square / 132) * cosine;
  cosine = 1 - (square / 90) * cosine;
  cosine = 1 - (square / 56) * cosine;
  cosine = 1 - (square / 30) * cosine;
  cosine = 1 - (square / 12) * cosine;
  cosine = 1 - (square / 2) * cosine;
  const turned = quarter & 3;
  out[0] = turned === 0 ? sine : turned === 1 ? cosine : turned === 2 ? -sine : -cosine;
  out[1] = turned === 0 ? cosine : turned === 1 ? -sine : turned === 2 ? -cosine : sine;
}
