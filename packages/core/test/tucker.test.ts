/**
 * Inputs in Tucker form on one linear layer: what is exact stays exact, the approximation is the
 * orthogonal projection that it should be, and its subspace is the one of the papers. Everything on
 * every executor.
 */
import { describe, expect, it } from 'vitest';
import { differentiate } from '../src/autodiff.js';
import type { HostData } from '../src/executors/executor.js';
import { f32, type Shape } from '../src/ir/types.js';
import { compressInputs, startEntries } from '../src/methods/tucker.js';
import { modeContract } from '../src/ops/mode-contract.js';
import { modeProduct } from '../src/ops/mode-product.js';
import { symmetricEigen } from '../src/ops/symmetric-eigen.js';
import { EXECUTORS, FAST_EXECUTORS } from './executors.js';
import { expectClose, fixture, metadata, values, type Tolerance } from './golden.js';
import { runReference } from './ops-evaluate.js';
import {
  difference,
  factorOf,
  LEFT,
  linearModel,
  linearProgram,
  linearSteps,
  norm,
  randomBatches,
  randomTensor,
  RANK,
  restored,
  RIGHT,
  WEIGHT,
  weightGradient,
  type Batch,
  type Layer,
  type Tensors,
} from './tucker-linear.js';

/** Float32 sums of some hundred terms of order 1, through four products. */
const FLOAT32: Tolerance = { relative: 2e-5, absolute: 2e-5 };
const FLOAT64: Tolerance = { relative: 1e-10, absolute: 1e-10 };

const REFRESHES = ['whole', 'sequential', 'decompose'] as const;

const TOKENS: Layer = { shape: [6, 10, 20], outputs: 28 };
const WINDOWS: Layer = { shape: [3, 4, 5, 9], outputs: 7 };

/** Layers with ranks; a rank equal to its extent leaves that mode as it is. */
const CASES: readonly (readonly [string, Layer, readonly number[]])[] = [
  ['three modes', TOKENS, [3, 5, 8]],
  ['rank one', TOKENS, [1, 1, 1]],
  ['whole batch', TOKENS, [6, 4, 7]],
  ['whole tokens and batch', TOKENS, [6, 10, 3]],
  ['whole features', TOKENS, [2, 6, 20]],
  ['four modes', WINDOWS, [2, 3, 2, 5]],
  ['four modes, whole height and features', WINDOWS, [2, 4, 3, 9]],
];

