/**
 * The float64 references against PyTorch in float64: reference/fixtures/ops.safetensors, written by
 * reference/op_fixtures.py and described in reference/README.md.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readSafetensors, type TensorView } from '../src/formats/safetensors.js';
import type { Params } from '../src/ir/graph.js';
import { elements, f32, i32, type TensorType } from '../src/ir/types.js';
import { OPS, type AnyOp } from '../src/ops/index.js';
import { TRANSPOSED_B } from '../src/ops/matmul.js';
import type { Data } from '../src/ops/op.js';
import {
  agree,
  gradientGraph,
  gradientsOf,
  mapRecord,
  runReference,
  SAVED,
} from './ops-evaluate.js';

const path = new URL('../../../reference/fixtures/ops.safetensors', import.meta.url);
const file = readSafetensors(new Uint8Array(readFileSync(path)));

function tensor(name: string): TensorView {
  const found = file.tensors.get(name);
  if (!found) throw new Error(`the fixture has no tensor ${name}`);
  return found;
}

function data(name: string): Data {
  const view = tensor(name);
  return view.dtype === 'I32' ? view.toInt32() : view.toFloat64();
}

function typeOf(name: string): TensorType {
  const { dtype, shape } = tensor(name);
  return dtype === 'I32' ? i32(...shape) : f32(...shape);
}

/** Fails unless `actual` is PyTorch's `name`; both are float64 sums in different orders. */
function expectTensor(actual: Data, name: string, atol = 1e-12): void {
  expect(agree(actual, data(name), 1e-9, atol), name).toBe(true);
}

/** Outputs and gradients of one op whose operands are these fixtures, under dL/d(output) = `d_out`. */
function run(op: AnyOp, operands: Record<string, string>, params: Params, gradOfOutput: Data) {
  const inputs = mapRecord(operands, data);
  const types = mapRecord(operands, typeOf);
  const outputs = runReference(op, inputs, types, params);
  const needed = (input: string) => types[input].dtype === 'f32';
  const graph = gradientGraph(op, types, params, needed);
  const [output] = Object.keys(outputs).filter((key) => !(SAVED[op.name] ?? []).includes(key));
  return { outputs, gradients: gradientsOf(graph, inputs, { [output]: gradOfOutput }) };
}

describe('references agree with PyTorch', () => {
  it('layernorm', () => {
    const operands = { x: 'layer_norm.x', gamma: 'layer_norm.gamma', beta: 'layer_norm.beta' };
    const params = { eps: Number(file.metadata.get('layer_norm.eps')) };
    const { outputs, gradients } = run(OPS.layernorm, operands, params, data('layer_norm.d_out'));
    // One row has mean 1000 and spread 0.02: its rounding is magnified 1e5 times.
    expectTensor(outputs.y, 'layer_norm.out', 1e-10);
    expectTensor(gradients.x, 'layer_norm.d_x', 1e-8);
    expectTensor(gradients.gamma, 'layer_norm.d_gamma', 1e-10);
    expectTensor(gradients.beta, 'layer_norm.d_beta');
  });

  it('gelu', () => {
    const { outputs, gradients } = run(OPS.gelu, { x: 'gelu.x' }, {}, data('gelu.d_out'));
    expectTensor(outputs.y, 'gelu.out');
    expectTensor(gradients.x, 'gelu.d_x');
  });

  it.each([
    ['cross_entropy', 0],
    ['cross_entropy_smooth', 0.1],
  ])('softmax_cross_entropy: %s', (name, smoothing) => {
    const op = OPS.softmax_cross_entropy;
    const operands = { logits: `${name}.logits`, labels: `${name}.labels` };
    const one = Float64Array.of(1);
    const { outputs, gradients } = run(op, operands, { smoothing }, one);
    expectTensor(outputs.loss, `${name}.out`);
    expectTensor(gradients.logits, `${name}.d_logits`);
    const [rows, cols] = tensor(operands.logits).shape;
    const each = Float64Array.from({ length: rows }, (_, r) => {
      const logits = data(operands.logits).slice(r * cols, (r + 1) * cols);
      const labels = data(operands.labels).slice(r, r + 1);
      const types = { logits: f32(1, cols), labels: i32(1) };
      return runReference(op, { logits, labels }, types, { smoothing }).loss[0];
    });
    expectTensor(each, `${name}.each`);
  });

  it.each(['attention', 'attention_long'])('%s', (name) => {
    const params = { heads: data(`${name}.heads`)[0] };
    const gradOfOutput = data(`${name}.d_out`);
    const { outputs, gradients } = run(OPS.attention, { qkv: `${name}.qkv` }, params, gradOfOutput);
    expectTensor(outputs.y, `${name}.out`);
    expectTensor(outputs.lse, `${name}.log_sum_exp`);
    expectTensor(gradients.qkv, `${name}.d_qkv`);
  });

  it('matmul as a linear layer', () => {
    const operands = { a: 'linear.input', b: 'linear.weight', bias: 'linear.bias' };
    const { outputs, gradients } = run(OPS.matmul, operands, TRANSPOSED_B, data('linear.d_out'));
    expectTensor(outputs.y, 'linear.out');
    expectTensor(gradients.a, 'linear.d_input');
    expectTensor(gradients.b, 'linear.d_weight');
    expectTensor(gradients.bias, 'linear.d_bias');
  });

  it('patchify and matmul as patch embedding', () => {
    const [, channels, height, width] = tensor('patch_embed.images').shape;
    const patch = tensor('patch_embed.weight').shape[3];
    const operands = {
      a: 'patch_embed.patches',
      b: 'patch_embed.weight',
      bias: 'patch_embed.bias',
    };
    const product = run(OPS.matmul, operands, TRANSPOSED_B, data('patch_embed.d_out'));
    expectTensor(product.outputs.y, 'patch_embed.out');
    expectTensor(product.gradients.b, 'patch_embed.d_weight');
    expectTensor(product.gradients.bias, 'patch_embed.d_bias');
    const { outputs, gradients } = run(
      OPS.patchify,
      { x: 'patch_embed.images' },
      { patch, inverse: false, channels, height, width },
      product.gradients.a,
    );
    expectTensor(outputs.y, 'patch_embed.patches');
    expectTensor(gradients.x, 'patch_embed.d_images');
  });
});

