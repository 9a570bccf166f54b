/**
 * The pure parts of the command: option texts, numbers for people, charts, tallies, run folders.
 */
import {
  BudgetError,
  compile,
  ConfigError,
  DataError,
  evaluate,
  megabytes,
  nullExecutor,
  plannedBytes,
  readSafetensors,
  referenceExecutor,
  sgd,
  TrainingError,
  vit,
  type Executor,
  type VitConfig,
} from '@thimble/core';
import { CommanderError } from 'commander';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, describe, expect, it } from 'vitest';
import { openCheckpoint, saveCheckpoint } from '../src/weights/checkpoint.js';
import { topClasses } from '../src/library/predict.js';
import { distinctTitles } from '../src/say/predictions.js';
import { withinMemory, workersWithinCores } from '../src/host/executors.js';
import { EXIT, exitCodeOf, failureRecord } from '../src/process/failure.js';
import { duration, inNumericOrder, metric, milliseconds, percent } from '../src/terminal/format.js';
import { memoryChart } from '../src/memory/chart.js';
import { trainingTenants } from '../src/memory/map.js';
import { presetModel } from '../src/weights/named-model.js';
import { byteCount, outputPath, numberFor, timeSpan } from '../src/options/readers.js';
import { Output } from '../src/terminal/output.js';
import { predictionsPicture } from '../src/pictures/predictions.js';
import { sayDone, sayInterrupted } from '../src/say/closing.js';
import { checkFree } from '../src/training/folder.js';
import { checkStep, compileStep, parameterCounts } from '../src/step/step.js';
import { element, escapeText, ticks } from '../src/pictures/svg.js';
import { Tally } from '../src/inference/tally.js';
import type { RunSummary } from '../src/training/training.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-parts-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const TINY: VitConfig = {
  family: 'vit',
  imageSize: 8,
  patch: 4,
  channels: 3,
  width: 8,
  depth: 1,
  heads: 2,
  mlpRatio: 2,
  classes: 3,
  pooling: 'token',
  classToken: true,
  layerNormEps: 1e-6,
};

describe('an order of names', () => {
  it('takes numbers for what they are', () => {
    const names = ['a', 'a.b', 'a1', 'a1.b', 'a2', 'a10', 'a10.c', 'b', 'b.0.x', 'b.9.x', 'b.10.w'];
    for (let shift = 0; shift < names.length; shift++) {
      const moved = [...names.slice(shift), ...names.slice(0, shift)].reverse();
      expect(moved.sort(inNumericOrder)).toEqual(names);
    }
    expect(inNumericOrder('a1', 'a1')).toBe(0);
  });
});

describe('option texts', () => {
  it.each([
    ['512MB', 512e6],
    ['1.5 GiB', 1.5 * 2 ** 30],
    ['300kb', 300e3],
    ['2KiB', 2048],
    ['4000', 4000],
    ['7B', 7],
  ])('reads the size %s', (text, bytes) => {
    expect(byteCount(text)).toBe(bytes);
  });

  it.each(['', 'MB', '12 PB', '-1MB', '1e3MB'])('refuses the size "%s"', (text) => {
    expect(() => byteCount(text)).toThrow('Expected a size as in 512MB');
  });

  it.each([
    ['30s', 30e3],
    ['10m', 600e3],
    ['1.5H', 5400e3],
    ['1h30m5s', 5405e3],
  ])('reads the time %s', (text, ms) => {
    expect(timeSpan(text)).toBe(ms);
  });

  it.each(['', '0s', '10', '5d', '-1m', '30m1h'])('refuses the time "%s"', (text) => {
    expect(() => timeSpan(text)).toThrow('Expected a time as in 30s, 10m, 2h or 1h30m.');
  });

  it('refuses to write nowhere', () => {
    expect(outputPath('runs/a')).toBe('runs/a');
    expect(() => outputPath('')).toThrow('Expected a path.');
  });

  it('reads the numbers that an option may be', () => {
    expect(numberFor('epochs')('3')).toBe(3);
    expect(() => numberFor('top')('0')).toThrow('Expected a whole number ≥ 1.');
    expect(() => numberFor('seed')('1.5')).toThrow(CommanderError);
    expect(numberFor('threads')('256')).toBe(256);
    expect(() => numberFor('threads')('257')).toThrow('Expected a whole number ≥ 1 and ≤ 256.');
    expect(() => numberFor('seed')('9007199254740993')).toThrow(CommanderError);
    expect(numberFor('valFraction')('0.2')).toBe(0.2);
    expect(() => numberFor('valFraction')('0')).toThrow('Expected a number above 0 and below 1.');
    expect(() => numberFor('valFraction')('1')).toThrow(CommanderError);
    expect(numberFor('lr')('1e-3')).toBe(0.001);
    expect(numberFor('lr')(' .5')).toBe(0.5);
    expect(() => numberFor('lr')('0')).toThrow('Expected a number > 0.');
    expect(() => numberFor('momentum')('1')).toThrow('Expected a number from 0 to below 1.');
  });

  it.each(['', ' ', 'NaN', 'Infinity', '1e999', '0x10', '1_000', '1,5', '.'])(
    'takes "%s" for no number',
    (text) => {
      expect(() => numberFor('lr')(text)).toThrow('Expected a number > 0.');
    },
  );
});

