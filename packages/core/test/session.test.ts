/** The session: when entries on a cue run, what crosses from phase to phase, and going on from a snapshot. */
import { describe, expect, it } from 'vitest';
import { compile, compilePhases } from '../src/compile.js';
import { ConfigError, FormatError } from '../src/errors.js';
import type { Executor } from '../src/executors/executor.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { EMPTY_GRAPH } from '../src/ir/graph.js';
import { f32 } from '../src/ir/types.js';
import { head } from '../src/methods/head.js';
import { METHODS, parseMethod } from '../src/methods/index.js';
import { bind, type BoundMethod, type Method } from '../src/methods/method.js';
import { accumulate } from '../src/ops/accumulate.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { sgd } from '../src/optim/sgd.js';
import { parseProgram, serializeProgram } from '../src/program-file.js';
import { printProgram, type Cue, type Program } from '../src/program.js';
import * as schema from '../src/schema/index.js';
import { train } from '../src/train/loop.js';
import { Session } from '../src/train/session.js';
import { progressReader, type Snapshot } from '../src/train/snapshot.js';
import { initialise } from '../src/train/weights.js';
import { FAST_EXECUTORS } from './executors.js';
import { fixedBatch, modelOf, started, SMALL } from './tiny-vit.js';

const model = modelOf(SMALL);
const optimizer = sgd({ momentum: 0.9 });
const schedule = (step: number) => 0.05 / (1 + step);
/** Two batches an epoch, other ones in each. */
const batches = (epoch: number) => [0, 1].map((index) => fixedBatch(SMALL, 3, 2 * epoch + index));

function made<C>(parts: Partial<Method<C>>, config: C): BoundMethod {
  const whole = { name: 'made', summary: '', usage: 'made', print: () => 'made' };
  return bind({ ...whole, parse: () => config, neutral: () => null, ...parts }, config);
}

/** Counts its runs in the state `ticks`. */
function ticking(cue: Cue): BoundMethod {
  const builder = new GraphBuilder(EMPTY_GRAPH);
  const acc = builder.state('ticks', f32());
  builder.emit(accumulate, { acc, x: builder.constant(f32(), 1) }, {}, 'tick');
  const graph = builder.build({});
  return made({ entries: () => [{ name: 'ticker', graph, cue }] }, null);
}

describe('an entry on a cue', () => {
  it.each([
    ['start', { at: 'start' }, 1],
    ['every second step', { at: 'steps', every: 2 }, 3],
    ['every step', { at: 'steps', every: 1 }, 6],
    ['every epoch', { at: 'epoch' }, 3],
  ] as const)('runs at its time: %s', async (_title, cue, ticks) => {
    for (const microBatches of [1, 2]) {
      const method = ticking(cue);
      const program = compile({ model, method, optimizer, batch: 3, microBatches });
      const executor = await started(referenceExecutor, program, model(3));
      const passes = (epoch: number) => batches(epoch).flatMap((batch) => [batch, batch]);
      const given = microBatches === 1 ? batches : passes;
      await train({ executor, optimizer, schedule, epochs: 3, batches: given });
      expect([...(await executor.read('ticks'))]).toEqual([ticks]);
    }
  });

  it('is part of the program: its text, its file and its checks', () => {
    const program = compile({
      ...{ model, method: ticking({ at: 'steps', every: 2 }), optimizer, batch: 3 },
    });
    expect(printProgram(program)).toContain('entry ticker, every 2 steps\n');
    expect(parseProgram(serializeProgram(program))).toEqual(program);
    const { training } = program;
    if (!training) throw new Error('no training');
    const changed = (cues: object): Program => ({
      ...program,
      training: { ...training, ...cues },
    });
    expect(() => parseProgram(serializeProgram(changed({ cues: {} })))).toThrow(
      'the entry ticker without a cue',
    );
    const stranger = { cues: { ...training.cues, other: { at: 'epoch' } } };
    expect(() => parseProgram(serializeProgram(changed(stranger)))).toThrow(
      'a cue for the entry other, which is none',
    );
    expect(() => parseProgram(serializeProgram(changed({ rates: { head: 2 } })))).toThrow(
      'a rate of the group head, which nothing reads',
    );
  });
});

/** Everything trains in the first epoch, the classifier alone from then on. */
const narrowing = made<boolean>(
  {
    forward: (graph, headOnly) => (headOnly ? (head.forward?.(graph, null) ?? graph) : graph),
    phases: (headOnly) => (headOnly ? [] : [{ from: 2, config: true }]),
  },
  false,
);

