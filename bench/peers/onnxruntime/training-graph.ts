/**
 * A whole training step of a vision transformer as one ordinary ONNX graph: forward, mean softmax
 * cross entropy, backward, SGD, with momentum or without.
 *
 *   images [B, 3, S, S], labels int64 [B], lr [1], parameters  →  loss, parameters after the step
 *
 * With momentum each parameter's velocity goes in and comes out like a parameter.
 *
 * Operators of ONNX and, for batched products with transposed operands, FusedMatMul of
 * onnxruntime. Legend: B images, n patches, N tokens, D width, C classes.
 */
import { int, type OnnxGraph, type OnnxModel, type ValueInfo } from '@thimble/onnx';
import type { StepConfig } from '../../harness/step-protocol.js';
import { Emitter } from './emitter.js';
import {
  addGradient,
  attention,
  layerNorm,
  linear,
  mlp,
  type Build,
  type Layer,
} from './layers.js';

export interface TrainingGraph {
  readonly model: OnnxModel;
  /** Shapes of the parameters, which are inputs under their names. */
  readonly parameters: ReadonlyMap<string, readonly number[]>;
  /** Likewise of the velocities, which start at zero. */
  readonly velocities: ReadonlyMap<string, readonly number[]>;
  /** For each of both the output that is its next value. */
  readonly updates: ReadonlyMap<string, string>;
  readonly loss: string;
}

const EPS = 1e-6;

/** Throws Error for weight decay. */
export function trainingGraph(config: StepConfig): TrainingGraph {
  const { momentum, weightDecay, batch } = config;
  if (weightDecay !== 0) throw new Error('the ONNX training step knows no weight decay');
  const { imageSize, patch, width, heads, pool } = config.model;
  const emit = new Emitter();
  const parameters = new Map<string, readonly number[]>();
  const velocities = new Map<string, readonly number[]>();
  const updates = new Map<string, string>();
  const build: Build = {
    ...{ emit, batch, width, heads, eps: EPS },
    tokens: (imageSize / patch) ** 2 + (pool === 'token' ? 1 : 0),
    parameter: (name, shape) => {
      parameters.set(name, shape);
      if (momentum !== 0) velocities.set(velocityOf(name), shape);
      return name;
    },
    base: (name) =>
      momentum === 0 ? { value: name, beta: 1 } : { value: velocityOf(name), beta: momentum },
    update: (name, value) => {
      if (momentum !== 0) updates.set(velocityOf(name), value);
      updates.set(name, momentum === 0 ? value : emit.add(name, value));
    },
  };
  const loss = step(build, config);
  const graph = graphOf(config, emit, { parameters, velocities, updates, loss });
  const text = { name: 'training-step', producerVersion: '0', metadata: new Map<string, string>() };
  return { model: { ...text, graph }, parameters, velocities, updates, loss };
}

function velocityOf(parameter: string): string {
  return `${parameter}/velocity`;
}

/** Emits everything; returns the loss. */
function step(build: Build, { model }: StepConfig): string {
  const first = embedding(build, model);
  const blocks: Layer[] = [];
  let x = first.y;
  for (let index = 0; index < model.depth; index++) {
    const block = transformerBlock(build, `blocks.${index}`, x);
    blocks.push(block);
    x = block.y;
  }
  const { loss, dx } = classifier(build, model, x);
  first.backward(blocks.reduceRight((gradient, block) => block.backward(gradient), dx));
  return loss;
}

function transformerBlock(build: Build, name: string, x: string): Layer {
  const { emit } = build;
  const half = (norm: string, inner: (normal: string) => Layer, input: string): Layer => {
    const normal = layerNorm(build, `${name}.${norm}`, input);
    const branch = inner(normal.y);
    return {
      y: emit.add(input, branch.y),
      backward: (dy) => emit.add(dy, normal.backward(branch.backward(dy))),
    };
  };
  const first = half('norm1', (normal) => attention(build, `${name}.attn`, normal), x);
  const second = half('norm2', (normal) => mlp(build, `${name}.mlp`, normal), first.y);
  return { y: second.y, backward: (dy) => first.backward(second.backward(dy)) };
}

