/**
 * The two 16-bit floating-point formats of weight files, as bit patterns and as numbers.
 *
 * float16: IEEE 754 binary16, with 1 sign, 5 exponent and 10 fraction bits.
 * bfloat16: the upper half of a float32.
 * Both encoders round to nearest, ties to even; every NaN becomes the format's one quiet NaN.
 */

const SIGN_BIT = 0x8000;
const FLOAT16_INFINITY = 0x7c00;
const FLOAT16_NAN = 0x7e00;
/** Halfway between 65504, the greatest float16, and 65536: from here on, infinity. */
const FLOAT16_OVERFLOW = 65520;
const FLOAT16_LEAST_NORMAL = 2 ** -14;
const FLOAT16_LEAST_SUBNORMAL = 2 ** -24;
const BFLOAT16_NAN = 0x7fc0;

/** The float16 bit pattern nearest to `value`. */
export function float16Bits(value: number): number {
  if (Number.isNaN(value)) return FLOAT16_NAN;
  const sign = value < 0 || Object.is(value, -0) ? SIGN_BIT : 0;
  const magnitude = Math.abs(value);
  if (magnitude >= FLOAT16_OVERFLOW) return sign | FLOAT16_INFINITY;
  if (magnitude < FLOAT16_LEAST_NORMAL) {
    return sign | roundHalfToEven(magnitude / FLOAT16_LEAST_SUBNORMAL);
  }
  // magnitude = significand · 2^(exponent - 14) with significand in [1, 2) and exponent in 0..29.
  const scaled = magnitude / FLOAT16_LEAST_NORMAL;
  const exponent = 31 - Math.clz32(Math.floor(scaled));
  const significand = roundHalfToEven((scaled / 2 ** exponent) * 1024); // 1024..2048
  // The significand's leading one adds 1 to the exponent field; a carry from rounding, another.
  return sign | ((exponent << 10) + significand);
}

/** `float16Bits` of every value, by integers alone: some twenty times as fast for whole tensors. */
export function float16Words(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const words = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) words[i] = float16Word(bits[i]);
  return words;
}

/** @param bits of a float32 */
function float16Word(bits: number): number {
  const sign = (bits >>> 16) & SIGN_BIT;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return FLOAT16_NAN;
  const exponent = (magnitude >>> 23) - 112; // 127 - 15: the float16's exponent field
  if (exponent >= 31) return sign | FLOAT16_INFINITY;
  if (exponent < -10) return sign; // below half of the least subnormal
  // A subnormal shows its leading one, and loses as many bits more as its exponent is below 1.
  const isNormal = exponent > 0;
  const fraction = isNormal ? magnitude & 0x7fffff : (magnitude & 0x7fffff) | 0x800000;
  const lost = isNormal ? 13 : 14 - exponent;
  const kept = (isNormal ? exponent << 10 : 0) | (fraction >>> lost);
  const rest = fraction & ((1 << lost) - 1);
  const half = 1 << (lost - 1);
  const up = rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0;
  return sign | (kept + up); // a carry goes into the exponent, and from 65504 to infinity
}

/** The number that a float16 bit pattern stands for; every float16 is exact. */
export function float16Value(bits: number): number {
  const sign = bits & SIGN_BIT ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * FLOAT16_LEAST_SUBNORMAL;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** `float16Value` of every little-endian element, by integers alone. */
export function float16Floats(bytes: Uint8Array): Float32Array {
  const values = new Float32Array(bytes.length / 2);
  const bits = new Uint32Array(values.buffer);
  for (let i = 0; i < values.length; i++) {
    const word = bytes[2 * i] | (bytes[2 * i + 1] << 8);
    const exponent = (word >> 10) & 0x1f;
    if (exponent === 0 || exponent === 0x1f) values[i] = float16Value(word);
    // 127 - 15: the float32's exponent field.
    else bits[i] = ((word & SIGN_BIT) << 16) | ((exponent + 112) << 23) | ((word & 0x3ff) << 13);
  }
  return values;
}

/** `bfloat16Bits` of every value, by integers alone. */
export function bfloat16Words(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const words = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) words[i] = bfloat16Word(bits[i]);
  return words;
}

/** @param bits of a float32 */
function bfloat16Word(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return BFLOAT16_NAN;
  // Adding just under one half of the last kept bit, plus that bit, rounds ties to even.
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

const scratch = new DataView(new ArrayBuffer(4));

/** The bfloat16 bit pattern nearest to the float32 nearest to `value`. */
export function bfloat16Bits(value: number): number {
  scratch.setFloat32(0, value);
  return bfloat16Word(scratch.getUint32(0));
}

/** The number that a bfloat16 bit pattern stands for; every bfloat16 is exact. */
export function bfloat16Value(bits: number): number {
  scratch.setUint32(0, bits << 16);
  return scratch.getFloat32(0);
}

/** Nearest integer to a number in [0, 2^51): at 2^52 the spacing of doubles is 1. */
function roundHalfToEven(value: number): number {
  return value + 2 ** 52 - 2 ** 52;
}
