/**
 * Second moments of a block's linears against sums over tokens in float64, the classifier that gives the loss,
 * and packing.
 */
import { describe, expect, it } from 'vitest';
import type { HostData } from '../src/executors/executor.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { wasmExecutor } from '../src/executors/wasm/index.js';
import { featureGradients } from '../src/prepare/classifier.js';
import { heldRowBytes, holdRows, holdTriangle, rowsOf, triangleOf } from '../src/prepare/held.js';
import { addUp, measurePart, type MeasureOptions } from '../src/prepare/measure.js';
import { momentsOf, type MomentSums } from '../src/prepare/moments.js';
import type { Site } from '../src/prepare/sites.js';
import { Stage } from '../src/prepare/stage.js';
import { Random } from '../src/random.js';
import { expectClose } from './golden.js';
import { BLOCK, pass, read, seenBy, type Tensor } from './prepare-block.js';

const BATCHES = [pass(1), pass(2)];
const TOKENS = 2 * BLOCK.part.x.type.shape[0] * BLOCK.part.x.type.shape[1];
const ISOTROPIC = 1e-3;
const RIDGE = 1e-5;

function optionsOf(stage: Stage): MeasureOptions {
  return {
    stage,
    part: BLOCK.part,
    weights: BLOCK.sites,
    data: true,
    activations: [],
    epsilons: [],
    growth: 1,
    inputs: { count: BATCHES.length, at: (batch) => BATCHES[batch].x },
    gradients: BATCHES.map(({ dy }) => dy),
    read,
  };
}

/** WᵀW of a weight with O > I; the others have no use for it. */
function gramOf({ weight, outputs, inputs }: Site): Float32Array {
  const w = read(weight);
  return new Float32Array(outputs > inputs ? inputs * inputs : 0).map((_, at) => {
    const [i, j] = [Math.floor(at / inputs), at % inputs];
    let sum = 0;
    for (let o = 0; o < outputs; o++) sum += w[o * inputs + i] * w[o * inputs + j];
    return sum;
  });
}

function exactMoments({ metric, signal, rest }: MomentSums, index: number, gram: HostData) {
  const site = BLOCK.sites[index];
  const bias = site.bias === null ? null : read(site.bias);
  const own = { metric: metric.slice(), signal: signal.slice(), rest };
  return momentsOf(own, site, { tokens: TOKENS, bias, gram });
}

/** The rows of tensors of several batches. */
function tokensOf(tensors: readonly Tensor[]): readonly Float64Array[] {
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
    const stage = new Stage({ kind, threads: 2 });
    const { sums } = await addUp(optionsOf(stage));
    const grams = BLOCK.sites.map(gramOf);
    await stage.dispose();
    const seen = await Promise.all(BATCHES.map(({ x, dy }) => seenBy(BLOCK, x, dy)));
    const tolerance = { relative: 1e-4, absolute: 1e-4 };
    BLOCK.sites.forEach(({ weight, outputs, inputs }, index) => {
      const x = tokensOf(seen.map((batch) => batch[index].x));
      const g = tokensOf(seen.map((batch) => batch[index].g));
      const w = read(weight);
      const { metric, signal } = exactMoments(sums[index], index, grams[index]);
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

describe('what is kept on the host', () => {
  it('is the moments to bfloat16, the metric as a root', async () => {
    const stage = new Stage({ kind: wasmExecutor, threads: 2 });
    const { sums } = await addUp(optionsOf(stage));
    const { weights } = await measurePart(optionsOf(stage));
    for (const [index, site] of BLOCK.sites.entries()) {
      const size = Math.min(site.outputs, site.inputs);
      const { metric, signal } = exactMoments(sums[index], index, gramOf(site));
      const held = weights[index].moments;
      if (!held) throw new Error('no moments');
      expect(held.root.byteLength + held.signal.byteLength).toBe(2 * size * (size + 1));
      const root = triangleOf(held.root, size, false);
      const square = metric.map((_, at) => {
        const [i, j] = [Math.floor(at / size), at % size];
        let sum = 0;
        for (let k = 0; k < size; k++) sum += root[k * size + i] * root[k * size + j];
        return sum;
      });
      const near = (got: Float32Array, want: Float32Array, what: string) => {
        const absolute = Math.max(...want) / 128;
        expectClose(got, want, { relative: 0, absolute }, `${site.weight} ${what}`);
      };
      near(square, metric, 'metric');
      near(triangleOf(held.signal, size, true), signal, 'signal');
    }
    await stage.dispose();
  });

  it('of a triangle is its elements, rounded to nearest', () => {
    const a = Float32Array.of(1, 2, 3, 2, 4, 5, 3, 5, 6);
    expect(holdTriangle(a, 3)).toHaveLength(6);
    expect(triangleOf(holdTriangle(a, 3), 3, true)).toEqual(a);
    expect([...triangleOf(holdTriangle(a, 3), 3, false)]).toEqual([1, 2, 3, 0, 4, 5, 0, 0, 6]);
    const rounded = triangleOf(holdTriangle(Float32Array.of(1 + 3 / 512), 1), 1, true);
    expect([...rounded]).toEqual([1 + 1 / 128]);
  });

  it('of rows is within half a step of them', () => {
    const data = Random.of(3, 'rows').fillNormal(new Float32Array(6 * 5));
    data.fill(0, 10, 15);
    const held = holdRows(data, 5);
    expect(held.values.byteLength + held.scales.byteLength).toBe(heldRowBytes(30, 5));
    rowsOf(held).forEach((value, at) => {
      const begin = at - (at % 5);
      const most = Math.max(...data.subarray(begin, begin + 5).map(Math.abs));
      expect(Math.abs(value - data[at])).toBeLessThanOrEqual((most / 254) * (1 + 1e-5));
    });
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