describe.each(EXECUTORS)('on $name', (kind) => {
  const tolerance = kind.name === 'reference' ? FLOAT64 : FLOAT32;

  describe.each(CASES)('%s', (_title, layer, ranks) => {
    const { shape, outputs } = layer;
    const inputs = shape[shape.length - 1];
    const batches = randomBatches(layer, 2);

    it.each(REFRESHES)('%s: dW is dyᵀ x̂', async (refresh) => {
      const steps = await linearSteps(kind, linearProgram(layer, ranks, refresh), batches);
      steps.forEach((tensors, index) => {
        const { x, dy } = batches[index];
        const approximate = restored(shape, tensors);
        const want = weightGradient(dy, approximate, outputs, inputs);
        expectClose(tensors[`d.${WEIGHT}`], want, tolerance, 'dW');
        expectProjection(shape, tensors, x, approximate, tolerance);
      });
    });

    it('leaves dL/dx and the gradient of the bias as they are, bit by bit', async () => {
      const got = await linearSteps(kind, linearProgram(layer, ranks), batches);
      const want = await linearSteps(kind, linearProgram(layer, null), batches);
      want.forEach((tensors, index) => {
        expect(got[index]['d.shift']).toEqual(tensors['d.shift']);
        expect(got[index]['d.bias']).toEqual(tensors['d.bias']);
        expect(got[index].loss).toEqual(tensors.loss);
      });
    });

    it('gives low-rank weights pᵀ q, and adapters the gradient of the right side', async () => {
      for (const form of ['low-rank', 'adapter'] as const) {
        const [tensors] = await linearSteps(
          kind,
          linearProgram({ ...layer, form }, ranks),
          batches,
        );
        expectSides(form, layer, tensors, batches[0], tolerance);
      }
    });
  });

  it('is exact where x has the ranks that are kept', async () => {
    const x = lowRank([8, 10, 12], [3, 4, 5], 0);
    const layer = { shape: [8, 10, 12], outputs: 6 };
    const [{ dy }] = randomBatches(layer, 1);
    const [got] = await linearSteps(kind, linearProgram(layer, [3, 4, 5]), [{ x, dy }]);
    const [want] = await linearSteps(kind, linearProgram(layer, null), [{ x, dy }]);
    // x itself is rounded to float32.
    expectClose(got[`d.${WEIGHT}`], want[`d.${WEIGHT}`], FLOAT32, 'dW');
  });

  it('starts from the truncated HOSVD', async () => {
    for (const refresh of ['whole', 'decompose'] as const) {
      const [{ x, dy }] = randomBatches(TOKENS, 1);
      const program = linearProgram(TOKENS, [3, 5, 8], refresh);
      const [tensors] = await linearSteps(kind, program, [{ x, dy }]);
      for (const axis of [0, 1, 2]) {
        const loose = { relative: 1e-4, absolute: 1e-5 };
        expectClose(
          projector(factorOf(tensors, axis), TOKENS.shape[axis]),
          projector(leadingVectors(x, TOKENS.shape, axis, [3, 5, 8][axis]), TOKENS.shape[axis]),
          kind.name === 'reference' ? FLOAT64 : loose,
          `mode ${String(axis)}`,
        );
      }
    }
  });

  it('starts near the HOSVD for modes too large to decompose', async () => {
    const layer = { shape: [3, 6, 1100], outputs: 2 };
    const x = lowRank(layer.shape, [3, 6, 12], 0.05);
    const [{ dy }] = randomBatches(layer, 1);
    const program = linearProgram(layer, [3, 6, 6]);
    const [start] = program.entries;
    expect(start.steps.filter(({ op }) => op === 'symmetric_eigen')).toEqual([]);
    const [tensors] = await linearSteps(kind, program, [{ x, dy }]);
    const lost = norm(difference(x, restored(layer.shape, tensors))) ** 2;
    // The eigenvalues of Aᵀ A [18, 18] are those of A Aᵀ that are not zero.
    const spectrum = eigenvalues(product(x, transposed(x, 18), [18, 1100, 18]), 18);
    const least = spectrum.slice(6).reduce((sum, value) => sum + value, 0);
    expect(lost).toBeGreaterThanOrEqual(least * (1 - 1e-5));
    expect(lost).toBeLessThan(1.01 * least);
  });

  it('reaches the error of the HOSVD within three calls from any factors', async () => {
    const shape = [8, 10, 12];
    const ranks = [3, 4, 5];
    const x = lowRank(shape, ranks, 0.05);
    const layer = { shape, outputs: 2 };
    const [{ dy }] = randomBatches(layer, 1);
    const batch = { x, dy };
    const errorOf = (tensors: Tensors) => norm(difference(x, restored(shape, tensors))) / norm(x);
    const [best] = await linearSteps(kind, linearProgram(layer, ranks, 'decompose'), [batch]);
    const states = Object.fromEntries(
      shape.map((extent, axis) => {
        const name = `${WEIGHT}.tucker.${String(axis)}`;
        return [name, randomTensor([ranks[axis], extent], name)];
      }),
    );
    for (const refresh of ['whole', 'sequential'] as const) {
      const program = linearProgram(layer, ranks, refresh);
      const steps = await linearSteps(kind, program, [batch, batch, batch], { states });
      const errors = steps.map(errorOf);
      expect(errors[0]).toBeGreaterThan(1.01 * errorOf(best));
      expect(errors[2]).toBeLessThan(1.001 * errorOf(best));
    }
  });
});

