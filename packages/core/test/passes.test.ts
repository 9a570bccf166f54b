/**
 * The passes fold, fuse and prune: the whole graph before and after in text, the cases in which
 * they must leave a graph alone, and the numbers on the reference executor.
 */
import { describe, expect, it } from 'vitest';
import { differentiate } from '../src/autodiff.js';
import { compileGraphs } from '../src/compile.js';
import type { HostData } from '../src/executors/executor.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import type { Graph, Value } from '../src/ir/graph.js';
import { outputValues } from '../src/ir/graph.js';
import { printGraph } from '../src/ir/print.js';
import { f32, type TensorType } from '../src/ir/types.js';
import { verify } from '../src/ir/verify.js';
import { add } from '../src/ops/add.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { gelu } from '../src/ops/gelu.js';
import { geluGrad } from '../src/ops/gelu-grad.js';
import { OPS } from '../src/ops/index.js';
import { layernormGradInput } from '../src/ops/layernorm-grad-input.js';
import { matmul, TRANSPOSED_B } from '../src/ops/matmul.js';
import { reshaped } from '../src/ops/reshape.js';
import { sgd as sgdOp } from '../src/ops/sgd.js';
import { sumSquares } from '../src/ops/sum-squares.js';
import { windows } from '../src/ops/windows.js';
import { fold } from '../src/passes/fold.js';
import { fuse } from '../src/passes/fuse.js';
import { prune } from '../src/passes/prune.js';
import { plan } from '../src/plan/plan.js';
import { sgd } from '../src/optim/sgd.js';
import { expectClose } from './golden.js';
import { fixedBatch, modelOf, randomWeights, SMALL } from './tiny-vit.js';
import { denseGradients } from './gradients.js';

/** A graph over inputs `x` [2,4], `w` [3,4] and `r` [2,3]. */
function graphOf(
  build: (builder: GraphBuilder, leaves: { x: Value; w: Value; r: Value }) => Outputs,
): Graph {
  const builder = new GraphBuilder();
  const leaf = (name: string, type: TensorType) => builder.input(name, type);
  const outputs = build(builder, {
    x: leaf('x', f32(2, 4)),
    w: leaf('w', f32(3, 4)),
    r: leaf('r', f32(2, 3)),
  });
  return builder.build(outputs);
}

type Outputs = Readonly<Record<string, Value>>;

/** The graph as text; it must be legal. */
function text(graph: Graph): string {
  verify(graph, OPS);
  return '\n' + printGraph(graph);
}

describe('fold', () => {
  it('removes reshapes to the same shape and joins reshapes of reshapes', () => {
    const graph = graphOf((builder, { x, r }) => {
      const there = reshaped(builder, reshaped(builder, x, [8]), [4, 2]);
      const back = reshaped(builder, there, [2, 4]);
      const y = builder.emit(add, { a: back, b: x }, {}).y;
      return { y, z: reshaped(builder, there, [1, 8]), r };
    });
    expect(text(graph)).toMatchInlineSnapshot(`
      "
      input x: f32[2,4]
      input r: f32[2,3]
      reshape: y f32[8] = reshape(x: x) {shape: 8}
      reshape~2: y f32[4,2] = reshape(x: reshape.y) {shape: 4,2}
      reshape~3: y f32[2,4] = reshape(x: reshape~2.y) {shape: 2,4}
      add: y f32[2,4] = add(a: reshape~3.y, b: x)
      reshape~4: y f32[1,8] = reshape(x: reshape~2.y) {shape: 1,8}
      output y = add.y
      output z = reshape~4.y
      output r = r
      "
    `);
    expect(text(prune(fold(graph)))).toMatchInlineSnapshot(`
      "
      input x: f32[2,4]
      input r: f32[2,3]
      add: y f32[2,4] = add(a: x, b: x)
      reshape~4: y f32[1,8] = reshape(x: x) {shape: 1,8}
      output y = add.y
      output z = reshape~4.y
      output r = r
      "
    `);
  });

  it('removes the addition of zero and shares equal constants', () => {
    const graph = graphOf((builder, { r }) => {
      const zero = () => builder.constant(f32(2, 3), 0);
      const same = builder.emit(add, { a: r, b: zero() }, {}, 'zero').y;
      const one = builder.emit(add, { a: same, b: builder.constant(f32(2, 3), 1) }, {}, 'one').y;
      const two = builder.emit(add, { a: one, b: builder.constant(f32(2, 3), 1) }, {}, 'two').y;
      return { y: builder.emit(add, { a: two, b: zero() }, {}, 'zero').y };
    });
    expect(text(prune(fold(graph)))).toMatchInlineSnapshot(`
      "
      input r: f32[2,3]
      constant constant~2: f32[2,3] = 1
      one: y f32[2,3] = add(a: r, b: constant~2)
      two: y f32[2,3] = add(a: one.y, b: constant~2)
      output y = two.y
      "
    `);
  });
});