describe('numbers for people', () => {
  it('keeps three digits', () => {
    expect(percent(0.93124)).toBe('93.1 %');
    expect(percent(NaN)).toBe('–');
    expect([950, 5_717_416, 62.4e9].map(metric)).toEqual(['950', '5.72 M', '62.4 G']);
    expect([0.1234, 12.345, 436.2].map(milliseconds)).toEqual(['0.123 ms', '12.3 ms', '436 ms']);
    expect([4.25, 42, 75.2].map(duration)).toEqual(['4.3 s', '42 s', '1 min 15 s']);
  });

  it('finds round ticks', () => {
    expect(ticks(291, 6)).toEqual([0, 50, 100, 150, 200, 250]);
    expect(ticks(0.9, 4)).toHaveLength(2);
    expect(ticks(0, 4)).toEqual([0]);
  });
});

describe('failures', () => {
  it('carries the parts of an error and the exit code', () => {
    const parts = { where: '--out x', expected: 'a', got: 'b', todo: 'Do c' };
    const error = new ConfigError(parts);
    expect(exitCodeOf(error)).toBe(EXIT.usage);
    expect(exitCodeOf(new BudgetError(parts))).toBe(EXIT.failed);
    expect(failureRecord(error, EXIT.usage)).toEqual({
      event: 'error',
      name: 'ConfigError',
      message: '--out x: expected a, got b. Do c.',
      ...parts,
      exitCode: 2,
    });
  });

  it('names the flags of the options that the library advises to change', () => {
    const parts = { where: 'training set', expected: 'a', got: 'b', todo: 'Lower the batch' };
    const error = new BudgetError({ ...parts, options: ['batch', 'budget'] });
    expect(error.message).toBe('training set: expected a, got b. Lower the batch.');
    expect(failureRecord(error, EXIT.failed)).toEqual({
      event: 'error',
      name: 'BudgetError',
      message: 'training set: expected a, got b. Lower the batch (--batch, --memory).',
      ...parts,
      todo: 'Lower the batch (--batch, --memory)',
      exitCode: 1,
    });
  });
});