/** Applies `step` to the gradients of a case, row by row, and compares the parameter each time. */
function expectSteps(
  name: string,
  step: (state: Record<string, Data>, grad: Data, time: number) => void,
): void {
  const [steps, size] = tensor(`${name}.grad`).shape;
  const state = {
    param: data(`${name}.start`),
    velocity: new Float64Array(size),
    m: new Float64Array(size),
    v: new Float64Array(size),
  };
  for (let time = 1; time <= steps; time++) {
    const row = (all: Data) => all.slice((time - 1) * size, time * size);
    step(state, row(data(`${name}.grad`)), time);
    expect(agree(state.param, row(data(`${name}.after`)), 1e-9, 1e-12), `step ${time}`).toBe(true);
  }
}

/** The options that the script gave to the optimiser. */
function optionsOf(name: string): Record<string, unknown> {
  return JSON.parse(file.metadata.get(name) ?? '{}') as Record<string, unknown>;
}

/** Runs an updating op on `inputs`, writing over the states that it updates. */
function update(op: AnyOp, inputs: Record<string, Data>, params: Params): void {
  const types = mapRecord(inputs, (item, key) => {
    return key === 'lr' || key === 'scale' ? f32() : f32(item.length);
  });
  const outputs = Object.fromEntries(
    (op.updates ?? []).flatMap(([output, input]) => {
      return input in inputs ? [[output, inputs[input]]] : [];
    }),
  );
  op.reference(inputs, outputs, { ...types, ...op.infer(types, params, op.name) }, params);
}

const named = (prefix: string) => [...file.metadata.keys()].filter((key) => key.startsWith(prefix));

describe('optimisers agree with PyTorch over five steps', () => {
  it('has cases', () => {
    expect(named('sgd.').length).toBeGreaterThanOrEqual(5);
    expect(named('adamw.').length).toBeGreaterThanOrEqual(3);
  });

  it.each(named('sgd.'))('%s', (name) => {
    const options = optionsOf(name);
    const momentum = Number(options.momentum ?? 0);
    const nesterov = options.nesterov === true;
    const params = { momentum, nesterov, weightDecay: Number(options.weight_decay ?? 0) };
    const lr = Float64Array.of(Number(options.lr));
    expectSteps(name, ({ param, velocity }, grad) => {
      update(OPS.sgd, { param, grad, lr, ...(momentum > 0 && { velocity }) }, params);
    });
  });

  it.each(named('adamw.'))('%s', (name) => {
    const options = optionsOf(name);
    const [beta1, beta2] = Array.isArray(options.betas) ? options.betas.map(Number) : [0.9, 0.999];
    const eps = Number(options.eps ?? 1e-8);
    const params = { beta1, beta2, eps, weightDecay: Number(options.weight_decay) };
    const lr = Float64Array.of(Number(options.lr));
    expectSteps(name, ({ param, m, v }, grad, time) => {
      const correction = [1 / (1 - beta1 ** time), 1 / Math.sqrt(1 - beta2 ** time)];
      const inputs = { param, grad, m, v, lr, correction: Float64Array.from(correction) };
      update(OPS.adamw, inputs, params);
    });
  });
});

describe('global-norm clipping agrees with PyTorch', () => {
  it.each(['clip', 'clip_unused'])('%s', (name) => {
    const names = [0, 1, 2].map((index) => `${name}.grad.${String(index)}`);
    let total: Data = Float64Array.of(0);
    for (const grad of names) {
      const types = { x: typeOf(grad), total: f32() };
      total = runReference(OPS.sum_squares, { x: data(grad), total }, types, {}).y;
    }
    expectTensor(total.map(Math.sqrt), `${name}.norm`);
    const params = { maxNorm: data(`${name}.max_norm`)[0] };
    const { scale } = runReference(OPS.clip_scale, { total }, { total: f32() }, params);
    names.forEach((grad, index) => {
      // One step of plain SGD from zero with rate -1 leaves the clipped gradient in the parameter.
      const param = new Float64Array(elements(tensor(grad).shape));
      const plain = { momentum: 0, nesterov: false, weightDecay: 0 };
      update(OPS.sgd, { param, grad: data(grad), lr: Float64Array.of(-1), scale }, plain);
      expectTensor(param, `${name}.clipped.${String(index)}`);
    });
  });
});