describe('fuse', () => {
  it('takes GELU from its gradient where the gradient of its output is known', () => {
    const graph = graphOf((builder, { r }) => {
      const early = builder.emit(gelu, { x: r }, {}, 'early').y;
      const dy = builder.emit(add, { a: early, b: r }, {}, 'dy').y;
      const again = builder.emit(gelu, { x: r }, {}, 'again').y;
      const { dx } = builder.emit(geluGrad, { x: r, dy }, {}, 'act');
      return { y: builder.emit(add, { a: again, b: dx }, {}, 'sum').y };
    });
    expect(text(prune(fuse(graph)))).toMatchInlineSnapshot(`
      "
      input r: f32[2,3]
      early: y f32[2,3] = gelu(x: r)
      dy: y f32[2,3] = add(a: early.y, b: r)
      act: dx f32[2,3], y f32[2,3] = gelu_grad(x: r, dy: dy.y) {value: true}
      sum: y f32[2,3] = add(a: again.value, b: act.dx)
      output y = sum.y
      "
    `);
  });

  it('folds GELU into the matmul and keeps the value before it for the gradient', () => {
    const graph = graphOf((builder, { x, w }) => {
      const before = builder.emit(matmul, { a: x, b: w }, TRANSPOSED_B, 'fc').y;
      const { y } = builder.emit(gelu, { x: before }, {}, 'act');
      const total = builder.emit(sumSquares, { x: before }, {}, 'reader').y;
      return { y, total };
    });
    expect(text(prune(fuse(graph)))).toMatchInlineSnapshot(`
      "
      input x: f32[2,4]
      input w: f32[3,4]
      fc: y f32[2,3], pre f32[2,3] = matmul(a: x, b: w) {transB: true, gelu: true}
      reader: y f32[] = sum_squares(x: fc.y)
      output y = act.fused
      output total = reader.y
      "
    `);
  });

  it('folds a residual into the matmul, on either side of the addition', () => {
    for (const left of [true, false]) {
      const graph = graphOf((builder, { x, w, r }) => {
        const { y } = builder.emit(matmul, { a: x, b: w }, TRANSPOSED_B, 'fc');
        return { y: builder.emit(add, left ? { a: y, b: r } : { a: r, b: y }, {}).y };
      });
      expect(text(prune(fuse(graph)))).toBe(`
input x: f32[2,4]
input w: f32[3,4]
input r: f32[2,3]
fc: y f32[2,3] = matmul(a: x, b: w, residual: r) {transB: true}
output y = fc.y
`);
    }
  });

  it('folds the gradient past a norm into the gradient of the norm', () => {
    const graph = graphOf((builder, { r }) => {
      const gamma = builder.input('gamma', f32(3));
      const mean = builder.input('mean', f32(2));
      const dy = builder.input('dy', f32(2, 3));
      const operands = { x: r, gamma, mean, rstd: mean, dy };
      const { dx } = builder.emit(layernormGradInput, operands, {}, 'norm');
      return { y: builder.emit(add, { a: dy, b: dx }, {}).y };
    });
    expect(text(prune(fuse(graph)))).toMatchInlineSnapshot(`
      "
      input r: f32[2,3]
      input gamma: f32[3]
      input mean: f32[2]
      input dy: f32[2,3]
      norm: dx f32[2,3] = layernorm_grad_input(x: r, gamma: gamma, mean: mean, rstd: mean, dy: dy, residual: dy)
      output y = norm.dx
      "
    `);
  });

  it('folds the image past attention into putting the windows back', () => {
    const graph = graphOf((builder, { x }) => {
      const layout = { window: 1, shift: 0, columnMajor: false, height: 1, width: 2 };
      const image = builder.input('image', f32(1, 1, 2, 4));
      const cut = reshaped(builder, x, [2, 1, 4]);
      const { y } = builder.emit(windows, { x: cut }, { ...layout, inverse: true }, 'back');
      return { y: builder.emit(add, { a: image, b: y }, {}).y };
    });
    expect(text(prune(fuse(graph)))).toMatchInlineSnapshot(`
      "
      input x: f32[2,4]
      input image: f32[1,1,2,4]
      reshape: y f32[2,1,4] = reshape(x: x) {shape: 2,1,4}
      back: y f32[1,1,2,4] = windows(x: reshape.y, residual: image) {window: 1, shift: 0, height: 1, width: 2, inverse: true}
      output y = back.y
      "
    `);
  });

  it('leaves a value alone that is an output', () => {
    const residual = graphOf((builder, { x, w, r }) => {
      const { y } = builder.emit(matmul, { a: x, b: w }, TRANSPOSED_B);
      return { y, sum: builder.emit(add, { a: r, b: y }, {}).y };
    });
    const activation = graphOf((builder, { x, w }) => {
      const { y } = builder.emit(matmul, { a: x, b: w }, TRANSPOSED_B);
      return { y, act: builder.emit(gelu, { x: y }, {}).y };
    });
    for (const graph of [residual, activation]) expect(text(fuse(graph))).toBe(text(graph));
  });

  it('leaves an addition alone whose operand has another reader or another shape', () => {
    const read = graphOf((builder, { x, w, r }) => {
      const { y } = builder.emit(matmul, { a: x, b: w }, TRANSPOSED_B);
      const total = builder.emit(sumSquares, { x: y }, {}).y;
      return { total, sum: builder.emit(add, { a: r, b: y }, {}).y };
    });
    const broadcast = graphOf((builder, { x, w }) => {
      const { y } = builder.emit(matmul, { a: x, b: w }, TRANSPOSED_B);
      return { y: builder.emit(add, { a: y, b: builder.input('row', f32(3)) }, {}).y };
    });
    for (const graph of [read, broadcast]) expect(text(fuse(graph))).toBe(text(graph));
  });

  it('leaves a product alone that is added to itself', () => {
    const graph = graphOf((builder, { x, w }) => {
      const { y } = builder.emit(matmul, { a: x, b: w }, TRANSPOSED_B);
      return { y: builder.emit(add, { a: y, b: y }, {}).y };
    });
    expect(text(fuse(graph))).toBe(text(graph));
  });

  it('folds one addition only into a matmul', () => {
    const graph = graphOf((builder, { x, w, r }) => {
      const { y } = builder.emit(matmul, { a: x, b: w }, TRANSPOSED_B, 'fc');
      const once = builder.emit(add, { a: r, b: y }, {}, 'once').y;
      return { y: builder.emit(add, { a: once, b: r }, {}, 'twice').y };
    });
    expect(text(prune(fuse(graph)))).toMatchInlineSnapshot(`
      "
      input x: f32[2,4]
      input w: f32[3,4]
      input r: f32[2,3]
      fc: y f32[2,3] = matmul(a: x, b: w, residual: r) {transB: true}
      twice: y f32[2,3] = add(a: fc.y, b: r)
      output y = twice.y
      "
    `);
  });
});

