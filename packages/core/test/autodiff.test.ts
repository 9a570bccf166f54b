/**
 * Automatic differentiation of whole graphs: against central differences in float64, what frozen
 * tensors cost, and the errors. Each op's own gradient is tested in ops-gradient.test.ts.
 */
import { describe, expect, it } from 'vitest';
import { differentiate } from '../src/autodiff.js';
import { compile } from '../src/compile.js';
import { GraphError } from '../src/errors.js';
import type { Executor } from '../src/executors/executor.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { outputValues, type ModelGraph } from '../src/ir/graph.js';
import { printGraph } from '../src/ir/print.js';
import { f32 } from '../src/ir/types.js';
import { verify } from '../src/ir/verify.js';
import { parseMethod } from '../src/methods/index.js';
import { trainOnly } from '../src/methods/trainable.js';
import type { VitConfig } from '../src/models/vit/model.js';
import { accumulate } from '../src/ops/accumulate.js';
import { add } from '../src/ops/add.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { gelu } from '../src/ops/gelu.js';
import { OPS } from '../src/ops/index.js';
import { sumRows } from '../src/ops/sum-rows.js';
import { sgd } from '../src/optim/sgd.js';
import { plan } from '../src/plan/plan.js';
import { savedSlots } from '../src/plan/report.js';
import { Random } from '../src/random.js';
import { expectClose } from './golden.js';
import { fixedBatch, modelOf, randomWeights, SMALL, TINY } from './tiny-vit.js';
import { denseGradients } from './gradients.js';

/** Elements of each parameter whose derivative is measured. */
const PROBES = 4;
const STEP = 1e-5;
const MEAN: VitConfig = { ...SMALL, depth: 1, classToken: false, pooling: 'mean' };
const TOKEN: VitConfig = { ...SMALL, depth: 2 };

/** L = Σ gelu(p)ᵢ + pᵢ. */
function sumOfGelu(trainable: boolean) {
  const builder = new GraphBuilder();
  const p = builder.parameter('p', f32(3), { initial: { kind: 'zeros' }, trainable });
  const { y } = builder.emit(gelu, { x: p }, {}, 'act');
  const both = builder.emit(add, { a: y, b: p }, {}, 'sum').y;
  return builder.build({ loss: builder.emit(sumRows, { x: both }, { axes: 1 }, 'loss').y });
}

describe('differentiate', () => {
  it('appends gradient nodes and adds up what flows along two paths', () => {
    const { graph, gradients } = differentiate(sumOfGelu(true), 'loss', 0.5);
    verify(graph, OPS);
    expect('\n' + printGraph(graph)).toMatchInlineSnapshot(`
      "
      parameter p: f32[3] trainable
      constant constant: f32[] = 0.5
      act: y f32[3] = gelu(x: p)
      sum: y f32[3] = add(a: act.y, b: p)
      loss: y f32[] = sum_rows(x: sum.y) {axes: 1}
      grad.loss.reshape: y f32[1,1] = reshape(x: constant) {shape: 1,1}
      grad.loss.broadcast_tokens: y f32[1,3,1] = broadcast_tokens(x: grad.loss.reshape.y) {tokens: 3, scale: 1}
      grad.loss.reshape~2: y f32[3] = reshape(x: grad.loss.broadcast_tokens.y) {shape: 3}
      grad.act.gelu_grad: dx f32[3] = gelu_grad(x: p, dy: grad.loss.reshape~2.y)
      grad.p.sum: y f32[3] = add(a: grad.loss.reshape~2.y, b: grad.act.gelu_grad.dx)
      output loss = loss.y
      "
    `);
    const names = [...gradients].map(([name, gradient]) => [
      name,
      gradient.kind === 'dense' ? graph.values[gradient.value].name : gradient.kind,
    ]);
    expect(names).toEqual([['p', 'grad.p.sum.y']]);
  });

  it('appends nothing when all is frozen', () => {
    const { graph, gradients } = differentiate(sumOfGelu(false), 'loss');
    expect(gradients.size).toBe(0);
    expect(graph.nodes).toEqual(sumOfGelu(false).nodes);
  });

  it.each([
    ['token pooling', TOKEN],
    ['mean pooling', MEAN],
  ])('agrees with central differences on a ViT, %s', async (_title, config) => {
    const model = modelOf(config, 0.1)(2);
    const { graph, gradients } = differentiate(model.graph, 'loss');
    const outputs = { ...outputValues(graph) };
    for (const [name, id] of denseGradients({ gradients })) outputs[`d ${name}`] = graph.values[id];
    const full = new GraphBuilder(graph).build(outputs);
    const executor = await referenceExecutor.load(plan([{ name: 'run', graph: full }]));
    const weights = new Map(
      [...randomWeights(model)].map(([name, data]) => [name, Float64Array.from(data)]),
    );
    expect([...gradients.keys()]).toEqual([...weights.keys()]);
    for (const [name, data] of weights) executor.write(name, data);
    await lossOf(executor, config);
    const found = new Map<string, ArrayLike<number>>();
    for (const name of weights.keys()) found.set(name, await executor.read(`run.d ${name}`));
    for (const [name, data] of weights) {
      const random = Random.of(1, 'probe', name);
      for (let probe = 0; probe < PROBES; probe++) {
        const at = random.below(data.length);
        const slope = await centralDifference(executor, config, name, data, at);
        const gradient = found.get(name)?.[at] ?? NaN;
        // The difference of two losses of order 1 is exact to 1e-16 / 1e-5.
        expectClose([gradient], [slope], { relative: 1e-6, absolute: 1e-9 }, `${name}[${at}]`);
      }
    }
  });
});

