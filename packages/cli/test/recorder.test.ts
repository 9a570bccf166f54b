/** What a run keeps while it trains: the last weights, the best, and a record that says so. */
import {
  augments,
  defaultPreprocess,
  FileError,
  initialise,
  InternalError,
  readSafetensors,
  referenceExecutor,
  Session,
  type EpochEvent,
  type Executor,
  type TrainResult,
  type VitConfig,
} from '@thimble/core';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Loader } from '../src/data/loader.js';
import { Recorder } from '../src/training/recorder.js';
import { stepSettings, type RunPlan } from '../src/training/run-plan.js';
import { readRunRecord } from '../src/run/folder.js';
import type { RunRecord } from '../src/run/record.js';
import { checkStep, compileStep } from '../src/step/step.js';
import { TrainingFolder } from '../src/training/folder.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-recorder-'));
const path = join(folder, 'run');
const within = (name: string) => join(path, name);
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  rmSync(path, { recursive: true, force: true });
});

const TINY: VitConfig = {
  family: 'vit',
  ...{ imageSize: 8, patch: 4, channels: 3, width: 8, depth: 1, heads: 2, mlpRatio: 2 },
  ...{ classes: 3, pooling: 'token', classToken: true, layerNormEps: 1e-6 },
};

const step = compileStep(
  checkStep({
    ...{ model: { name: 'tiny', config: TINY }, method: 'full', optimizer: 'sgd' },
    ...{ batch: 2, microBatches: 1, smoothing: 0 },
  }),
);
const source = { kind: 'shapes', seed: 1, count: 4 } as const;
const EPOCHS = 4;
/** Saves where it is time to. */
const byTime: RunPlan = {
  settings: {
    ...stepSettings(step),
    ...{ classes: ['a', 'b', 'c'], preprocess: defaultPreprocess, augment: 'none' },
    data: { from: 'd', validationFrom: 'd', trainImages: 4, validationImages: 4 },
    ...{ epochs: EPOCHS, learningRate: 0.1, smoothing: 0, clip: null, seed: 0 },
    ...{ init: null, found: {} },
  },
  ...{ step, augment: augments.none, train: source, validation: source, warmup: 0 },
  ...{ ignored: [], tables: null },
  ...{ strict: true, loading: { workers: 0 }, kind: referenceExecutor, threads: 1 },
  fill: () => Promise.resolve(null),
  takeFolder: () => TrainingFolder.take(path, true),
};
/** Saves every epoch. */
const plan: RunPlan = { ...byTime, saveEvery: 1000 };
const validation = new Loader({
  ...{ source, purpose: 'evaluate', batch: 2, seed: 0, preprocess: defaultPreprocess },
  ...{ augment: augments.none, strict: true },
});

interface Recording {
  readonly recorder: Recorder;
  readonly folder: TrainingFolder;
  /** Ends an epoch whose weights are marked with its number. */
  readonly epoch: (accuracy: number, loss: number) => Promise<void>;
}

async function recording(more: Partial<RunPlan> = {}, from = plan): Promise<Recording> {
  const executor: Executor = await referenceExecutor.load(step.program);
  initialise(executor, step.model, 0);
  const session = Session.of({ executor, optimizer: step.optimizer });
  const taken = plan.takeFolder();
  const recorder = new Recorder({ ...from, ...more }, session, taken, 2);
  await recorder.start(new AbortController().signal, null);
  let epoch = 0;
  return {
    recorder,
    folder: taken,
    epoch: async (accuracy, loss) => {
      epoch++;
      executor.write('head.bias', Float32Array.of(epoch, 0, 0));
      await recorder.epoch(event(epoch, accuracy, loss), validation);
    },
  };
}

function event(epoch: number, accuracy: number, loss: number): EpochEvent {
  const measured = { accuracy, loss, images: 4 };
  const times = { seconds: 1, waitSeconds: 0 };
  return { event: 'epoch', epoch, step: 2 * epoch, loss: 1, validation: measured, ...times };
}

function result(steps: number, aborted: boolean): TrainResult {
  return { steps, loss: 1, validation: null, msPerStep: 1, aborted };
}

/** The epoch with which a checkpoint is marked. */
function epochOf(name: string): number {
  const { tensors } = readSafetensors(readFileSync(within(name)));
  return tensors.get('head.bias')?.asFloat32()[0] ?? NaN;
}

