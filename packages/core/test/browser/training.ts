/**
 * What the browser test computes, as functions of the public API: the page calls them with dist and
 * the WebAssembly executor, the test in Node with the sources and the reference executor. The page
 * gets this file with its types stripped, so it imports nothing at run time.
 */
import type * as Core from '../../src/index.js';

/** Three steps of training. Arrays hold single precision widened to numbers: equal means same bits. */
export interface Outcome {
  readonly detail: string;
  readonly threads: number;
  /** Loss before each update. */
  readonly losses: readonly number[];
  /** Every parameter after the last update, by name. */
  readonly parameters: Readonly<Record<string, readonly number[]>>;
}

/** What the caller's event loop did during a single run. */
export interface Responsiveness {
  readonly runMs: number;
  /** Timers that fired while the run was under way. */
  readonly turns: number;
}

const BATCH = 4;
const STEPS = 3;
const SEED = 11;

/** 10 tokens of width 12: small enough for the reference executor. */
const SMALL: Core.VitConfig = {
  family: 'vit',
  imageSize: 12,
  patch: 4,
  channels: 3,
  width: 12,
  depth: 2,
  heads: 3,
  mlpRatio: 4,
  classes: 5,
  pooling: 'token',
  classToken: true,
  layerNormEps: 1e-6,
};

/** Trains a small ViT from seeded weights on seeded images. */
export async function trainSmall(
  core: typeof Core,
  kind: Core.ExecutorKind,
  threads: number,
): Promise<Outcome> {
  const model = (batch: number) => core.vit(SMALL, { batch });
  // Not AdamW: it divides gradients that are zero but for rounding (key biases) by their own size.
  const optimizer = core.sgd({ momentum: 0.9, weightDecay: 1e-4 });
  const program = core.compile({ model, optimizer, batch: BATCH, evalBatch: 0 });
  const executor = await kind.load(program, { threads });
  const graph = model(BATCH);
  core.initialise(executor, graph, SEED);
  const losses: number[] = [];
  await core.train({
    executor,
    optimizer,
    schedule: () => 0.1,
    epochs: 1,
    batches: () => Array.from({ length: STEPS }, (_, index) => seededBatch(core, SMALL, index)),
    onEvent: (event) => {
      if (event.event === 'step') losses.push(event.loss);
    },
  });
  const parameters: Record<string, number[]> = {};
  for (const { name, data } of await core.readWeights(executor, graph)) {
    parameters[name] = Array.from(data);
  }
  const { detail, threads: used } = executor;
  await executor.dispose();
  return { detail, threads: used, losses, parameters };
}

/** Counts timers during one evaluation that takes a few hundred milliseconds. */
export async function timersDuringRun(
  core: typeof Core,
  kind: Core.ExecutorKind,
  threads: number,
): Promise<Responsiveness> {
  const model = (batch: number) => core.vit(core.VIT_PRESETS['vit-micro'], { batch });
  const batch = 64;
  const executor = await kind.load(core.compile({ model, batch }), { threads });
  core.initialise(executor, model(batch), SEED);
  const pixels = batch * 3 * core.VIT_PRESETS['vit-micro'].imageSize ** 2;
  executor.write('eval.images', new Float32Array(pixels));
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  const start = performance.now();
  await executor.run('eval');
  const runMs = performance.now() - start;
  clearInterval(timer);
  await executor.dispose();
  return { runMs, turns };
}

/** Normal pixels, and labels that go round the classes. */
function seededBatch(core: typeof Core, config: Core.VitConfig, index: number): Core.Batch {
  const random = core.Random.of(SEED, 'batch', index);
  const pixels = BATCH * config.channels * config.imageSize ** 2;
  return {
    images: random.fillNormal(new Float32Array(pixels)),
    labels: Int32Array.from({ length: BATCH }, (_, row) => row % config.classes),
    real: BATCH,
  };
}