describe('frozen tensors', () => {
  const only = (pattern: RegExp) => (model: ModelGraph) =>
    trainOnly(model, (name) => pattern.test(name));
  const trained = (pattern: RegExp) => {
    const { graph, gradients } = differentiate(only(pattern)(modelOf(TINY)(2)).graph, 'loss');
    return {
      gradients: [...gradients.keys()],
      nodes: graph.nodes.map((node) => node.name).filter((name) => name.startsWith('grad.')),
    };
  };
  const saved = (pattern: RegExp) => {
    const method = { ...parseMethod('full'), forward: only(pattern) };
    const program = compile({ model: modelOf(TINY), method, optimizer: sgd(), batch: 2 });
    return savedSlots(program, program.entries[0]).map((slot) => slot.name);
  };

  it('have no gradient node, and neither has what lies below all that trains', () => {
    expect(trained(/^head\.bias$/)).toEqual({
      gradients: ['head.bias'],
      nodes: ['grad.loss.softmax_cross_entropy_grad', 'grad.head.sum_rows'],
    });
    const { gradients, nodes } = trained(/^blocks\.1\.mlp\.fc2\.weight$/);
    expect(gradients).toEqual(['blocks.1.mlp.fc2.weight']);
    expect(nodes).toEqual([
      'grad.loss.softmax_cross_entropy_grad',
      'grad.head.matmul',
      'grad.norm.layernorm_grad_input',
      'grad.reshape.reshape',
      'grad.pool.pad_tokens',
      'grad.blocks.1.mlp.fc2.matmul',
    ]);
  });

  it('save nothing', () => {
    expect(saved(/^head\.bias$/)).toEqual([]);
    expect(saved(/^head\.weight$/)).toEqual(['norm.y']);
    expect(saved(/^norm\.bias$/)).toEqual([]);
    // A weight's gradient reads the linear's input; the norm above needs its input and statistics.
    expect(saved(/^blocks\.1\.mlp\.fc2\.weight$/)).toEqual([
      'blocks.1.mlp.act.fused',
      'reshape.y',
      'norm.mean',
      'norm.rstd',
    ]);
    expect(saved(/^blocks\.1\.mlp\.fc2\.bias$/)).toEqual(['reshape.y', 'norm.mean', 'norm.rstd']);
  });
});

describe('errors', () => {
  it('refuses a loss that is no scalar, or that does not exist', () => {
    const { graph } = modelOf(TINY)(2);
    expect(() => differentiate(graph, 'logits')).toThrow(
      'output logits: expected a scalar f32 output to differentiate, got f32[2,3]. ' +
        'Give the model a scalar loss.',
    );
    expect(() => differentiate(graph, 'cost')).toThrow(
      'output cost: expected a scalar f32 output to differentiate, got no such output.',
    );
    expect(() => differentiate(graph, 'toString')).toThrow(GraphError);
  });

  it('refuses an op without a gradient on the way to the loss', () => {
    const build = (trainable: boolean) => {
      const builder = new GraphBuilder();
      const p = builder.parameter('p', f32(3), { initial: { kind: 'zeros' }, trainable });
      const acc = builder.state('acc', f32(3));
      const { y } = builder.emit(accumulate, { acc, x: p }, {}, 'total');
      return builder.build({ loss: builder.emit(sumRows, { x: y }, { axes: 1 }).y });
    };
    expect(() => differentiate(build(true), 'loss')).toThrow(
      'total: expected an op with a gradient between a trainable parameter and the loss, ' +
        'got accumulate. Freeze what is below it, or give the op a grad.',
    );
    expect(differentiate(build(false), 'loss').gradients.size).toBe(0);
  });
});

async function lossOf(executor: Executor, config: VitConfig): Promise<number> {
  const { images, labels } = fixedBatch(config, 2);
  executor.write('run.images', images);
  executor.write('run.labels', labels);
  await executor.run('run');
  return (await executor.read('run.loss'))[0];
}

/** (L(p + h) − L(p − h)) / 2h in one element of a parameter. */
async function centralDifference(
  executor: Executor,
  config: VitConfig,
  name: string,
  data: Float64Array,
  at: number,
): Promise<number> {
  const losses: number[] = [];
  for (const sign of [1, -1]) {
    executor.write(
      name,
      data.map((x, i) => (i === at ? x + sign * STEP : x)),
    );
    losses.push(await lossOf(executor, config));
  }
  executor.write(name, data);
  return (losses[0] - losses[1]) / (2 * STEP);
}