describe('phases', () => {
  const options = { model, method: narrowing, optimizer, batch: 3 };

  it('carries weights and moments over, and trains by the next program', async () => {
    const session = await Session.start({
      ...{ phases: compilePhases(options), kind: referenceExecutor, optimizer },
    });
    initialise(session.executor, model(3), 1);
    await session.beginEpoch(1);
    for (const batch of batches(0)) await session.add(batch, 0.1);
    const before = session.executor;
    const kept = ['norm.weight', 'head.weight', 'head.weight.velocity'];
    const values = await Promise.all(kept.map((name) => before.read(name)));
    await session.beginEpoch(2);
    expect(session.executor).not.toBe(before);
    await expect(before.run('step')).rejects.toThrow('disposed');
    expect(await Promise.all(kept.map((name) => session.executor.read(name)))).toEqual(values);
    for (const batch of batches(1)) await session.add(batch, 0.1);
    const after = await Promise.all(kept.map((name) => session.executor.read(name)));
    expect(after[0]).toEqual(values[0]);
    expect(after[1]).not.toEqual(values[1]);
    expect(session.step).toBe(4);
    await session.dispose();
  });

  it('takes what carry makes of a tensor, and nothing for null', async () => {
    const [first, second] = compilePhases(options);
    const carry = (name: string, data: Parameters<NonNullable<typeof second.carry>>[1]) =>
      name === 'head.weight.velocity' ? null : data.map((x) => 2 * x);
    const session = await Session.start({
      ...{ phases: [first, { ...second, carry }], kind: referenceExecutor, optimizer },
    });
    initialise(session.executor, model(3), 1);
    await session.beginEpoch(1);
    await session.add(batches(0)[0], 0.1);
    const weight = await session.executor.read('head.weight');
    await session.beginEpoch(2);
    expect(await session.executor.read('head.weight')).toEqual(weight.map((x) => 2 * x));
    expect(new Set(await session.executor.read('head.weight.velocity'))).toEqual(new Set([0]));
  });

  it('refuses phases that do not rise from epoch 1', async () => {
    const [first, second] = compilePhases(options);
    for (const phases of [[], [second], [first, first]]) {
      const start = Session.start({ phases, kind: referenceExecutor, optimizer });
      await expect(start).rejects.toThrow(ConfigError);
    }
  });
});

/** Three passes an epoch: with two micro-batches an update begins in one epoch and ends in the next. */
const passes = (epoch: number) => [0, 1, 2].map((index) => fixedBatch(SMALL, 3, 3 * epoch + index));
const PASSES = 3;

/** Stops the loop behind pass number `stop` of the whole run. */
async function trainUntil(session: Session, stop: number): Promise<void> {
  const controller = new AbortController();
  await train({
    ...{ session, schedule, epochs: 2, signal: controller.signal },
    batches: function* (epoch, from) {
      for (const [index, batch] of passes(epoch).entries()) {
        if (index < from) continue;
        if (PASSES * epoch + index + 1 === stop) controller.abort();
        yield batch;
      }
    },
  });
}

/** As a file keeps it. */
function written({ progress, tensors }: Snapshot): Snapshot {
  const document = { file: 'progress', error: FormatError, todo: '' };
  const text = JSON.stringify(progress);
  return { progress: schema.read(text, progressReader, document), tensors };
}

describe.each([referenceExecutor, ...FAST_EXECUTORS.slice(-1)])('a snapshot on $name', (kind) => {
  it.each(Object.keys(METHODS))('goes on to the same bits behind any pass: %s', async (name) => {
    const method = parseMethod(name);
    for (const microBatches of [1, 2]) {
      const program = compile({ model, method, optimizer, batch: 3, microBatches });
      const executors: Executor[] = [];
      const begin = async () => {
        const executor = await started(kind, program, method.forward(model(3)));
        executors.push(executor);
        return Session.of({ executor, optimizer, seed: 7 });
      };
      const whole = await begin();
      await trainUntil(whole, Infinity);
      const all = await whole.snapshot();
      expect(all.progress.step).toBe((2 * PASSES) / microBatches);
      for (let stop = 1; stop < 2 * PASSES; stop++) {
        const first = await begin();
        await trainUntil(first, stop);
        const second = await begin();
        await second.restore(written(await first.snapshot()));
        await trainUntil(second, Infinity);
        expect(await second.snapshot()).toEqual(all);
      }
      for (const executor of executors) await executor.dispose();
    }
  });

  it('goes on in a later phase', async () => {
    const phases = compilePhases({ model, method: narrowing, optimizer, batch: 3 });
    const begin = () => Session.start({ phases, kind, optimizer });
    const whole = await begin();
    initialise(whole.executor, model(3), 1);
    const snapshots: Snapshot[] = [];
    const onEvent = async () => {
      snapshots.push(await whole.snapshot());
    };
    await train({ session: whole, schedule, epochs: 3, batches, onEvent });
    const last = snapshots.at(-1);
    for (const snapshot of snapshots) {
      const second = await begin();
      await second.restore(written(snapshot));
      await train({
        session: second,
        schedule,
        epochs: 3,
        batches: (epoch, from) => batches(epoch).slice(from),
      });
      expect(await second.snapshot()).toEqual(last);
      await second.dispose();
    }
    await whole.dispose();
  });

  it('is of its own programs and seed', async () => {
    const program = compile({ model, optimizer, batch: 3, microBatches: 2 });
    const executor = await started(kind, program, model(3));
    const session = Session.of({ executor, optimizer, seed: 1 });
    const snapshot = await session.snapshot();
    const other = Session.of({ executor, optimizer, seed: 2 });
    await expect(other.restore(snapshot)).rejects.toThrow('expected seed 2, got seed 1');
    const less = { ...snapshot, tensors: snapshot.tensors.slice(1) };
    await expect(session.restore(less)).rejects.toThrow('got none of its type');
    const { progress } = snapshot;
    const more = { ...snapshot, progress: { ...progress, pending: [1, 2] } };
    await expect(session.restore(more)).rejects.toThrow('less than 2 micro-batches');
    expect(() => written({ ...snapshot, progress: { ...progress, passes: 1 } })).toThrow(
      'passes: expected 0 after an epoch, got 1',
    );
    await executor.dispose();
  });
});