describe.each(FAST_EXECUTORS)('on $name', (kind) => {
  it('has the same bits on 1, 2 and 4 threads', async () => {
    for (const [, layer, ranks] of CASES) {
      for (const refresh of REFRESHES) {
        const program = linearProgram(layer, ranks, refresh);
        const batches = randomBatches(layer, 3);
        const [one, two, four] = await Promise.all(
          [1, 2, 4].map((threads) => linearSteps(kind, program, batches, { threads })),
        );
        expect(two).toEqual(one);
        expect(four).toEqual(one);
      }
    }
  });
});

const GOLDEN = [
  ['truncated', fixture('../../../../shared/golden/wasi-linear.safetensors')],
  ['full rank', fixture('../../../../shared/golden/wasi-linear-fullrank.safetensors')],
] as const;

describe.each(GOLDEN)('three steps of the shared fixture, %s', (_title, file) => {
  // Float64 results rounded to float32; through factors whose rounding errors add up.
  const rounded: Tolerance = { relative: 1e-6, absolute: 2e-7 };

  it.skipIf(file === null).each(EXECUTORS)('on $name', async (kind) => {
    if (file === null) return;
    const size = (key: string) => Number(metadata(file, key));
    const layer = { shape: [size('B'), size('N'), size('I')], outputs: size('O') };
    const ranks = metadata(file, 'tucker_ranks').split(',').map(Number);
    const batches = [0, 1, 2].map((step) => ({
      x: values(file, `step${String(step)}.x`),
      dy: values(file, `step${String(step)}.dy`),
    }));
    const tolerance = kind.name === 'reference' ? rounded : FLOAT32;
    const steps = await linearSteps(kind, linearProgram(layer, ranks), batches);
    steps.forEach((tensors, index) => {
      const at = `step${String(index)}`;
      const full = !('core' in tensors);
      const found = full ? batches[index].x : restored(layer.shape, tensors);
      expectClose(found, values(file, `${at}.restored`), tolerance, `${at}.restored`);
      expectClose(tensors[`d.${WEIGHT}`], values(file, `${at}.dW`), tolerance, `${at}.dW`);
      expectClose(tensors['d.bias'], values(file, `${at}.db`), tolerance, `${at}.db`);
    });
  });
});

describe('full ranks', () => {
  it.each([TOKENS, WINDOWS])('keep the input of $shape as it is', (layer) => {
    const model = linearModel(layer);
    const train = differentiate(model.graph, 'loss');
    const ranks = { [WEIGHT]: layer.shape };
    expect(compressInputs(train, model, ranks, 'whole')).toEqual(train);
    expect(startEntries(model, ranks)).toEqual([]);
  });
});

/** Factors with orthonormal rows, x̂ the projection of x: ‖S‖² + ‖x − x̂‖² = ‖x‖². */
function expectProjection(
  shape: Shape,
  tensors: Tensors,
  x: HostData,
  approximate: HostData,
  tolerance: Tolerance,
): void {
  shape.forEach((extent, axis) => {
    const u = factorOf(tensors, axis);
    if (!u) return;
    const rank = u.length / extent;
    const identity = Float64Array.from({ length: rank ** 2 }, (_, at) =>
      Number(Math.floor(at / rank) === at % rank),
    );
    const gram = product(u, transposed(u, rank), [rank, extent, rank]);
    expectClose(gram, identity, tolerance, `U Uᵀ of mode ${String(axis)}`);
  });
  const squares = norm(tensors.core) ** 2 + norm(difference(x, approximate)) ** 2;
  expectClose([squares], [norm(x) ** 2], tolerance, '‖S‖² + ‖x − x̂‖²');
}

