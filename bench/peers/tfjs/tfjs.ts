/**
 * TensorFlow.js as a peer of the step benchmark: tf.variableGrads on its WebAssembly backend with
 * SIMD and threads.
 *
 * Products of matrices have gradients of their own, by explicit transposes: the backend's fast
 * product (XNNPACK) takes no transposed operands, and the slow one is what tf.matMul's own gradient
 * asks for.
 */
import { setThreadsCount } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import type { StepConfig, StepModel } from '../../harness/step-protocol.js';
import type { StepRunner } from '../../harness/serve-steps.js';
import { elements, readStepData } from '../shared/data.js';
import { registerGradients } from './gradients.js';
import { offerThreads } from './threads.js';

type Variables = ReadonlyMap<string, tf.Variable>;

const EPS = 1e-6;

export async function loadTfjs(config: StepConfig): Promise<StepRunner> {
  offerThreads();
  await registerGradients();
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', true);
  setThreadsCount(config.threads);
  await tf.setBackend('wasm');
  const { weights, images, labels } = readStepData(config);
  const variables = new Map(
    [...weights].map(([name, { data, shape }]) => [name, tf.variable(tf.tensor(data, [...shape]))]),
  );
  const pixels = tf.tensor(images.data, [...images.shape]);
  const targets = tf.cast(tf.oneHot(tf.tensor1d(labels, 'int32'), config.model.classes), 'float32');
  const loss = (): tf.Scalar => {
    const logs = tf.logSoftmax(logitsOf(config.model, variables, pixels));
    return tf.mul(tf.sum(tf.mul(logs, targets)), -1 / labels.length);
  };
  return {
    ready: {
      version: `${tf.version_core}, wasm, SIMD, threads`,
      threads: config.threads,
      parameters: [...weights.values()].reduce((sum, { shape }) => sum + elements(shape), 0),
    },
    step: async () => {
      const started = performance.now();
      const value = tf.tidy(() => {
        const { value, grads } = tf.variableGrads(loss);
        for (const variable of variables.values()) {
          variable.assign(tf.sub(variable, tf.mul(grads[variable.name], config.lr)));
        }
        return value;
      });
      const [number] = await value.data();
      value.dispose();
      return [performance.now() - started, number];
    },
    close: async () => {
      tf.disposeVariables();
      tf.dispose([pixels, targets]);
    },
  };
}

function logitsOf(model: StepModel, p: Variables, images: tf.Tensor): tf.Tensor {
  const { imageSize, patch, width, depth, pool } = model;
  const [batch] = images.shape;
  const side = imageSize / patch;
  const kernel = tf.reshape(weight(p, 'patch_embed.proj.weight'), [width, 3 * patch * patch]);
  const rows = product(cut(images, side, patch), tf.transpose(kernel));
  const patches = tf.add(rows, weight(p, 'patch_embed.proj.bias'));
  let x: tf.Tensor = tf.reshape(patches, [batch, side * side, width]);
  if (pool === 'token') {
    // Repeated by a sum, whose gradient the backend has.
    const token = tf.add(tf.zeros([batch, 1, width]), weight(p, 'cls_token'));
    x = tf.concat([token, x], 1);
  }
  x = tf.add(x, weight(p, 'pos_embed'));
  for (let index = 0; index < depth; index++) x = block(model, p, `blocks.${index}`, x);
  const pooled =
    pool === 'token'
      ? tf.reshape(tf.slice(x, [0, 0, 0], [batch, 1, width]), [batch, width])
      : tf.mean(x, 1);
  return linear(p, 'head', layerNorm(p, pool === 'token' ? 'norm' : 'fc_norm', pooled));
}

/** Images [B, 3, S, S] → rows of patches, by transposes of five axes at most. */
function cut(images: tf.Tensor, side: number, patch: number): tf.Tensor {
  const [batch] = images.shape;
  const bands = tf.reshape(images, [batch * 3, side, patch, side, patch]);
  const columns = tf.reshape(tf.transpose(bands, [0, 1, 3, 2, 4]), [batch, 3, side * side, -1]);
  const rows = tf.transpose(columns, [0, 2, 1, 3]);
  return tf.reshape(rows, [batch * side * side, 3 * patch * patch]);
}

function block(model: StepModel, p: Variables, name: string, x: tf.Tensor): tf.Tensor {
  const normal = layerNorm(p, `${name}.norm1`, x);
  const attended = tf.add(x, attention(model, p, `${name}.attn`, normal));
  const hidden = linear(p, `${name}.mlp.fc1`, layerNorm(p, `${name}.norm2`, attended));
  const oneMore = tf.add(tf.erf(tf.mul(hidden, Math.SQRT1_2)), 1);
  const active = tf.mul(tf.mul(hidden, oneMore), 0.5);
  return tf.add(attended, linear(p, `${name}.mlp.fc2`, active));
}

function attention(
  { heads, width }: StepModel,
  p: Variables,
  name: string,
  x: tf.Tensor,
): tf.Tensor {
  const [batch, tokens] = x.shape;
  const perHead = [batch, tokens, heads, width / heads];
  const qkv: tf.Tensor[] = tf.split(linear(p, `${name}.qkv`, x), 3, 2);
  const [q, k, v] = qkv.map((part) => tf.transpose(tf.reshape(part, perHead), [0, 2, 1, 3]));
  const scores = tf.mul(product(q, transposed(k)), 1 / Math.sqrt(width / heads));
  const mixed = product(tf.softmax(scores), v);
  const context = tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [batch, tokens, width]);
  return linear(p, `${name}.proj`, context);
}

function linear(p: Variables, name: string, x: tf.Tensor): tf.Tensor {
  const w = weight(p, `${name}.weight`);
  const rows = tf.reshape(x, [-1, w.shape[1] ?? 0]);
  const y = tf.add(product(rows, tf.transpose(w)), weight(p, `${name}.bias`));
  return tf.reshape(y, [...x.shape.slice(0, -1), w.shape[0]]);
}

function layerNorm(p: Variables, name: string, x: tf.Tensor): tf.Tensor {
  const centred = tf.sub(x, tf.mean(x, -1, true));
  const inverse = tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), EPS));
  const scaled = tf.mul(tf.mul(centred, inverse), weight(p, `${name}.weight`));
  return tf.add(scaled, weight(p, `${name}.bias`));
}

/** a b, the last two axes as matrices. */
function product(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  return tf.customGrad((left, right, save) => {
    const [x, y] = [left as tf.Tensor, right as tf.Tensor];
    (save as tf.GradSaveFunc)([x, y]);
    return {
      value: tf.matMul(x, y),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => [
        tf.matMul(dy, transposed(saved[1])),
        tf.matMul(transposed(saved[0]), dy),
      ],
    };
  })(a, b);
}

/** With the last two axes exchanged. */
function transposed(x: tf.Tensor): tf.Tensor {
  const axes = x.shape.map((_, axis) => axis);
  return tf.transpose(x, [...axes.slice(0, -2), x.rank - 1, x.rank - 2]);
}

function weight(p: Variables, name: string): tf.Tensor {
  const found = p.get(name);
  if (found) return found;
  throw new Error(`no weight ${name}`);
}