describe('closing words', () => {
  const summary: RunSummary = {
    ...{ accuracy: 0.5, loss: 1, trainLoss: 1, steps: 8, msPerStep: 20, plannedBytes: 2e6 },
    ...{ arenaBytes: 1e6, rssPeakBytes: 3e6, budgetBytes: null, executor: 'native', threads: 1 },
    ...{ executorDetail: 'avx2', epochs: 2, bestAccuracy: 0.5, bestEpoch: 1, seconds: 4 },
    ...{ skipped: 0, saveSeconds: 0, waitSeconds: 0.1, run: "Ann's run" },
  };
  /** Lines and events that `say` says. */
  function said(say: (output: Output) => void): readonly unknown[] {
    const lines: unknown[] = [];
    const output = new Output(false);
    output.line = (text) => lines.push(text ?? '');
    output.event = (name, fields) => lines.push({ event: name, ...fields });
    say(output);
    return lines;
  }

  it('name the best epoch where it is not the last, and quote what is to be copied', () => {
    const [event, , result, cost, saved] = said((output) => {
      sayDone(summary, output);
    });
    expect(event).toEqual({ event: 'done', ...summary });
    expect(result).toBe('Validation accuracy 50.0 %, loss 1.0000 (best: 50.0 % after epoch 1)');
    expect(cost).toBe(
      '20.0 ms per step, 4.0 s in all; memory: 2.00 MB planned, 3.00 MB process at most',
    );
    expect(saved).toBe(`Saved in Ann's run; try: thimble predict 'Ann'\\''s run' IMAGE`);
  });

  it('of an interrupted run promise no more than there is', () => {
    const words = (steps: number, isResumable: boolean) =>
      said((output) => {
        sayInterrupted({ ...summary, steps }, isResumable, output);
      });
    const [event, ...lines] = words(0, true);
    expect(event).toMatchObject({ event: 'interrupted', run: null, steps: 0 });
    expect(lines).toEqual(['', 'Interrupted before the first step; nothing was saved.']);
    expect(words(1, true).slice(2)).toEqual([
      "Interrupted after 1 step; the weights are saved in Ann's run.",
      expect.stringContaining('20.0 ms per step'),
      "To go on: thimble resume 'Ann'\\''s run'",
    ]);
    expect(words(1, false)).toHaveLength(4);
  });
});

describe('run folder', () => {
  it('takes new and empty folders only', () => {
    const path = join(folder, 'out');
    checkFree(path, false);
    mkdirSync(path);
    checkFree(path, false);
    writeFileSync(join(path, 'notes'), '');
    expect(() => {
      checkFree(path, false);
    }).toThrow('expected a new or empty folder, got 1 files');
    checkFree(path, true);
  });
});

describe('the machine', () => {
  it('is not asked for more memory than it has', async () => {
    const program = compile({ model: (batch) => vit(TINY, { batch }), batch: 2, optimizer: sgd() });
    const bytes = plannedBytes(program, 2);
    const executor = await withinMemory(nullExecutor, bytes).load(program, { threads: 2 });
    await executor.dispose();
    const load = () => withinMemory(nullExecutor, bytes - 1).load(program, { threads: 2 });
    expect(load).toThrow(BudgetError);
    expect(load).toThrow(
      /^executor null: expected a program within the \S+ GB of this machine, got/,
    );
  });

  it('has a worker for each core at most, and says so', () => {
    const notes: string[] = [];
    const within = (asked: number) => workersWithinCores(asked, (text) => notes.push(text));
    const cores = availableParallelism();
    expect([within(0), within(cores), within(cores + 98)]).toEqual([0, cores, cores]);
    expect(notes).toEqual([
      `--workers ${String(cores + 98)}: taking ${String(cores)}, one for each core.`,
    ]);
  });
});

