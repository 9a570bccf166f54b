/**
 * A stand-in for pretrained weights where none are at hand: dense weights whose singular values fall
 * as those of a pretrained ViT-B/32 do.
 *
 * Each linear of a block is W = H diag(σ) H′ with products H, H′ of random Householder reflections,
 * so its spectrum is exact. The energy Σ_{j≤k} σ_j² / Σ σ_j² passes through the points (k/n, ε) that
 * published ranks of ViT-B/32's MLPs give: K = 61, 92, 135, 178, 245, 350 of 768 at ε = .4 … .9.
 * ‖W‖_F is that of the usual initialisation. Everything else starts as the model does.
 */
import {
  buildModel,
  initialValues,
  linears,
  parameters,
  Random,
  type ModelConfig,
  type TensorSource,
} from '@thimble/core';

/** Share of the singular values, and the energy that they hold. */
const ENERGY: readonly (readonly [share: number, energy: number])[] = [
  [0, 0],
  [0.0794, 0.4],
  [0.1198, 0.5],
  [0.1758, 0.6],
  [0.2318, 0.7],
  [0.319, 0.8],
  [0.4557, 0.9],
  [1, 1],
];

/** Reflections on each side: enough that no singular vector stays near an axis. */
const REFLECTIONS = 8;
const SEED = 1;

/** Every parameter of the model, one at a time. */
export function* spectralWeights(config: ModelConfig): Generator<TensorSource> {
  const model = buildModel(config, { batch: 1 });
  const factored = new Set(linears(model, 'all').map(({ weight }) => weight));
  for (const { name, type, source } of parameters(model.graph)) {
    const data = Float32Array.from(initialValues(source.initial, type.shape, SEED, name));
    if (factored.has(name)) reshapeSpectrum(data, type.shape[0], type.shape[1], name);
    yield { name, dtype: 'F32', shape: type.shape, data };
  }
}

/** σ_j² of `count` values with total energy 1, falling. */
export function spectrum(count: number): Float64Array {
  const energy = (share: number): number => {
    const at = Math.max(
      1,
      ENERGY.findIndex(([end]) => end >= share),
    );
    const [low, below] = ENERGY[at - 1];
    const [high, above] = ENERGY[at];
    return below + ((above - below) * (share - low)) / (high - low);
  };
  return Float64Array.from(
    { length: count },
    (_, j) => energy((j + 1) / count) - energy(j / count),
  );
}

/** The share of singular values that holds `energy`. */
export function publishedShare(energy: number): number {
  const at = ENERGY.findIndex(([, end]) => end >= energy);
  const [low, below] = ENERGY[Math.max(0, at - 1)];
  const [high, above] = ENERGY[at];
  return above === below ? high : low + ((high - low) * (energy - below)) / (above - below);
}

/** Replaces `data` [rows, cols] by a matrix of the same norm with the wanted spectrum. */
function reshapeSpectrum(data: Float32Array, rows: number, cols: number, name: string): void {
  const norm = Math.sqrt(data.reduce((sum, x) => sum + x * x, 0));
  const random = Random.of(SEED, 'spectrum', name);
  data.fill(0);
  spectrum(Math.min(rows, cols)).forEach((share, j) => {
    data[j * cols + j] = norm * Math.sqrt(share);
  });
  for (let turn = 0; turn < REFLECTIONS; turn++) {
    reflectRows(data, rows, cols, unit(random, rows));
    reflectColumns(data, rows, cols, unit(random, cols));
  }
}

function unit(random: Random, length: number): Float32Array {
  const v = random.fillNormal(new Float32Array(length));
  const norm = Math.sqrt(v.reduce((sum, x) => sum + x * x, 0));
  return v.map((x) => x / norm);
}

/** A ← (I − 2 v vᵀ) A */
function reflectRows(a: Float32Array, rows: number, cols: number, v: Float32Array): void {
  const sums = new Float64Array(cols);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++) sums[j] += v[i] * a[i * cols + j];
  }
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++) a[i * cols + j] -= 2 * v[i] * sums[j];
  }
}

/** A ← A (I − 2 v vᵀ) */
function reflectColumns(a: Float32Array, rows: number, cols: number, v: Float32Array): void {
  for (let i = 0; i < rows; i++) {
    let sum = 0;
    for (let j = 0; j < cols; j++) sum += a[i * cols + j] * v[j];
    for (let j = 0; j < cols; j++) a[i * cols + j] -= 2 * sum * v[j];
  }
}
