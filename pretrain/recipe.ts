/**
 * What the embedded backbone is trained with, and the training that both stages share.
 *
 * backbone: vit-micro from mimetic initialisation on the union of two sets of 32 px pictures.
 * cifar10:  that backbone, or a random start, fine-tuned on CIFAR-10 with a new head.
 */
import {
  adamw,
  buildModel,
  compile,
  cosine,
  initialise,
  MODELS,
  parseMethod,
  readSafetensors,
  train,
  writeSafetensors,
  type Batches,
  type EpochEvent,
  type Executor,
  type StepEvent,
  type VitConfig,
} from '@thimble/core';
import { native } from '@thimble/native';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { trainingFeed } from './feed.js';
import type { Tiles } from './sheets.js';

export interface Recipe {
  readonly epochs: number;
  readonly batch: number;
  readonly learningRate: number;
  readonly weightDecay: number;
  readonly smoothing: number;
  readonly clip: number;
  /** Share of the run. */
  readonly warmup: number;
  readonly seed: number;
}

const SHARED = { batch: 64, weightDecay: 0.05, smoothing: 0.1, clip: 1, seed: 0 } as const;

export const BACKBONE: Recipe = { ...SHARED, epochs: 14, learningRate: 1e-3, warmup: 0.05 };
export const CIFAR10: Recipe = { ...SHARED, epochs: 5, learningRate: 3e-4, warmup: 0.1 };

/** Updates between two lines of the log. */
const LOG_EVERY = 250;

export interface Stage {
  readonly recipe: Recipe;
  readonly tiles: Tiles;
  readonly threads: number;
  /** Weights and moments after each epoch; a stage whose file is there goes on from it. */
  readonly state: string;
  /** Writes the starting weights, after the random ones. */
  readonly start: (executor: Executor, config: VitConfig) => void | Promise<void>;
  readonly validation: () => Batches;
  readonly log: (line: object) => void;
  /** After every epoch. */
  readonly save: (executor: Executor, config: VitConfig) => Promise<void>;
}

export function configOf(classes: number): VitConfig {
  return { ...MODELS['vit-micro'], classes };
}

/** Trains, or goes on; the executor with the final weights goes to `afterwards` before it is disposed of. */
export async function runStage(
  stage: Stage,
  afterwards: (executor: Executor) => Promise<void>,
): Promise<void> {
  const { recipe, tiles, log } = stage;
  const { epochs, batch, learningRate, weightDecay, smoothing, clip, warmup, seed } = recipe;
  const classes = tiles.classes.length;
  const config = configOf(classes);
  const optimizer = adamw({ weightDecay });
  const program = compile({
    model: (images) => buildModel(config, { batch: images, smoothing }),
    method: parseMethod('full'),
    optimizer,
    batch,
    clipNorm: clip,
  });
  const executor = await native.load(program, { threads: stage.threads });
  try {
    initialise(executor, buildModel(config, { batch: 1 }), seed);
    await stage.start(executor, config);
    const done = resumed(executor, stage.state);
    const perEpoch = Math.floor(tiles.images.length / batch);
    const steps = perEpoch * epochs;
    const before = perEpoch * done;
    const schedule = cosine({ peak: learningRate, steps, warmupSteps: Math.round(warmup * steps) });
    log({ event: 'start', ...recipe, images: tiles.images.length, ...{ classes, steps, done } });
    const meter = new Meter(log);
    await train({
      executor,
      optimizer: {
        ...optimizer,
        scalars: (step, rate) => optimizer.scalars(before + step, rate),
      },
      schedule: (step) => schedule(before + step),
      epochs: epochs - done,
      batches: (epoch) =>
        trainingFeed(tiles, { batch, size: config.imageSize, seed }, done + epoch),
      validation: stage.validation,
      onEvent: async (event) => {
        const epoch = done + event.epoch;
        const step = before + event.step;
        if (event.event === 'step') meter.step({ ...event, epoch, step });
        else {
          log(epochLine({ ...event, epoch, step }));
          await stage.save(executor, config);
          await saveState(executor, stage.state, epoch);
        }
      },
    });
    await afterwards(executor);
  } finally {
    await executor.dispose();
  }
}

function epochLine({ epoch, step, loss, validation, seconds }: EpochEvent): object {
  const { accuracy, loss: validationLoss } = validation ?? { accuracy: NaN, loss: NaN };
  return { event: 'epoch', epoch, step, loss, accuracy, validationLoss, seconds };
}

/** Mean loss of every LOG_EVERY updates. */
class Meter {
  private losses: number[] = [];
  private readonly log: (line: object) => void;

  constructor(log: (line: object) => void) {
    this.log = log;
  }

  step({ epoch, step, loss, learningRate, ms }: StepEvent): void {
    this.losses.push(loss);
    if (this.losses.length < LOG_EVERY) return;
    const mean = this.losses.reduce((sum, value) => sum + value, 0) / this.losses.length;
    this.log({ event: 'steps', epoch, step, loss: mean, learningRate, ms });
    this.losses = [];
  }
}

/** Everything that lives across steps, under its name in the program. */
async function saveState(executor: Executor, path: string, epoch: number): Promise<void> {
  const tensors = [];
  for (const { name, role, type } of executor.program.slots) {
    if (role !== 'parameter' && role !== 'buffer' && role !== 'state') continue;
    tensors.push({
      name,
      shape: type.shape,
      dtype: 'F32' as const,
      data: await executor.read(name),
    });
  }
  writeFileSync(`${path}.new`, writeSafetensors(tensors, new Map([['epoch', String(epoch)]])));
  renameSync(`${path}.new`, path);
}

/** Epochs done by the run whose state is at `path`; 0, and nothing written, without one. */
function resumed(executor: Executor, path: string): number {
  if (!existsSync(path)) return 0;
  const { tensors, metadata } = readSafetensors(readFileSync(path));
  for (const [name, tensor] of tensors) executor.write(name, tensor.toFloat32());
  return Number(metadata.get('epoch'));
}