/** Images → tokens [M, D] with class token and positions. */
function embedding(build: Build, { patch, pool, imageSize }: StepConfig['model']): Layer {
  const { emit, batch, tokens, width } = build;
  const side = imageSize / patch;
  const count = side ** 2;
  emit.scope = 'patch_embed';
  const cut = emit.reshape('images', batch, 3, side, patch, side, patch);
  const pixels = 3 * patch ** 2;
  const rows = emit.reshape(emit.transpose(cut, 0, 2, 4, 1, 3, 5), batch * count, pixels);
  const proj = linear(build, 'patch_embed.proj', rows, [width, pixels]);
  emit.scope = 'embed';
  const position = build.parameter('pos_embed', [1, tokens, width]);
  const patches = emit.reshape(proj.y, batch, count, width);
  const token = pool === 'token' ? build.parameter('cls_token', [1, 1, width]) : null;
  const all =
    token === null
      ? patches
      : emit.op('Concat', [emit.expand(token, batch, 1, width), patches], { axis: int(1) });
  return {
    y: emit.reshape(emit.add(all, position), batch * tokens, width),
    backward: (dy) => {
      emit.scope = 'embed/grad';
      const dAll = emit.reshape(dy, batch, tokens, width);
      const dPosition = emit.sum(dAll, 0, 'keep');
      addGradient(build, 'pos_embed', dPosition);
      if (token === null) {
        proj.update(dy);
        return '';
      }
      addGradient(build, 'cls_token', emit.slice(dPosition, 1, 0, 1));
      const dPatches = emit.slice(dAll, 1, 1, tokens);
      proj.update(emit.reshape(dPatches, batch * count, width));
      return '';
    },
  };
}

/** Pooling, last norm, head and loss; dx is the gradient of the tokens [M, D] times −lr. */
function classifier(
  build: Build,
  { pool, classes }: StepConfig['model'],
  x: string,
): { readonly loss: string; readonly dx: string } {
  const { emit, batch, tokens, width } = build;
  emit.scope = 'pool';
  const all = emit.reshape(x, batch, tokens, width);
  const pooled =
    pool === 'token'
      ? emit.reshape(emit.slice(all, 1, 0, 1), batch, width)
      : emit.mul(emit.sum(all, 1), emit.scalar(1 / tokens));
  const norm = layerNorm(build, pool === 'token' ? 'norm' : 'fc_norm', pooled);
  const head = linear(build, 'head', norm.y, [classes, width]);
  emit.scope = 'loss';
  const [loss, logs] = emit.ops('SoftmaxCrossEntropyLoss', [head.y, 'labels'], {}, 2);
  const range = emit.emission.constant('float/0x1', 'float32', [2], () => Float32Array.of(0, 1));
  const hot = emit.op('OneHot', ['labels', emit.ints(classes), range], { axis: int(-1) });
  const error = emit.sub(emit.op('Exp', [logs]), hot);
  const dLogits = emit.mul(error, emit.mul('lr', emit.scalar(-1 / batch)));
  head.update(dLogits);
  const dPooled = norm.backward(head.dx(dLogits));
  emit.scope = 'pool/grad';
  const row = emit.reshape(dPooled, batch, 1, width);
  const dAll =
    pool === 'token'
      ? emit.op('Pad', [row, emit.ints(0, 0, 0, 0, tokens - 1, 0)])
      : emit.expand(emit.mul(row, emit.scalar(1 / tokens)), batch, tokens, width);
  return { loss, dx: emit.reshape(dAll, batch * tokens, width) };
}

function graphOf(
  { model, batch }: StepConfig,
  { emission }: Emitter,
  names: Omit<TrainingGraph, 'model'>,
): OnnxGraph {
  const { imageSize } = model;
  const learned = new Map([...names.parameters, ...names.velocities]);
  const value = (name: string, shape: readonly number[]): ValueInfo => {
    return { name, type: 'float32', shape };
  };
  return {
    inputs: [
      value('images', [batch, 3, imageSize, imageSize]),
      { name: 'labels', type: 'int64', shape: [batch] },
      value('lr', [1]),
      ...[...learned].map(([name, shape]) => value(name, shape)),
    ],
    outputs: [
      value(names.loss, []),
      ...[...names.updates].map(([name, output]) => value(output, learned.get(name) ?? [])),
    ],
    nodes: emission.nodes,
    initializers: [...emission.initializers.values()],
  };
}