describe('prune', () => {
  it('drops dead nodes, their leaves and unread optional outputs, and keeps updates', () => {
    const graph = graphOf((builder, { x, w, r }) => {
      builder.emit(add, { a: builder.input('dead', f32(2, 3)), b: r }, {}, 'dead');
      const { y } = builder.emit(matmul, { a: x, b: w }, { ...TRANSPOSED_B, gelu: true }, 'fc');
      const param = builder.parameter('p', f32(2, 3), { initial: { kind: 'zeros' } });
      const lr = builder.input('lr', f32());
      const settings = { momentum: 0, nesterov: false, weightDecay: 0 };
      builder.emit(sgdOp, { param, grad: y, lr }, settings, 'update');
      return {};
    });
    expect(text(prune(graph))).toMatchInlineSnapshot(`
      "
      input x: f32[2,4]
      input w: f32[3,4]
      parameter p: f32[2,3] trainable
      input lr: f32[]
      fc: y f32[2,3] = matmul(a: x, b: w) {transB: true, gelu: true}
      update: paramOut f32[2,3] = sgd(param: p, grad: fc.y, lr: lr) {momentum: 0, weightDecay: 0}
      "
    `);
  });

  it('leaves a graph alone in which everything is needed', () => {
    const [{ graph }] = compileGraphs({ model: modelOf(SMALL), optimizer: sgd(), batch: 2 });
    expect(prune(graph)).toEqual(graph);
  });
});

describe('a whole ViT', () => {
  it('has the same loss, logits and gradients before and after the passes', async () => {
    const model = modelOf(SMALL, 0.1)(2);
    const { graph, gradients } = differentiate(model.graph, 'loss');
    const outputs = { ...outputValues(graph) };
    for (const [name, id] of denseGradients({ gradients })) outputs[`d ${name}`] = graph.values[id];
    const plain = new GraphBuilder(graph).build(outputs);
    const passed = prune(fuse(fold(plain)));
    const opsOf = ({ nodes }: Graph) => nodes.filter((node) => /^(add|gelu)$/.test(node.op)).length;
    // Per block two residuals and a GELU, two sums of gradients; one position embedding.
    expect(opsOf(plain)).toBe(3 * (3 + 2) + 1);
    expect(opsOf(passed)).toBe(1);
    const want = await results(plain, model.graph);
    const got = await results(passed, model.graph);
    expect(Object.keys(got)).toEqual(Object.keys(want));
    for (const [name, data] of Object.entries(want)) {
      expectClose(got[name], data, { relative: 1e-12, absolute: 1e-14 }, name);
    }
  });
});

/** Outputs of `graph` on the fixed batch with random weights. */
async function results(graph: Graph, model: Graph): Promise<Record<string, HostData>> {
  const executor = await referenceExecutor.load(plan([{ name: 'run', graph }]));
  const { images, labels } = fixedBatch(SMALL, 2);
  executor.write('run.images', images);
  executor.write('run.labels', labels);
  const weights = randomWeights({ graph: model, blocks: [], tail: [], head: '' });
  for (const [name, data] of weights) executor.write(name, data);
  await executor.run('run');
  const found: Record<string, HostData> = {};
  for (const name of Object.keys(graph.outputs)) found[name] = await executor.read(`run.${name}`);
  return found;
}
