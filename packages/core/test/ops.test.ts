/** Every op of the registry on its own samples: shape rule, reference, kernel arguments, aliasing. */
import { describe, expect, it } from 'vitest';
import { GraphError, UnknownNameError } from '../src/errors.js';
import { bytesOf, f32, i32, sameType } from '../src/ir/types.js';
import { opcodeOf, opNamed, OPS } from '../src/ops/index.js';
import { isOptional, operandName, type Data } from '../src/ops/op.js';
import { badParam } from '../src/ops/params.js';
import { ALL_OPS, blank, CASES, dataOf, mapRecord, runReference, typesOf } from './ops-evaluate.js';

/** Gradients, updates and their helpers: nothing that is trained flows through them. */
const WITHOUT_GRADIENT = new Set([
  'accumulate',
  'accumulate_power',
  'adam_step',
  'adamw',
  'assign',
  'attention_grad',
  'average_pool_grad',
  'batch_norm_grad_input',
  'batch_norm_grad_params',
  'batch_norm_statistics',
  'bias_correction',
  'broadcast_tokens',
  'cholesky',
  'clamp_grad',
  'clip_scale',
  'conv2d_grad_input',
  'conv2d_grad_weight',
  'dequantise',
  'fill',
  'gelu_grad',
  'gram',
  'hard_sigmoid_grad',
  'hard_swish_grad',
  'layernorm_grad_input',
  'layernorm_grad_params',
  'max_pool_grad',
  'mode_contract',
  'mode_product',
  'multiply',
  'normalise',
  'orthonormalise',
  'pad_tokens',
  'product_change',
  'quantise',
  'quantised_velocity',
  'random_uniform',
  'relative_position_bias_grad',
  'running_statistics',
  'scale_channels_grad',
  'sgd',
  'sigmoid_grad',
  'silu_grad',
  'slice_batch',
  'slice_channels',
  'softmax_cross_entropy_grad',
  'sum_squares',
  'symmetric_eigen',
  'triangular_product',
  'velocity',
]);

describe('registry', () => {
  it('is sorted by name, and every key is the name of its op', () => {
    const names = ALL_OPS.map((op) => op.name);
    expect(Object.keys(OPS)).toEqual(names);
    expect(names).toEqual([...names].sort());
  });

  it('numbers the ops that have kernels from 1 without gaps', () => {
    const kernels = ALL_OPS.filter((op) => !op.view).map((op) => opcodeOf(op.name));
    expect(kernels).toEqual(kernels.map((_, index) => index + 1));
    expect(() => opcodeOf('reshape')).toThrow(GraphError);
  });

  it.each(['conv', 'toString', ''])('does not know "%s"', (name) => {
    expect(() => opNamed(name)).toThrow(UnknownNameError);
  });

  it.each(ALL_OPS)('$name declares each operand once and has samples', (op) => {
    const declared = [...op.inputs, ...op.outputs].map(operandName);
    expect(new Set(declared).size).toBe(declared.length);
    expect(new Set(op.samples.map((sample) => sample.title)).size).toBe(op.samples.length);
    expect(op.samples.length).toBeGreaterThanOrEqual(2);
    for (const [output, input] of [...(op.inPlace ?? []), ...(op.updates ?? [])]) {
      expect(op.outputs.map(operandName)).toContain(output);
      expect(op.inputs.map(operandName)).toContain(input);
    }
  });

  it('has a gradient for every op but the gradients and updates themselves', () => {
    const without = ALL_OPS.filter((op) => !op.grad).map((op) => op.name);
    expect(new Set(without)).toEqual(WITHOUT_GRADIENT);
  });

  it.each(ALL_OPS)('$name says of itself what its names say', (op) => {
    const inputs = op.inputs.map(operandName);
    expect(op.gradientOf !== undefined).toBe(op.name.includes('_grad'));
    if (op.gradientOf !== undefined) expect(opNamed(op.gradientOf).grad).toBeDefined();
    expect(op.gradient !== undefined).toBe(inputs.includes('grad') || op.name === 'accumulate');
    if (op.gradient !== undefined) expect(inputs).toContain(op.gradient);
    if (op.gradient !== undefined) expect(op.updates).toBeDefined();
    expect(op.residual !== undefined).toBe(op.inputs.includes('residual?'));
    if (op.residual !== undefined) expect(op.outputs).toContain(op.residual);
  });

  it.each(ALL_OPS)('$name uses each optional operand, and none, in some sample', (op) => {
    for (const declared of op.inputs.filter(isOptional)) {
      const uses = op.samples.map((sample) => operandName(declared) in sample.inputs);
      expect(new Set(uses)).toEqual(new Set([true, false]));
    }
  });
});

