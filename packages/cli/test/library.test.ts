/** The library as programs call it: typed events, a signal, results; nothing is printed, no signal is listened to. */
import { DataError, type TrainEvent } from '@thimble/core';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import {
  evaluate,
  exportModel,
  forget,
  info,
  plan,
  predict,
  resume,
  train,
  undoForgetting,
  type LibraryEvent,
  type TrainingOptions,
} from '@thimble/cli';
import { readBytes } from '../src/host/files.js';
import { writeClasses } from './cli-command.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-library-'));
const photos = join(folder, 'photos');
const at = (name: string) => join(folder, name);
const weightsOf = (run: string) => readBytes(join(at(run), 'model.safetensors'), 'weights');
const SMALL: TrainingOptions = {
  ...{ data: photos, model: 'vit-micro', init: 'random', imageSize: 16, batch: 4, epochs: 2 },
  ...{ threads: 1, executor: 'wasm', cache: false },
};
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const listened = () => SIGNALS.map((name) => process.listenerCount(name));

let before: readonly number[];
let events: LibraryEvent[];
const onEvent = (event: LibraryEvent) => {
  events.push(event);
};
const told = () => [...new Set(events.map(({ event }) => event))];

beforeAll(async () => {
  await writeClasses(photos, ['blue', 'red'], 6);
});

beforeEach(() => {
  events = [];
  before = listened();
  vi.spyOn(process.stdout, 'write');
  vi.spyOn(process.stderr, 'write');
});

afterEach(() => {
  expect(process.stdout.write).not.toHaveBeenCalled();
  expect(process.stderr.write).not.toHaveBeenCalled();
  vi.restoreAllMocks();
  expect(listened()).toEqual(before);
  expect(process.exitCode).toBe(undefined);
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

it('trains, and says what happens in order', { timeout: 240_000 }, async () => {
  const outcome = await train({ ...SMALL, out: at('whole') }, { onEvent });
  expect(told()).toEqual(['data', 'weights', 'writing', 'start', 'step', 'epoch', 'written']);
  const epochs = events.filter((event): event is TrainEvent => event.event === 'epoch');
  expect(outcome.status).toBe('done');
  expect(outcome.summary).toMatchObject({ run: at('whole'), epochs: epochs.length, steps: 4 });
});

it('ends behind the update at which a signal aborts, and goes on to the same bits', async () => {
  const stop = new AbortController();
  const cut = await train(
    { ...SMALL, out: at('cut') },
    {
      signal: stop.signal,
      onEvent: (event) => {
        if (event.event === 'step') stop.abort();
      },
    },
  );
  expect(cut).toMatchObject({ status: 'interrupted', summary: { steps: 1 } });
  const rest = await resume({ run: at('cut'), threads: 1, cache: false }, { onEvent });
  expect(rest).toMatchObject({ status: 'done', summary: { steps: 4 } });
  expect(events[0]).toEqual({ event: 'resumed', run: at('cut'), epoch: 1, step: 1 });
  expect(weightsOf('cut')).toEqual(weightsOf('whole'));
  expect(await resume({ run: at('cut'), cache: false })).toMatchObject({ status: 'nothingToDo' });
});

it('throws the reason of a signal that aborts before there is a run, and leaves nothing', async () => {
  const reason = new Error('not now');
  const signal = AbortSignal.abort(reason);
  await expect(train({ ...SMALL, out: at('never') }, { signal })).rejects.toBe(reason);
  const late = new AbortController();
  const aborting = (event: LibraryEvent) => {
    if (event.event === 'weights') late.abort(reason);
  };
  const hooks = { signal: late.signal, onEvent: aborting };
  await expect(train({ ...SMALL, out: at('never') }, hooks)).rejects.toBe(reason);
  expect(existsSync(at('never'))).toBe(false);
});

it('waits for a listener, and ends with what it throws', async () => {
  const order: string[] = [];
  const slow = async ({ event }: LibraryEvent) => {
    if (event !== 'step') return;
    order.push('heard');
    await new Promise((resolve) => setTimeout(resolve, 20));
    order.push('done');
  };
  await train({ ...SMALL, epochs: 1, out: at('slow') }, { onEvent: slow });
  expect(order).toEqual(['heard', 'done', 'heard', 'done']);
  const failing = (event: LibraryEvent) =>
    event.event === 'step' ? Promise.reject(new Error('of the listener')) : undefined;
  const failed = train({ ...SMALL, out: at('failed') }, { onEvent: failing });
  await expect(failed).rejects.toThrow('of the listener');
});

it('measures and classifies, and stops when asked to', { timeout: 240_000 }, async () => {
  const run = at('whole');
  const measured = await evaluate({ run, data: photos, threads: 1 }, { onEvent });
  expect(measured).toMatchObject({ images: 12, skipped: [], perClass: [{ images: 6 }, {}] });
  expect(told()).toEqual(['heldOutData', 'progress']);
  const images = [join(photos, 'red/0.png'), at('none.png')];
  const { predictions, failed, unread } = await predict({ run, images, top: 2 }, { onEvent });
  expect(predictions).toMatchObject([{ image: images[0], classes: [{}, {}] }]);
  expect({ failed, unread }).toMatchObject({ failed: 1, unread: [{ name: at('none.png') }] });
  const kept = await predict({ run, images: [photos], collect: false }, { onEvent });
  expect(kept).toMatchObject({ predictions: [], images: 12 });
  expect(events.filter(({ event }) => event === 'prediction')).toHaveLength(13);
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(evaluate({ run, data: photos }, { signal })).rejects.toThrow('enough');
  await expect(predict({ run, images: [photos] }, { signal })).rejects.toThrow('enough');
});

it('plans, looks into a run, exports, forgets and undoes', { timeout: 240_000 }, async () => {
  const run = at('whole');
  const { peakBytes, threads } = await plan({ model: 'vit-micro', batch: 4, threads: 2 });
  expect({ big: peakBytes > 1e6, threads }).toEqual({ big: true, threads: 2 });
  expect(await info({ what: run })).toMatchObject({ run: { folder: run } });
  const out = at('exported');
  const exported = await exportModel({ run, out, format: 'safetensors', check: false });
  expect(exported.files).toMatchObject([{ format: 'safetensors', agreement: null }]);
  const weights = weightsOf('whole');
  const { undoBytes } = await forget({ run, class: 'red', alpha: 1.1, threads: 1 }, { onEvent });
  expect(undoBytes).toBeGreaterThan(0);
  expect(told()).toEqual(['writing', 'data', 'progress', 'written']);
  expect(weightsOf('whole')).not.toEqual(weights);
  expect(await undoForgetting({ run })).toMatchObject({ undone: [{ class: 'red' }] });
  expect(weightsOf('whole')).toEqual(weights);
});

it('throws what is wrong as an error with four parts', async () => {
  const nothing = train({ ...SMALL, data: at('nowhere'), out: at('never') });
  await expect(nothing).rejects.toHaveProperty('parts.where');
  await expect(train({ ...SMALL, batch: 100, out: at('never') })).rejects.toBeInstanceOf(DataError);
});