const recordOf = () => JSON.parse(readFileSync(within('run.json'), 'utf8')) as RunRecord;

describe('the best epoch', () => {
  it('is the one with the highest accuracy, and of equal ones with the lowest loss', async () => {
    const { recorder, epoch, folder: taken } = await recording();
    const best: number[] = [];
    for (const [accuracy, loss] of [
      [0.5, 0.9],
      [0.5, 0.7],
      [0.5, 0.8],
      [0.25, 0.1],
    ]) {
      await epoch(accuracy, loss);
      best.push(epochOf('best.safetensors'));
    }
    expect(best).toEqual([1, 2, 2, 2]);
    expect(recorder.best).toMatchObject({ epoch: 2, loss: 0.7 });
    expect(epochOf('model.safetensors')).toBe(4);
    taken.close();
  });
});

describe('a run that ends', () => {
  it('before its first step leaves nothing', async () => {
    const { recorder, folder: taken } = await recording();
    expect(existsSync(within('run.json'))).toBe(true);
    await recorder.finish(result(0, true));
    taken.close();
    expect(existsSync(path)).toBe(false);
  });

  it('by an interrupt keeps the weights of that moment; behind the last epoch it is done', async () => {
    const { recorder, epoch } = await recording();
    await recorder.finish(result(1, true));
    expect(recordOf()).toMatchObject({ status: 'interrupted', history: [] });
    expect(epochOf('model.safetensors')).toBe(0);
    for (let left = EPOCHS; left > 0; left--) await epoch(0.5, left);
    await recorder.finish(result(8, true));
    expect(recordOf().status).toBe('done');
  });

  it('by an error says what there is', async () => {
    const first = await recording();
    expect(first.recorder.remains).toBe('no weights were saved');
    await first.epoch(0.5, 1);
    await first.epoch(0.5, 1);
    expect(first.recorder.remains).toBe(`${path} keeps the weights after epoch 2`);
    await first.recorder.fail();
    first.folder.close();
    expect(recordOf()).toMatchObject({ status: 'failed', history: [{}, {}] });
    const second = await recording();
    expect(second.recorder.remains).toBe(`the earlier run in ${path} is as it was`);
    await second.recorder.fail();
    second.folder.close();
    expect(recordOf().history).toHaveLength(2);
    expect(epochOf('model.safetensors')).toBe(2);
  });
});

/** Reads a file of a copy that was kept. */
const kept = (name: string, file: string) => epochOf(`checkpoints/${name}/${file}`);

describe('epochs that are shorter than a save may take', () => {
  const often = () => {
    vi.spyOn(performance, 'now').mockImplementation(() => clock.now++); // a call takes 1 ms
    return recording({}, byTime);
  };
  const clock = { now: 0 };
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('are saved once it is time to, and the last one', async () => {
    const { epoch, folder: taken } = await often();
    await epoch(0.5, 1);
    expect(existsSync(within('model.safetensors'))).toBe(false);
    clock.now += 1000;
    await epoch(0.5, 2); // not the best
    expect(recordOf()).toMatchObject({ status: 'running', history: [{}, {}] });
    expect([epochOf('model.safetensors'), epochOf('best.safetensors')]).toEqual([2, 1]);
    await epoch(0.5, 2);
    expect(recordOf().history).toHaveLength(2);
    await epoch(0.5, 2);
    expect(recordOf()).toMatchObject({ status: 'done', history: [{}, {}, {}, {}] });
    expect([epochOf('model.safetensors'), epochOf('best.safetensors')]).toEqual([4, 1]);
    taken.close();
  });

  it('leave the best of them where the run fails', async () => {
    const { recorder, epoch, folder: taken } = await often();
    await epoch(0.5, 1);
    await epoch(0.75, 1);
    await epoch(0.5, 1);
    await recorder.fail();
    expect(recorder.remains).toBe(`${path} keeps the weights after epoch 2`);
    expect(recordOf()).toMatchObject({ status: 'failed', history: [{}, { accuracy: 0.75 }] });
    expect([epochOf('model.safetensors'), epochOf('best.safetensors')]).toEqual([2, 2]);
    taken.close();
  });

  it('are written where an interrupt comes', async () => {
    const { recorder, epoch, folder: taken } = await often();
    await epoch(0.5, 1);
    await epoch(0.5, 2);
    await recorder.finish(result(4, true));
    expect(recordOf()).toMatchObject({ status: 'interrupted', history: [{}, {}] });
    expect([epochOf('model.safetensors'), epochOf('best.safetensors')]).toEqual([2, 1]);
    taken.close();
  });
});

