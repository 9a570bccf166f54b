/**
 * Mimetic initialisation of a vision transformer: attention starts near what trained models end up
 * with, which a short training from nothing does not reach.
 *
 * With D the width, d = D/heads: W_Q = W_K = √α·P + noise for each head, P [d, D] with orthonormal rows,
 * so that W_Qᵀ W_K ≈ α PᵀP: tokens look at tokens like themselves. W_V = √β·O + noise and
 * W_proj = −√β·Oᵀ + noise, O orthogonal, so that W_proj W_V ≈ −β I. Position embeddings are
 * sines and cosines of the patch's column and row, so that "like themselves" includes "near".
 * The paper takes a singular value decomposition of the sum of noise and identity; orthogonal draws with
 * noise on top have the same two properties.
 *
 * Reference: Trockman and Kolter, "Mimetic Initialization of Self-Attention Layers", ICML 2023
 * (arXiv:2305.09828), section 4.
 */
import { initialValues, Random, type Executor, type VitConfig } from '@thimble/core';

/** α and β of the header. */
const SAME_TOKEN = 0.7;
const MINUS_IDENTITY = 0.4;
const NOISE = 0.02;
const POSITION_AMPLITUDE = 0.5;
const LONGEST_WAVE = 10_000;

/** Writes attention weights and position embedding; call after `initialise`. */
export function initialiseMimetic(executor: Executor, config: VitConfig, seed: number): void {
  for (let block = 0; block < config.depth; block++) {
    const { qkv, proj } = attention(config, seed, `blocks.${String(block)}.attn`);
    executor.write(`blocks.${String(block)}.attn.qkv.weight`, qkv);
    executor.write(`blocks.${String(block)}.attn.proj.weight`, proj);
  }
  executor.write('pos_embed', positions(config));
}

/** qkv [3D, D] and proj [D, D]. */
function attention({ width, heads }: VitConfig, seed: number, name: string) {
  const random = Random.of(seed, 'mimetic', name);
  const noise = (count: number) =>
    Float32Array.from({ length: count }, () => random.normal() * NOISE);
  const qkv = noise(3 * width * width);
  const proj = noise(width * width);
  const rows = width / heads;
  for (let head = 0; head < heads; head++) {
    const same = orthonormal(rows, width, seed, `${name}.head.${String(head)}`);
    addScaled(qkv, head * rows * width, same, Math.sqrt(SAME_TOKEN));
    addScaled(qkv, (width + head * rows) * width, same, Math.sqrt(SAME_TOKEN));
  }
  const value = orthonormal(width, width, seed, `${name}.value`);
  addScaled(qkv, 2 * width * width, value, Math.sqrt(MINUS_IDENTITY));
  for (let i = 0; i < width; i++) {
    for (let j = 0; j < width; j++) {
      proj[j * width + i] -= Math.sqrt(MINUS_IDENTITY) * value[i * width + j];
    }
  }
  return { qkv, proj };
}

/** [rows, width] with orthonormal rows: the transpose of a draw with orthonormal columns. */
function orthonormal(rows: number, width: number, seed: number, name: string): Float32Array {
  const columns = initialValues({ kind: 'orthonormal' }, [width, rows], seed, name);
  const result = new Float32Array(rows * width);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < width; j++) result[i * width + j] = columns[j * rows + i];
  }
  return result;
}

function addScaled(to: Float32Array, at: number, from: Float32Array, scale: number): void {
  for (let i = 0; i < from.length; i++) to[at + i] += scale * from[i];
}

/** [1, N, D]: a quarter of the width each for sine and cosine of column and row. */
function positions({ imageSize, patch, width, classToken }: VitConfig): Float32Array {
  const side = imageSize / patch;
  const prefix = classToken ? 1 : 0;
  const quarter = width / 4;
  const result = new Float32Array((prefix + side * side) * width);
  for (let token = 0; token < side * side; token++) {
    const [x, y] = [token % side, Math.floor(token / side)];
    const values = [Math.sin, Math.cos].flatMap((wave) =>
      [x, y].flatMap((at) =>
        Array.from({ length: quarter }, (_, i) => wave(at / LONGEST_WAVE ** (i / quarter))),
      ),
    );
    result.set(
      values.map((value) => POSITION_AMPLITUDE * value),
      (prefix + token) * width,
    );
  }
  return result;
}
