/** One case of the scale benchmark: start the contestants, check them, time them in rounds. */
import { i32, modelConfig, Random, writeSafetensors, type ModelName } from '@thimble/core';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { JsonProcess, numberIn, numbersIn } from '../harness/json-process.js';
import { interleave } from '../harness/rounds.js';
import { pairedRatio, spread, type Rounds, type Spread } from '../harness/statistics.js';
import { pytorch } from '../peers/pytorch.js';
import type { StepConfig } from '../harness/step-protocol.js';
import type { ScaleCase } from './cases.js';
import type { ScaleConfig } from './protocol.js';

/** OpenMP's threads spin for up to 200 ms after their last work. */
const SETTLE_MS = 250;
const CHECKED_STEPS = 3;
const LEARNING_RATE = 1e-3;
const EVAL_BATCH = 16;
/** Evaluations in one turn. */
const EVALUATIONS = 2;

export interface ScaleOptions {
  readonly model: ModelName;
  readonly weights: string;
  readonly folder: string;
  readonly threads: number;
  readonly rounds: number;
}

export interface ScaleResult {
  readonly batch: number;
  readonly threads: number;
  readonly rounds: number;
  readonly evalBatch: number;
  readonly rows: readonly ScaleResultRow[];
}

export interface ScaleResultRow {
  readonly name: string;
  /** What the contestant said when it was ready. */
  readonly ready: Readonly<Record<string, unknown>>;
  /** Losses of the first steps. */
  readonly losses: readonly number[];
  readonly rssPeakBytes: number;
  readonly ms: Spread;
  /** The yardstick's time as a multiple of this row's, within each round. */
  readonly fasterThanFull: Spread;
  readonly fasterThanPeer: Spread | null;
  /** Milliseconds of one evaluation, and how many times faster than dense; null for peers. */
  readonly inference: { readonly ms: Spread; readonly faster: Spread } | null;
}

interface Live {
  readonly name: string;
  readonly process: JsonProcess;
  readonly ready: Readonly<Record<string, unknown>>;
  readonly losses: readonly number[];
  readonly isPeer: boolean;
  rssPeakBytes: number;
}

export async function measureScale(one: ScaleCase, options: ScaleOptions): Promise<ScaleResult> {
  const live: Live[] = [];
  const data = join(options.folder, `batch-${one.batch}.safetensors`);
  try {
    await writeFile(data, batchFile(options.model, one.batch));
    const peer = await pytorch.command();
    if (typeof peer === 'string') console.log(`${pytorch.name}: ${peer}`);
    else live.push(await start(pytorch.name, peer, peerConfig(one, data, options), true));
    const script = fileURLToPath(new URL('./contestant.js', import.meta.url));
    const command = { file: process.execPath, args: [script] };
    for (const { name, config } of one.rows) {
      live.push(await start(name, command, ownConfig(one, config, options), false));
    }
    const trained = await rounds(live, options, trainOnce);
    const own = live.filter(({ isPeer }) => !isPeer);
    const inferred = await rounds(own, options, inferOnce);
    const { batch } = one;
    return {
      ...{ batch, threads: options.threads, rounds: options.rounds, evalBatch: EVAL_BATCH },
      rows: live.map((row) => rowOf(row, live, trained, inferred)),
    };
  } finally {
    await Promise.all(live.map((row) => row.process.close()));
    await rm(data, { force: true });
  }
}

async function start(
  name: string,
  command: ConstructorParameters<typeof JsonProcess>[1],
  config: object,
  isPeer: boolean,
): Promise<Live> {
  console.log(`starting ${name}`);
  const process = new JsonProcess(name, command);
  try {
    const ready = await process.ask(config);
    const answer = await process.ask({ run: CHECKED_STEPS });
    const losses = numbersIn(answer, 'loss');
    if (!losses.every(Number.isFinite) || !(losses[losses.length - 1] < losses[0])) {
      throw new Error(`${name}: expected a falling loss, got ${losses.join(', ')}`);
    }
    const rssPeakBytes = numberIn(answer, 'rssPeakBytes');
    return { name, process, ready, losses, isPeer, rssPeakBytes };
  } catch (error) {
    await process.close();
    throw error;
  }
}

function rounds(
  live: readonly Live[],
  options: ScaleOptions,
  measure: (row: Live) => Promise<readonly number[]>,
): Promise<ReadonlyMap<string, Rounds>> {
  return interleave(
    live.map((row) => ({ name: row.name, measure: () => measure(row) })),
    { rounds: options.rounds, settleMs: SETTLE_MS },
  );
}

async function trainOnce(row: Live): Promise<readonly number[]> {
  const answer = await row.process.ask({ run: 1 });
  row.rssPeakBytes = numberIn(answer, 'rssPeakBytes');
  return numbersIn(answer, 'ms');
}

async function inferOnce(row: Live): Promise<readonly number[]> {
  return numbersIn(await row.process.ask({ infer: EVALUATIONS }), 'ms');
}

function rowOf(
  row: Live,
  live: readonly Live[],
  trained: ReadonlyMap<string, Rounds>,
  inferred: ReadonlyMap<string, Rounds>,
): ScaleResultRow {
  const times = (of: ReadonlyMap<string, Rounds>, name: string) => of.get(name) ?? [];
  const own = times(trained, row.name);
  const peer = live.find(({ isPeer }) => isPeer);
  const evaluations = times(inferred, row.name);
  const { name, ready, losses, rssPeakBytes } = row;
  return {
    ...{ name, ready, losses, rssPeakBytes },
    ms: spread(own.flat()),
    fasterThanFull: pairedRatio(times(trained, 'full'), own),
    fasterThanPeer: peer ? pairedRatio(times(trained, peer.name), own) : null,
    inference: row.isPeer
      ? null
      : {
          ms: spread(evaluations.flat()),
          faster: pairedRatio(times(inferred, 'full'), evaluations),
        },
  };
}

function ownConfig(
  { batch }: ScaleCase,
  config: Pick<ScaleConfig, 'method' | 'saved' | 'microBatches'>,
  { model, threads, weights }: ScaleOptions,
): ScaleConfig {
  const { classes } = modelConfig(model);
  const rest = { learningRate: LEARNING_RATE, evalBatch: EVAL_BATCH, weights };
  return { model, classes, batch, threads, ...config, ...rest };
}

function peerConfig({ batch }: ScaleCase, data: string, options: ScaleOptions): StepConfig {
  const config = modelConfig(options.model);
  if (config.family !== 'vit') throw new Error('peers know vision transformers only');
  const { imageSize, patch, width, depth, heads, classes } = config;
  return {
    model: { imageSize, patch, width, depth, heads, classes, pool: 'token' },
    ...{ batch, threads: options.threads, optimizer: 'sgd', lr: LEARNING_RATE },
    ...{ momentum: 0, weightDecay: 0, warmup: 0, weights: options.weights, data, seed: 1 },
  };
}

function batchFile(model: ModelName, batch: number): Uint8Array {
  const { imageSize, classes } = modelConfig(model);
  const shape = [batch, 3, imageSize, imageSize];
  const count = shape.reduce((product, extent) => product * extent, 1);
  return writeSafetensors([
    {
      ...{ name: 'images', dtype: 'F32', shape },
      data: Random.of(1, 'images').fillNormal(new Float32Array(count)),
    },
    {
      ...{ name: 'labels', dtype: 'I32', shape: i32(batch).shape },
      data: Int32Array.from({ length: batch }, (_, index) => index % classes),
    },
  ]);
}