describe.each(CASES)('$title', ({ op, sample }) => {
  const types = typesOf(sample);
  const inputs = dataOf(op, sample);

  it('has operands that the op declares and outputs that are written in full', () => {
    const outputTypes = op.infer(types, sample.params, op.name);
    const names = new Set(op.outputs.map(operandName));
    for (const key of Object.keys(outputTypes)) expect(names).toContain(key);
    for (const name of op.outputs.filter((declared) => !isOptional(declared))) {
      expect(outputTypes).toHaveProperty(name);
    }
    const before = mapRecord(inputs, (data) => data.slice());
    const outputs = runReference(op, inputs, types, sample.params);
    for (const data of Object.values(outputs)) expect(data.every(Number.isFinite)).toBe(true);
    expect(inputs).toEqual(before);
  });

  it('has params of the declared kinds, and no others', () => {
    const { params } = sample;
    expect(badParam(op.params, params)).toBeNull();
    expect(badParam(op.params, { ...params, other: 1 })).toBe('other');
    for (const [name, kind] of Object.entries(op.params)) {
      const rest = Object.fromEntries(Object.entries(params).filter(([key]) => key !== name));
      expect(badParam(op.params, rest)).toBe(kind.endsWith('?') ? null : name);
      for (const bad of [NaN, Infinity, [], null, kind.startsWith('text') ? 1 : '1']) {
        expect(badParam(op.params, { ...params, [name]: bad })).toBe(name);
      }
      const refused = (value: number) => badParam(op.params, { ...params, [name]: value });
      expect(refused(-0.5)).toBe(kind.startsWith('number') ? null : name);
      expect(refused(1e38)).toBe(/^(number|size)/.test(kind) ? null : name);
      if (kind.startsWith('share')) expect([refused(1), refused(0.5)]).toEqual([name, null]);
    }
  });

  it('encodes its scalars, workspace and scratch as whole numbers of the declared kind', () => {
    const all = { ...types, ...op.infer(types, sample.params, op.name) };
    const scalars = op.encode(all, sample.params);
    expect(Object.keys(scalars).sort()).toEqual(Object.keys(op.scalars).sort());
    for (const [key, kind] of Object.entries(op.scalars)) {
      const isWord = kind === 'int' ? scalars[key] === (scalars[key] | 0) : true;
      expect(isWord && Number.isFinite(scalars[key])).toBe(true);
    }
    const bytes = [op.workspace?.(all, sample.params) ?? 0, op.scratch?.(all, sample.params) ?? 0];
    for (const size of bytes) expect(Number.isSafeInteger(size) && size >= 0).toBe(true);
    expect(Number.isSafeInteger(op.flops(all, sample.params))).toBe(true);
  });

  it('gives the same when an output takes the memory of an input', () => {
    const expected = runReference(op, inputs, types, sample.params);
    const outputTypes = op.infer(types, sample.params, op.name);
    const all = { ...types, ...outputTypes };
    const runAliased = (pairs: readonly (readonly [string, string])[]) => {
      const own = mapRecord(inputs, (data) => data.slice());
      const outputs: Record<string, Data> = mapRecord(outputTypes, blank);
      for (const [output, input] of pairs) {
        if (input in own && output in outputs) outputs[output] = own[input];
      }
      op.reference(own, outputs, all, sample.params);
      expect(outputs).toEqual(expected);
    };
    if (op.updates) {
      for (const [output, input] of op.updates) {
        if (input in types) expect(sameType(outputTypes[output], types[input])).toBe(true);
      }
      runAliased(op.updates);
    }
    for (const [output, input] of op.inPlace ?? []) {
      if (!(input in types && output in outputTypes)) continue;
      if (bytesOf(outputTypes[output]) !== bytesOf(types[input])) continue;
      runAliased([[output, input]]);
    }
  });
});

describe('labels that are no class', () => {
  it.each([-1, 3])('label %d gives a NaN loss and one NaN row of gradient', (label) => {
    const params = { smoothing: 0.1 };
    const types = { logits: f32(2, 3), labels: i32(2) };
    const data = { logits: Float64Array.of(1, 2, 3, 4, 5, 6), labels: Int32Array.of(1, label) };
    const { loss } = runReference(OPS.softmax_cross_entropy, data, types, params);
    expect(loss[0]).toBeNaN();
    const { dlogits } = runReference(
      OPS.softmax_cross_entropy_grad,
      { ...data, dloss: Float64Array.of(1) },
      { ...types, dloss: f32() },
      params,
    );
    expect(Array.from(dlogits, Number.isNaN)).toEqual([false, false, false, true, true, true]);
  });
});

describe('clip_scale', () => {
  it('keeps NaN', () => {
    const total = Float64Array.of(NaN);
    const { scale } = runReference(OPS.clip_scale, { total }, { total: f32() }, { maxNorm: 1 });
    expect(scale[0]).toBeNaN();
  });
});