describe('checkpoints', () => {
  const path = join(folder, 'model.safetensors');
  const model = vit(TINY, { batch: 1 });
  const loaded = (): Promise<Executor> =>
    referenceExecutor.load(compile({ model: (batch) => vit(TINY, { batch }), batch: 1 }));

  it('come back tensor by tensor', async () => {
    const executor = await loaded();
    executor.write('head.bias', Float32Array.of(1, -2, 0.5));
    await saveCheckpoint(path, executor, model, new Map([['model', 'tiny']]));
    const checkpoint = openCheckpoint(path);
    expect([...checkpoint.read('head.bias')]).toEqual([1, -2, 0.5]);
    expect(checkpoint.shapes.get('pos_embed')).toEqual([1, 5, 8]);
    checkpoint.close();
    expect(readSafetensors(readFileSync(path)).metadata.get('model')).toBe('tiny');
  });

  it('are left alone when a value is not finite, and leave nothing else behind', async () => {
    const before = readFileSync(path);
    const executor = await loaded();
    executor.write('head.bias', Float32Array.of(1, NaN, 0));
    const saving = saveCheckpoint(path, executor, model, new Map());
    await expect(saving).rejects.toThrow(TrainingError);
    await expect(saving).rejects.toThrow('tensor head.bias: expected finite values, got NaN');
    expect(readFileSync(path).equals(before)).toBe(true);
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('say which file and what is wrong with it', () => {
    writeFileSync(join(folder, 'text'), 'not a checkpoint at all');
    expect(() => openCheckpoint(join(folder, 'text'))).toThrow(join(folder, 'text'));
    expect(() => openCheckpoint(folder)).toThrow('expected a safetensors file, got a folder');
    expect(() => openCheckpoint(join(folder, 'none'))).toThrow(
      'expected a safetensors file, got nothing at this path',
    );
  });
});

describe('memory of a step', () => {
  const model = presetModel('vit-micro', { classes: 10 });
  const fixed = { model, method: 'last-k=2', saved: 'exact', optimizer: 'sgd' };
  const step = { ...fixed, batch: 4, smoothing: 0 };
  const whole = compileStep(checkStep({ ...step, microBatches: 1 }));
  const passes = compileStep(checkStep({ ...step, microBatches: 2 }));

  it('gives every byte to one tensor at a time', () => {
    for (const { program } of [whole, passes]) {
      const { tenants, steps } = trainingTenants(program);
      for (let now = 0; now < steps; now++) {
        const live = tenants
          .filter(({ first, last, bytes }) => first <= now && now <= last && bytes > 0)
          .sort((a, b) => a.offset - b.offset);
        live.forEach(({ offset, bytes }, index) => {
          const end = live[index + 1]?.offset ?? program.arenaBytes;
          expect(offset + bytes).toBeLessThanOrEqual(end);
        });
      }
    }
  });

  it('names the phases', () => {
    const names = (setup: typeof whole) => trainingTenants(setup.program).phases.map((p) => p.name);
    expect(names(whole)).toEqual(['forward', 'backward']);
    expect(names(passes)).toEqual(['forward', 'backward', 'apply']);
  });

  it('is drawn with a rectangle for every tensor and the planned peak', async () => {
    const svg = memoryChart(whole.program, { title: 'a < b', threads: 2 });
    const owners = trainingTenants(whole.program).tenants.filter(({ bytes }) => bytes > 0);
    expect(svg.match(/<title>/g)).toHaveLength(owners.length + 1); // and the threads' scratch
    expect(svg).toContain('a &lt; b');
    expect(svg).toContain(`peak ${megabytes(plannedBytes(whole.program, 2))}`);
    sharp.unblock({ operation: ['VipsForeignLoadSvg'] }); // no data set's images are drawings
    const { info } = await sharp(Buffer.from(svg)).raw().toBuffer({ resolveWithObject: true });
    expect([info.width, info.height]).toEqual([1080, 640]);
  });

  it('counts what trains', () => {
    const { parameters, trainable } = parameterCounts(whole.model);
    const block = 12 * 128 * 128 + 13 * 128; // qkv, proj, fc1, fc2 with biases, two norms
    expect(trainable).toBe(2 * block + 2 * 128 + 128 * 10 + 10);
    expect(parameters).toBeGreaterThan(6 * block);
  });
});

describe('pictures and texts', () => {
  it('escapes what it puts into markup', () => {
    expect(element('a', { b: '"<', c: 1.234 }, 'x')).toBe('<a b="&quot;&lt;" c="1.23">x</a>');
    expect(escapeText('a\u001b[31m\u0000\nb\ud800\uffff&')).toBe(
      'a\\x1b[31m\\x00\\nb\ufffd\ufffd&amp;',
    );
  });

  it('draws a grid with green and red frames', async () => {
    const data = new Uint8Array(3 * 4 * 4).fill(200);
    const image = { width: 4, height: 4, channels: 3, data } as const;
    const one = { image, truth: 'ring', probability: 0.9 };
    const predictions = [
      { ...one, predicted: 'ring' },
      { ...one, predicted: 'star & cross\u0007' },
    ];
    const png = await predictionsPicture(predictions, 2, 'Title');
    const picture = sharp(png).removeAlpha().raw();
    const { data: pixels, info } = await picture.toBuffer({ resolveWithObject: true });
    const colourAt = (x: number, y: number) => [
      ...pixels.subarray(3 * (y * info.width + x)).subarray(0, 3),
    ];
    expect(colourAt(20, 56)).toEqual([0x2e, 0x7d, 0x32]);
    expect(colourAt(20 + 138 + 18, 56)).toEqual([0xc6, 0x28, 0x28]);
    expect(colourAt(80, 120)).toEqual([200, 200, 200]);
    const captions = pixels.subarray(3 * info.width * (54 + 138));
    expect(captions.some((level) => level < 100)).toBe(true); // text was drawn
  });

  it('orders classes by probability', () => {
    const [first, second] = topClasses(Float32Array.of(0, 2, 1), ['a', 'b', 'c'], 2);
    expect([first.name, second.name]).toEqual(['b', 'c']);
    expect([first.index, second.index]).toEqual([1, 2]);
    expect(first.probability).toBeCloseTo(Math.E ** 2 / (1 + Math.E + Math.E ** 2), 6);
  });
});

describe('titles of classes', () => {
  it('tell equal names from each other and stay in a line', () => {
    expect(distinctTitles(['crane', 'rose', 'crane', 'a\nb\u001b[2J'])).toEqual([
      'crane (output 0)',
      'rose',
      'crane (output 2)',
      'a\\nb\\x1b[2J',
    ]);
  });
});

describe('tally', () => {
  it('agrees with evaluate on accuracy and loss', async () => {
    const program = compile({ model: (batch) => vit(TINY, { batch }), batch: 4, optimizer: sgd() });
    const executor = await nullExecutor.load(program);
    const logits = Float32Array.of(3, 1, 0, -200, 90, 0, 0.5, 0.4, 0.3, 1, 1, 1);
    const labels = Int32Array.of(0, 0, 2, 0);
    const fixed: Executor = {
      sumsHold: () => undefined,
      ...executor,
      write: () => undefined,
      run: () => Promise.resolve(),
      read: () => Promise.resolve(logits),
    };
    const expected = await evaluate(fixed, [{ images: new Float32Array(0), labels, real: 3 }]);
    const tally = new Tally(['a', 'b', 'c'].map((name, output) => ({ name, outputs: [output] })));
    for (let row = 0; row < 3; row++) tally.add(logits.subarray(3 * row, 3 * row + 3), labels[row]);
    expect(tally.accuracy).toBe(expected.accuracy);
    expect(tally.loss).toBeCloseTo(expected.loss, 10);
    expect(tally.perClass).toEqual([
      { name: 'a', images: 2, correct: 1 },
      { name: 'b', images: 0, correct: 0 },
      { name: 'c', images: 1, correct: 0 },
    ]);
  });

  it('counts nothing of an image whose class the model does not know', () => {
    const tally = new Tally([
      { name: 'a', outputs: [0] },
      { name: 'b', outputs: [1] },
      { name: 'elsewhere', outputs: [2] },
    ]);
    for (const label of [2, 3, -1]) {
      expect(() => tally.add(Float32Array.of(1, 2), label)).toThrow(DataError);
    }
    tally.add(Float32Array.of(1, 2), 1);
    expect(tally).toMatchObject({ total: 1, accuracy: 1 });
    expect(tally.loss).toBeCloseTo(Math.log(1 + Math.exp(-1)), 14);
  });

  it('takes any output of a class for right, and adds their probabilities', () => {
    const tally = new Tally([
      { name: 'crane', outputs: [0, 2] },
      { name: 'rose', outputs: [1] },
    ]);
    const [first, rose, second] = [1, 2, 3].map((score) => Math.exp(score));
    const sum = first + rose + second;
    tally.add(Float32Array.of(1, 2, 3), 0);
    expect(tally).toMatchObject({ total: 1, accuracy: 1 });
    expect(tally.loss).toBeCloseTo(-Math.log((first + second) / sum), 6);
    tally.add(Float32Array.of(1, 2, 3), 1);
    expect(tally).toMatchObject({ total: 2, accuracy: 0.5 });
    expect(tally.perClass).toEqual([
      { name: 'crane', images: 1, correct: 1 },
      { name: 'rose', images: 1, correct: 0 },
    ]);
  });
});