describe('copies that are kept', () => {
  const keeping = () => recording({ settings: { ...plan.settings, keepEvery: 2 } });

  it('are those of every so many epochs and the best one, each a run by itself', async () => {
    const { epoch, folder: taken } = await keeping();
    for (const accuracy of [0.5, 0.75, 0.5, 0.25]) await epoch(accuracy, 1);
    taken.close();
    expect(readdirSync(within('checkpoints')).sort()).toEqual(['best', 'epoch-2', 'epoch-4']);
    expect(kept('best', 'model.safetensors')).toBe(2);
    expect(kept('epoch-2', 'model.safetensors')).toBe(2);
    expect(kept('epoch-4', 'model.safetensors')).toBe(4);
    expect(kept('epoch-4', 'best.safetensors')).toBe(2);
    const status = (name: string) => readRunRecord(within(`checkpoints/${name}`)).status;
    expect([status('epoch-2'), status('epoch-4')]).toEqual(['interrupted', 'done']);
    for (const name of ['', 'checkpoints/best', 'checkpoints/epoch-2']) {
      const sums = execFileSync('sha256sum', ['-c', '--quiet', 'SHA256SUMS'], {
        cwd: within(name),
      });
      expect(sums.toString()).toBe('');
    }
  });

  it('go with the run that another one replaces', async () => {
    const first = await keeping();
    await first.epoch(0.5, 1);
    await first.epoch(0.5, 1);
    first.folder.close();
    const second = await keeping();
    expect(kept('epoch-2', 'model.safetensors')).toBe(2);
    await second.epoch(0.5, 1);
    second.folder.close();
    expect(readdirSync(within('checkpoints'))).toEqual(['best']);
    expect(kept('best', 'model.safetensors')).toBe(1);
  });
});

describe('a disk that takes no more', () => {
  it('is named by the error, leaves nothing half, and is told the end of the run', async () => {
    const { recorder, epoch, folder: taken } = await recording();
    await epoch(0.5, 1);
    const before = readFileSync(within('best.safetensors'));
    mkdirSync(within(`.thimble-writing/best.safetensors.${String(process.pid)}.tmp`), {
      recursive: true,
    });
    await expect(epoch(0.75, 1)).rejects.toThrow(/best\.safetensors: expected a file/);
    expect(recorder.remains).toBe(`${path} keeps the weights after epoch 1`);
    await recorder.fail();
    expect(existsSync(within('.thimble-room'))).toBe(false);
    taken.close();
    expect(readFileSync(within('best.safetensors')).equals(before)).toBe(true);
    expect(recordOf().status).toBe('failed');
  });
});

describe('the record', () => {
  it('comes back where somebody removed it', async () => {
    const { epoch, folder: taken } = await recording();
    await epoch(0.5, 1);
    rmSync(within('run.json'));
    await epoch(0.5, 1);
    taken.close();
    expect(recordOf().history).toHaveLength(2);
    expect(readdirSync(path).sort()).toEqual(
      [
        ...['best.safetensors', 'data.json', 'labels.txt', 'model.safetensors', 'run.json'],
        ...['log.jsonl', 'state.safetensors', 'SHA256SUMS'],
      ].sort(),
    );
  });

  it('is an error that names the file where the folder has gone', async () => {
    const { epoch, folder: taken } = await recording();
    rmSync(path, { recursive: true });
    await expect(epoch(0.5, 1)).rejects.toThrow(FileError);
    await expect(epoch(0.5, 1)).rejects.toThrow(
      `${path}: expected a folder that can be written to`,
    );
    taken.close();
  });

  it('holds no number that JSON has not', async () => {
    const { recorder, folder: taken } = await recording();
    const broken = { ...event(1, 0.5, 1), seconds: NaN };
    await expect(recorder.epoch(broken, validation)).rejects.toThrow(InternalError);
    taken.close();
  });
});