/** With D = dyᵀ x̂: dR = Lᵀ D and dL = D Rᵀ, or D as pᵀ q. */
function expectSides(
  form: 'low-rank' | 'adapter',
  { shape, outputs }: Layer,
  tensors: Tensors,
  { x, dy }: Batch,
  tolerance: Tolerance,
): void {
  const inputs = shape[shape.length - 1];
  const left = randomTensor([outputs, RANK], LEFT);
  const right = transposed(randomTensor([RANK, inputs], RIGHT), RANK);
  const d = weightGradient(dy, restored(shape, tensors), outputs, inputs);
  if (form === 'low-rank' && factorOf(tensors, shape.length - 1)) {
    const r = tensors.q.length / inputs;
    const pq = product(transposed(tensors.p, r), tensors.q, [outputs, r, inputs]);
    expectClose(pq, d, tolerance, 'pᵀ q');
    expect(tensors).not.toHaveProperty([`d.${LEFT}`]);
    expect(tensors).not.toHaveProperty([`d.${RIGHT}`]);
    return;
  }
  expect(tensors).not.toHaveProperty('p');
  const dRight = product(transposed(left, outputs), d, [RANK, outputs, inputs]);
  expectClose(tensors[`d.${RIGHT}`], dRight, tolerance, 'dR');
  // An adapter's left side learns from x Rᵀ itself, which is small and stays.
  const exact = form === 'adapter' ? weightGradient(dy, x, outputs, inputs) : d;
  const dLeft = product(exact, right, [outputs, inputs, RANK]);
  expectClose(tensors[`d.${LEFT}`], dLeft, tolerance, 'dL');
}

/** The first `rank` eigenvectors of A Aᵀ, A the unfolding of x along `axis`, as rows. */
function leadingVectors(x: HostData, shape: Shape, axis: number, rank: number): HostData {
  const extent = shape[axis];
  const data = Float64Array.from(x);
  const types = { x: f32(...shape), z: f32(...shape) };
  const { y: a } = runReference(modeContract, { x: data, z: data }, types, { mode: axis });
  const { vectors } = runReference(symmetricEigen, { a }, { a: f32(extent, extent) }, {});
  return vectors.slice(0, rank * extent);
}

function eigenvalues(a: Float64Array, size: number): Float64Array {
  return Float64Array.from(runReference(symmetricEigen, { a }, { a: f32(size, size) }, {}).values);
}

/** UᵀU, which does not depend on the basis of the subspace. */
function projector(u: HostData | undefined, extent: number): Float64Array {
  const rank = (u?.length ?? 0) / extent;
  return product(transposed(u ?? [], rank), u ?? [], [extent, rank, extent]);
}

/** A tensor of the given multilinear ranks plus normal noise of a share of its norm. */
function lowRank(shape: Shape, ranks: readonly number[], noise: number): Float64Array {
  let type = f32(...ranks);
  let x: HostData = randomTensor(ranks, 'core');
  shape.forEach((extent, axis) => {
    const u = randomTensor([ranks[axis], extent], `side ${String(axis)}`);
    const params = { mode: axis, transposed: true };
    const types = { x: type, u: f32(ranks[axis], extent) };
    x = runReference(modeProduct, { x: Float64Array.from(x), u }, types, params).y;
    type = f32(...type.shape.with(axis, extent));
  });
  const added = randomTensor(shape, 'noise');
  const scale = (noise * norm(x)) / norm(added);
  return Float64Array.from(x, (value, index) => Math.fround(value + scale * added[index]));
}

type Numbers = HostData | readonly number[];

/** a [m, k] · b [k, n] */
function product(a: Numbers, b: Numbers, [m, k, n]: readonly [number, number, number]) {
  const result = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let p = 0; p < k; p++) {
      for (let j = 0; j < n; j++) result[i * n + j] += a[i * k + p] * b[p * n + j];
    }
  }
  return result;
}

/** Of a matrix with `rows` rows. */
function transposed(a: Numbers, rows: number): Float64Array {
  const cols = a.length / rows;
  return Float64Array.from(
    { length: a.length },
    (_, at) => a[(at % rows) * cols + Math.floor(at / rows)],
  );
}
