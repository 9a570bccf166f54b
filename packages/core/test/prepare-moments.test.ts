/**
 * Second moments of a block's linears against sums over tokens in float64, the classifier that gives the loss,
 * and packing.
 */
import { describe, expect, it } from 'vitest';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { wasmExecutor } from '../src/executors/wasm/index.js';
import { featureGradients } from '../src/prepare/classifier.js';
import { measurePart } from '../src/prepare/measure.js';
import { pack, unpack } from '../src/prepare/moments.js';
import { Stage } from '../src/prepare/stage.js';
import { Random } from '../src/random.js';
import { expectClose } from './golden.js';
import { BLOCK, pass, read, seenBy, type Tensor } from './prepare-block.js';

const BATCHES = [pass(1), pass(2)];
const ISOTROPIC = 1e-3;
const RIDGE = 1e-5;

/** The rows of tensors of several batches. */
function rowsOf(tensors: readonly Tensor[]): readonly Float64Array[] {
  return tensors.flatMap(({ shape, data }) => {
    const width = shape[shape.length - 1];
    return Array.from({ length: data.length / width }, (_, row) =>
      data.subarray(row * width, (row + 1) * width),
    );
  });
}

/** E[v vᵀ] + share · (tr / n) · I, and the trace before. */
function moment(rows: readonly Float64Array[], share = 0) {
  const size = rows[0].length;
  const result = new Float64Array(size * size);
  for (const row of rows) {
    for (let at = 0; at < result.length; at++) {
      result[at] += (row[Math.floor(at / size)] * row[at % size]) / rows.length;
    }
  }
  let trace = 0;
  for (let i = 0; i < size; i++) trace += result[i * size + i];
  for (let i = 0; i < size; i++) result[i * size + i] += (share * trace) / size;
  return { matrix: result, trace };
}

/** v Wᵀ, or v W when `transposed`, of every row. */
function through(rows: readonly Float64Array[], w: Float32Array, transposed: boolean) {
  const width = rows[0].length;
  const others = w.length / width;
  return rows.map((row) =>
    Float64Array.from({ length: others }, (_, j) =>
      row.reduce((sum, v, k) => sum + v * w[transposed ? k * others + j : j * width + k], 0),
    ),
  );
}

describe.each([referenceExecutor, wasmExecutor])('moments on $name', (kind) => {
  it('are those of inputs and gradients, without bias', async () => {
    const stage = new Stage(kind, 2, undefined);
    const { weights } = await measurePart({
      stage,
      part: BLOCK.part,
      weights: BLOCK.sites,
      data: true,
      activations: [],
      epsilons: [],
      inputs: { count: BATCHES.length, at: (batch) => BATCHES[batch].x },
      gradients: BATCHES.map(({ dy }) => dy),
      read,
    });
    await stage.dispose();
    const seen = await Promise.all(BATCHES.map(({ x, dy }) => seenBy(BLOCK, x, dy)));
    const tolerance = { relative: 1e-4, absolute: 1e-4 };
    BLOCK.sites.forEach(({ weight, outputs, inputs }, index) => {
      const x = rowsOf(seen.map((batch) => batch[index].x));
      const g = rowsOf(seen.map((batch) => batch[index].g));
      const w = read(weight);
      const size = Math.min(outputs, inputs);
      const { moments } = weights[index];
      if (!moments) throw new Error('no moments');
      const metric = unpack(moments.metric, size);
      const signal = unpack(moments.signal, size);
      const scale = Math.max(...signal.map(Math.abs));
      const compare = (got: Float32Array, want: Float64Array, by: number, what: string) => {
        expectClose(
          got.map((v) => v / by),
          want.map((v) => v / by),
          tolerance,
          `${weight} ${what}`,
        );
      };
      if (outputs <= inputs) {
        const g2 = moment(g, ISOTROPIC).matrix;
        compare(metric, g2, Math.max(...g2), 'metric');
        compare(signal, moment(through(x, w, false)).matrix, scale, 'signal');
      } else {
        const c = moment(x, RIDGE).matrix;
        compare(metric, c, Math.max(...c), 'metric');
        // Wᵀ (G + share · tr(G)/O · I) W
        const share = (ISOTROPIC * moment(g).trace) / outputs;
        const rows = Array.from({ length: outputs }, (_, o) =>
          Float64Array.from(w.subarray(o * inputs, (o + 1) * inputs)),
        );
        const gram = moment(rows).matrix.map((v) => v * outputs * share);
        const want = moment(through(g, w, true)).matrix.map((v, at) => v + gram[at]);
        compare(signal, want, scale, 'signal');
      }
    });
  });
});

describe('pack', () => {
  it('keeps the upper triangle', () => {
    const a = Float32Array.of(1, 2, 3, 2, 4, 5, 3, 5, 6);
    expect([...pack(a, 3)]).toEqual([1, 2, 3, 4, 5, 6]);
    expect(unpack(pack(a, 3), 3)).toEqual(a);
  });
});

describe('featureGradients', () => {
  it('is the gradient of the fitted logistic regression', () => {
    const [images, width, classes, ridge] = [14, 5, 3, 1e-2];
    const features = Random.of(1, 'features').fillNormal(new Float64Array(images * width), 2, 1);
    const labels = Array.from({ length: images }, (_, i) => (i * i) % classes);
    const mean = Array.from({ length: width }, (_, d) =>
      labels.reduce((sum, _label, i) => sum + features[i * width + d] / images, 0),
    );
    const centred = features.map((value, at) => value - mean[at % width]);
    const root = Math.sqrt(centred.reduce((sum, value) => sum + value * value, 0) / images);
    const x = centred.map((value) => value / root);
    // Plain gradient descent on W [C, D] until nothing moves.
    let w = new Float64Array(classes * width);
    let residual = new Float64Array(images * classes);
    for (let step = 0; step < 20_000; step++) {
      residual = residual.map((_, at) => {
        const [i, c] = [Math.floor(at / classes), at % classes];
        const logits = Array.from({ length: classes }, (_k, k) =>
          mean.reduce((sum, _m, d) => sum + w[k * width + d] * x[i * width + d], 0),
        );
        const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
        return Math.exp(logits[c]) / total - Number(labels[i] === c);
      });
      w = w.map((value, at) => {
        const [c, d] = [Math.floor(at / width), at % width];
        const gradient = labels.reduce(
          (sum, _label, i) => sum + residual[i * classes + c] * x[i * width + d],
          0,
        );
        return value - gradient / images - ridge * value;
      });
    }
    const want = features.map((_, at) => {
      const [i, d] = [Math.floor(at / width), at % width];
      let sum = 0;
      for (let c = 0; c < classes; c++) sum += residual[i * classes + c] * w[c * width + d];
      return sum;
    });
    const got = featureGradients(features, labels, classes);
    expectClose(got, want, { relative: 1e-6, absolute: 1e-9 }, 'gradient');
  });

  it('is zero where all features are the same', () => {
    const got = featureGradients(new Float64Array(8).fill(3), [0, 1], 2);
    expect([...got]).toEqual(new Array(8).fill(0));
  });
});
