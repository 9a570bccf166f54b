/**
 * jax-js as a peer of the step benchmark: loss, gradient and update in one jitted function on its
 * WebAssembly backend.
 *
 * Arrays are counted references: a function takes over its arguments, `.ref` keeps one for another
 * use.
 */
import type * as Jax from '@jax-js/jax';
import type { StepConfig, StepModel } from '../../harness/step-protocol.js';
import type { StepRunner } from '../../harness/serve-steps.js';
import { elements, readStepData } from '../shared/data.js';
import { packageVersion } from '../shared/packages.js';
import { offerThreads } from './threads.js';

type Array = Jax.numpy.Array;
/** A type, not an interface: jax-js walks through its properties. */
type Parameters = Record<string, Array>;

const EPS = 1e-6;

export async function loadJax(config: StepConfig): Promise<StepRunner> {
  offerThreads(config.threads);
  const jax = await import('@jax-js/jax');
  await jax.init('wasm');
  jax.defaultDevice('wasm');
  const { numpy: np } = jax;
  const { weights, images, labels } = readStepData(config);
  const array = (data: Float32Array, shape: readonly number[]) =>
    np.array(new Float32Array(data), { shape: [...shape] });
  let parameters: Parameters = Object.fromEntries(
    [...weights].map(([name, { data, shape }]) => [name, array(data, shape)]),
  );
  const { classes } = config.model;
  const hot = new Float32Array(labels.length * classes);
  labels.forEach((label, row) => (hot[row * classes + label] = 1));
  const [pixels, targets] = [
    array(images.data, images.shape),
    array(hot, [labels.length, classes]),
  ];
  const step = jax.jit((current: Parameters, x: Array, y: Array) => {
    const loss = (p: Parameters) => lossOf(jax, config.model, p, x.ref, y.ref);
    const [value, gradient] = jax.valueAndGrad(loss)(jax.tree.ref(current));
    const next = Object.fromEntries(
      Object.entries(current).map(([name, w]) => [name, w.sub(gradient[name].mul(config.lr))]),
    );
    x.dispose();
    y.dispose();
    return [value, next] as [Array, Parameters];
  });
  return {
    ready: {
      version: `${packageVersion('@jax-js/jax')}, wasm, SIMD, workers, jit`,
      threads: config.threads,
      parameters: [...weights.values()].reduce((sum, { shape }) => sum + elements(shape), 0),
    },
    step: async () => {
      const started = performance.now();
      const [loss, next] = step(parameters, pixels.ref, targets.ref);
      parameters = next;
      await jax.blockUntilReady(parameters);
      await loss.blockUntilReady();
      const value = loss.item();
      return [performance.now() - started, value];
    },
    close: async () => {
      jax.tree.dispose(parameters);
    },
  };
}

function lossOf(jax: typeof Jax, model: StepModel, p: Parameters, x: Array, y: Array): Array {
  const logits = logitsOf(jax, model, p, x);
  const rows = y.shape[0];
  return jax.nn
    .logSoftmax(logits)
    .mul(y)
    .sum()
    .mul(-1 / rows);
}

function logitsOf(jax: typeof Jax, model: StepModel, p: Parameters, images: Array): Array {
  const { numpy: np } = jax;
  const { imageSize, patch, width, depth, pool } = model;
  const side = imageSize / patch;
  const batch = images.shape[0];
  const rows = images
    .reshape([batch, 3, side, patch, side, patch])
    .transpose([0, 2, 4, 1, 3, 5])
    .reshape([batch, side * side, 3 * patch * patch]);
  const kernel = p['patch_embed.proj.weight'].reshape([width, 3 * patch * patch]);
  let x = np.matmul(rows, kernel.transpose()).add(p['patch_embed.proj.bias']);
  if (pool === 'token') {
    const token = np.broadcastTo(p['cls_token'], [batch, 1, width]);
    x = np.concatenate([token, x], 1);
  }
  x = x.add(p['pos_embed']);
  for (let index = 0; index < depth; index++) x = block(jax, model, p, `blocks.${index}`, x);
  const pooled = pool === 'token' ? x.slice([], 0) : np.mean(x, 1);
  const norm = layerNorm(jax, p, pool === 'token' ? 'norm' : 'fc_norm', pooled);
  return linear(jax, p, 'head', norm);
}

function block(jax: typeof Jax, model: StepModel, p: Parameters, name: string, x: Array): Array {
  const attended = x.ref.add(
    attention(jax, model, p, `${name}.attn`, layerNorm(jax, p, `${name}.norm1`, x)),
  );
  const normal = layerNorm(jax, p, `${name}.norm2`, attended.ref);
  const hidden = jax.nn.gelu(linear(jax, p, `${name}.mlp.fc1`, normal), { approximate: false });
  return attended.add(linear(jax, p, `${name}.mlp.fc2`, hidden));
}

function attention(
  jax: typeof Jax,
  { heads, width }: StepModel,
  p: Parameters,
  name: string,
  x: Array,
): Array {
  const { numpy: np } = jax;
  const [batch, tokens] = x.shape;
  const headDim = width / heads;
  const qkv = linear(jax, p, `${name}.qkv`, x)
    .reshape([batch, tokens, 3, heads, headDim])
    .transpose([2, 0, 3, 1, 4]);
  const [q, k, v] = [qkv.ref.slice(0), qkv.ref.slice(1), qkv.slice(2)];
  const scores = np.matmul(q, k.transpose([0, 1, 3, 2])).mul(1 / Math.sqrt(headDim));
  const mixed = np.matmul(jax.nn.softmax(scores), v);
  const context = mixed.transpose([0, 2, 1, 3]).reshape([batch, tokens, width]);
  return linear(jax, p, `${name}.proj`, context);
}

function linear({ numpy: np }: typeof Jax, p: Parameters, name: string, x: Array): Array {
  return np.matmul(x, p[`${name}.weight`].transpose()).add(p[`${name}.bias`]);
}

function layerNorm(jax: typeof Jax, p: Parameters, name: string, x: Array): Array {
  const normal = jax.nn.standardize(x, -1, { epsilon: EPS });
  return normal.mul(p[`${name}.weight`]).add(p[`${name}.bias`]);
}
