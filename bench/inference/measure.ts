/** The inference benchmark: start the contestants, compare their logits, time them in rounds. */
import type { ModelConfig } from '@thimble/core';
import { JsonProcess, numberIn, numbersIn, type Command } from '../harness/json-process.js';
import { interleave } from '../harness/rounds.js';
import { pairedRatio, spread, type Rounds } from '../harness/statistics.js';
import { nodeCommand } from '../peers/peer.js';
import { pytorch } from '../peers/pytorch.js';
import type { StepConfig } from '../harness/step-protocol.js';
import { BATCHES, type InferenceConfig } from './protocol.js';
import { OWN, OWN_FACTORED, type InferenceResult, type InferenceRow } from './result.js';
import { METHOD, MODEL, type InferenceFiles } from './workload.js';

/** Passes in one turn, for each of BATCHES. */
const PASSES = [5, 2] as const;
/** OpenMP's threads spin for up to 200 ms after their last work. */
const SETTLE_MS = 250;
/** Share of the largest logit by which a contestant may differ: fp32 sums in another order. */
const TOLERANCE = 1e-4;

interface Contestant {
  readonly name: string;
  /** The contestant whose logits it must have. */
  readonly like: string;
  readonly config: object;
  command(): Promise<Command | string>;
}

interface Live {
  readonly name: string;
  readonly like: string;
  readonly version: string;
  readonly process: JsonProcess;
  readonly logits: readonly number[];
  rssPeakBytes: number;
}

export async function measureInference(
  files: InferenceFiles,
  { threads, rounds, weights }: Pick<InferenceResult, 'threads' | 'rounds' | 'weights'>,
): Promise<InferenceResult> {
  const live: Live[] = [];
  const missing: InferenceRow[] = [];
  try {
    for (const contestant of contestants(files, threads)) {
      const command = await contestant.command();
      if (typeof command === 'string') missing.push({ name: contestant.name, missing: command });
      else live.push(await start(contestant, command));
    }
    const differences = new Map(live.map((one) => [one.name, difference(one, live)]));
    const times: ReadonlyMap<string, Rounds>[] = [];
    for (const [place, batch] of BATCHES.entries()) {
      const turns = live.map((one) => ({
        name: one.name,
        measure: async () => (await infer(one, batch, PASSES[place])).ms,
      }));
      for (const { measure } of turns) await measure();
      times.push(await interleave(turns, { rounds, settleMs: SETTLE_MS }));
    }
    const rows = live.map((one) => rowOf(one, differences.get(one.name) ?? NaN, times));
    return {
      ...{ model: MODEL, method: METHOD, weights, threads, rounds },
      rows: [...rows, ...missing],
    };
  } finally {
    await Promise.all(live.map(({ process }) => process.close()));
  }
}

function contestants(files: InferenceFiles, threads: number): readonly Contestant[] {
  const { data, config } = files;
  const side = config.imageSize;
  const command = () => nodeCommand('../inference/contestant.js', ['onnxruntime-node']);
  const node = (
    name: string,
    like: string,
    runner: InferenceConfig['runner'],
    model: string,
  ): Contestant => ({ name, like, config: { runner, model, data, side, threads }, command });
  return [
    node(OWN, OWN, 'thimble', files.dense),
    node(OWN_FACTORED, OWN_FACTORED, 'thimble', files.factored),
    node('onnxruntime-node', OWN, 'onnxruntime-node', files.denseOnnx),
    node('onnxruntime-node, factored', OWN_FACTORED, 'onnxruntime-node', files.factoredOnnx),
    {
      ...{ name: pytorch.name, like: OWN },
      config: pythonConfig(config, files, threads),
      command: () => pytorch.command(),
    },
  ];
}

function pythonConfig(model: ModelConfig, files: InferenceFiles, threads: number): StepConfig {
  if (model.family !== 'vit') throw new Error('peers know vision transformers only');
  const { imageSize, patch, width, depth, heads, classes } = model;
  return {
    model: { imageSize, patch, width, depth, heads, classes, pool: 'token' },
    ...{ batch: BATCHES[1], threads, optimizer: 'sgd', lr: 0, momentum: 0, weightDecay: 0 },
    ...{ warmup: 0, weights: files.dense, data: files.data, seed: 1 },
  };
}

async function start({ name, like, config }: Contestant, command: Command): Promise<Live> {
  const process = new JsonProcess(name, command);
  try {
    const version = String((await process.ask(config))['version']);
    const one = { name, like, version, process, logits: [], rssPeakBytes: 0 };
    return { ...one, logits: (await infer(one, BATCHES[1], 1)).logits };
  } catch (error) {
    await process.close();
    throw error;
  }
}

async function infer(one: Live, batch: number, repeat: number) {
  const answer = await one.process.ask({ infer: { batch, repeat } });
  one.rssPeakBytes = numberIn(answer, 'rssPeakBytes');
  return { ms: numbersIn(answer, 'ms'), logits: numbersIn(answer, 'logits') };
}

/** The largest difference from the logits that it must have. Throws Error when it is too large. */
function difference({ name, like, logits }: Live, live: readonly Live[]): number {
  const expected = live.find((one) => one.name === like)?.logits ?? [];
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const apart = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - logits[i])), 0);
  if (logits.length === expected.length && apart <= TOLERANCE * largest) return apart;
  throw new Error(`${name}: expected the logits of ${like}, got a difference of ${apart}`);
}

function rowOf(
  { name, version, rssPeakBytes }: Live,
  maxDifference: number,
  times: readonly ReadonlyMap<string, Rounds>[],
): InferenceRow {
  return {
    ...{ name, version, maxDifference, rssPeakBytes },
    times: times.map((rounds, place) => {
      const samples = rounds.get(name) ?? [];
      const oursFaster = pairedRatio(samples, rounds.get(OWN) ?? []);
      return { batch: BATCHES[place], samples, ms: spread(samples.flat()), oursFaster };
    }),
  };
}
