/** Cutting a model at its blocks: the parts in a row compute what the model computes, both ways. */
import { describe, expect, it } from 'vitest';
import { backpropagate } from '../src/autodiff.js';
import { GraphError } from '../src/errors.js';
import type { Executor, HostData } from '../src/executors/executor.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { outputValues, type Graph, type ModelGraph, type Value } from '../src/ir/graph.js';
import { printGraph } from '../src/ir/print.js';
import { f32 } from '../src/ir/types.js';
import { verify } from '../src/ir/verify.js';
import { add } from '../src/ops/add.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { OPS } from '../src/ops/index.js';
import { gelu } from '../src/ops/gelu.js';
import { plan } from '../src/plan/plan.js';
import { hostSlots } from '../src/program.js';
import { backwardPart } from '../src/prepare/backward.js';
import { cutModel, type Part } from '../src/prepare/cut.js';
import { sitedParts } from '../src/prepare/sites.js';
import { prune } from '../src/passes/prune.js';
import { expectClose } from './golden.js';
import { fixedBatch, modelOf, randomWeights, SMALL, TINY } from './tiny-vit.js';

const SAME = { relative: 1e-12, absolute: 1e-12 };

async function load(graph: Graph, outputs: Readonly<Record<string, Value>>): Promise<Executor> {
  const ids = Object.fromEntries(Object.entries(outputs).map(([name, { id }]) => [name, id]));
  const pruned = prune({ ...graph, outputs: ids });
  verify(pruned, OPS);
  return referenceExecutor.load(plan([{ name: 'run', graph: pruned }]));
}

function found(graph: Graph, name: string): Value {
  const value = graph.values.find((candidate) => candidate.name === name);
  if (!value) throw new Error(`no value ${name}`);
  return value;
}

function write(executor: Executor, part: Part, model: ModelGraph): void {
  const weights = randomWeights(model);
  const used = hostSlots(executor.program);
  for (const [name, local] of part.parameters) {
    if (used.has(local)) executor.write(local, weights.get(name) ?? new Float32Array());
  }
}

describe('cutModel', () => {
  it('gives one part for each block, embedding before and tail behind', () => {
    const parts = cutModel(modelOf(TINY)(2));
    expect(parts.map(({ name }) => name)).toEqual(['embedding', 'blocks.0', 'blocks.1', 'tail']);
    expect(printGraph(parts[1].graph)).toBe(printGraph(parts[2].graph));
    expect('\n' + printGraph(parts[1].graph)).toMatchInlineSnapshot(`
      "
      input x: f32[2,5,4]
      parameter block.norm1.weight: f32[4] trainable
      parameter block.norm1.bias: f32[4] trainable
      parameter block.attn.qkv.weight: f32[12,4] trainable
      parameter block.attn.qkv.bias: f32[12] trainable
      parameter block.attn.proj.weight: f32[4,4] trainable
      parameter block.attn.proj.bias: f32[4] trainable
      parameter block.norm2.weight: f32[4] trainable
      parameter block.norm2.bias: f32[4] trainable
      parameter block.mlp.fc1.weight: f32[8,4] trainable
      parameter block.mlp.fc1.bias: f32[8] trainable
      parameter block.mlp.fc2.weight: f32[4,8] trainable
      parameter block.mlp.fc2.bias: f32[4] trainable
      block.norm1: y f32[2,5,4], mean f32[2,5], rstd f32[2,5] = layernorm(x: x, gamma: block.norm1.weight, beta: block.norm1.bias) {eps: 0.000001}
      block.attn.qkv: y f32[2,5,12] = matmul(a: block.norm1.y, b: block.attn.qkv.weight, bias: block.attn.qkv.bias) {transB: true}
      block.attn.mix: y f32[2,5,4], lse f32[2,2,5] = attention(qkv: block.attn.qkv.y) {heads: 2}
      block.attn.proj: y f32[2,5,4] = matmul(a: block.attn.mix.y, b: block.attn.proj.weight, bias: block.attn.proj.bias) {transB: true}
      block.residual1: y f32[2,5,4] = add(a: x, b: block.attn.proj.y)
      block.norm2: y f32[2,5,4], mean f32[2,5], rstd f32[2,5] = layernorm(x: block.residual1.y, gamma: block.norm2.weight, beta: block.norm2.bias) {eps: 0.000001}
      block.mlp.fc1: y f32[2,5,8] = matmul(a: block.norm2.y, b: block.mlp.fc1.weight, bias: block.mlp.fc1.bias) {transB: true}
      block.mlp.act: y f32[2,5,8] = gelu(x: block.mlp.fc1.y)
      block.mlp.fc2: y f32[2,5,4] = matmul(a: block.mlp.act.y, b: block.mlp.fc2.weight, bias: block.mlp.fc2.bias) {transB: true}
      block.residual2: y f32[2,5,4] = add(a: block.residual1.y, b: block.mlp.fc2.y)
      output y = block.residual2.y
      "
    `);
    expect(parts[2].parameters.get('blocks.1.mlp.fc1.weight')).toBe('block.mlp.fc1.weight');
  });

  it('computes in parts what the model computes, forwards and backwards', async () => {
    const model = modelOf(SMALL)(3);
    const { graph } = model;
    const { images, labels } = fixedBatch(SMALL, 3);
    const named = (name: string) => found(graph, name);
    const features = graph.values[graph.nodes.find(({ name }) => name === 'head')?.inputs.a ?? -1];
    const watched = ['patch_embed.proj.weight', 'blocks.0.norm1.bias', 'blocks.2.mlp.fc1.bias'];
    const builder = new GraphBuilder(graph);
    const seed = builder.constant(f32(), 1);
    const whole = backpropagate(
      builder.build(outputValues(graph)),
      [{ of: outputValues(graph).loss, seed }],
      [features, ...watched.map(named)],
    );
    const gradient = (name: string) =>
      whole.graph.values[whole.gradients.get(named(name).id) ?? -1];
    const executor = await load(whole.graph, {
      features,
      'd features': whole.graph.values[whole.gradients.get(features.id) ?? -1],
      ...Object.fromEntries(watched.map((name) => [name, gradient(name)])),
    });
    for (const [name, data] of randomWeights(model)) executor.write(name, data);
    executor.write('run.images', images);
    executor.write('run.labels', labels);
    await executor.run('run');

    const parts = cutModel(model);
    const inputs: HostData[] = [images];
    for (const part of parts) {
      const runner = await load(part.graph, { y: part.y });
      write(runner, part, model);
      runner.write('run.x', inputs[inputs.length - 1]);
      await runner.run('run');
      inputs.push(await runner.read('run.y'));
    }
    expectClose(inputs[parts.length], await executor.read('run.features'), SAME, 'features');

    let dy = await executor.read('run.d features');
    for (const [index, part] of [...parts.entries()].reverse()) {
      const behind = new GraphBuilder(part.graph);
      const seed = behind.input('dy', part.y.type);
      const inside = watched.filter((name) => part.parameters.has(name));
      const local = inside.map((name) => found(part.graph, part.parameters.get(name) ?? ''));
      const { graph, gradients } = backpropagate(
        behind.build({}),
        [{ of: part.y, seed }],
        [part.x, ...local],
      );
      const outputs = Object.fromEntries(
        [...gradients].map(([id, of]) => [`d ${graph.values[id].name}`, graph.values[of]]),
      );
      const runner = await load(graph, outputs);
      write(runner, part, model);
      runner.write('run.x', inputs[index]);
      runner.write('run.dy', dy);
      await runner.run('run');
      dy = await runner.read('run.d x');
      for (const [at, name] of inside.entries()) {
        const got = await runner.read(`run.d ${local[at].name}`);
        expectClose(got, await executor.read(`run.${name}`), SAME, name);
      }
    }
    expect(dy.length).toBe(images.length);
  });

  it('gives no gradient of a value that was not asked for', () => {
    const [{ part }] = sitedParts(modelOf(TINY)(2), []).slice(1);
    const { gradient } = backwardPart(part);
    expect(gradient(part.x).type).toEqual(part.x.type);
    expect(() => gradient(part.y)).toThrow(
      /^blocks\.0, gradient of .*: expected a path to y, got none\. Please report this\.$/,
    );
  });

  it('takes buffers and tables along with the block that reads them', () => {
    const builder = new GraphBuilder();
    let x = builder.input('images', f32(2, 3));
    const shift = Float32Array.of(1, 2, 3);
    for (const block of ['blocks.0', 'blocks.1']) {
      builder.scope(block, () => {
        const mean = builder.buffer('mean', f32(3), { kind: 'zeros' });
        const moved = builder.emit(add, { a: x, b: mean }, {}, 'moved').y;
        const b = builder.table('shift', f32(3), shift);
        x = builder.emit(add, { a: moved, b }, {}, 'shifted').y;
      });
    }
    const normed = builder.emit(gelu, { x }, {}, 'norm').y;
    const bias = builder.parameter('head.bias', f32(3), { initial: { kind: 'zeros' } });
    const logits = builder.emit(add, { a: normed, b: bias }, {}, 'head').y;
    const graph = builder.build({ logits });
    const model = { graph, blocks: ['blocks.0.', 'blocks.1.'], tail: ['norm'], head: 'head.' };
    const [, first, second] = cutModel(model);
    expect([...first.parameters]).toEqual([['blocks.0.mean', 'block.mean']]);
    expect([...second.parameters]).toEqual([['blocks.1.mean', 'block.mean']]);
    expect(printGraph(first.graph)).toContain('table block.shift: f32[3] = 1 2 3 #');
    expect(printGraph(second.graph)).toBe(printGraph(first.graph));
  });

  it('refuses a model with two activations between its blocks', () => {
    const builder = new GraphBuilder();
    const images = builder.input('images', f32(2, 3));
    const one = builder.emit(gelu, { x: images }, {}, 'blocks.0.a').y;
    const two = builder.emit(gelu, { x: one }, {}, 'blocks.0.b').y;
    const y = builder.emit(add, { a: one, b: two }, {}, 'blocks.1.sum').y;
    const initial = { kind: 'zeros' } as const;
    const bias = builder.parameter('head.bias', f32(3), { initial });
    const logits = builder.emit(add, { a: y, b: bias }, {}, 'head').y;
    const graph = builder.build({ logits });
    const model = { graph, blocks: ['blocks.0.', 'blocks.1.'], tail: [], head: 'head.' };
    expect(() => cutModel(model)).toThrow(
      new GraphError({
        where: 'cutting the model at its blocks: end of blocks.0',
        expected: 'one activation that later blocks read',
        got: 'blocks.0.a.y, blocks.0.b.y',
        todo: 'Build the model as a chain of blocks with one activation between them',
      }).message,
    );
  });
});
