/**
 * --memory through the command: what is left open is chosen for the bytes of the whole process, said,
 * kept with the run and taken up again. Needs the compiled command (npm run build).
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WrittenRun } from '../src/run/record.js';
import {
  jsonLines,
  lastLine,
  thimble,
  writeClasses,
  type Ended,
  type JsonLine,
} from './cli-command.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-memory-'));
const CLASSES = ['blue', 'green', 'red'];
const TRAIN = [
  ...['--model', 'vit-tiny-16', '--image-size', '96', '--threads', '1', '--batch', '16'],
  ...['--augment', 'none', '--val', 'held', '--epochs', '1', '--lr', '0.001'],
];
const LIMIT = 120_000;

const run = (...args: string[]) => thimble(args, folder);
const train = (...args: string[]) => run('train', 'photos', ...TRAIN, ...args, '--json');
const path = (...parts: string[]) => join(folder, ...parts);
const recordOf = (name: string) =>
  JSON.parse(readFileSync(path(name, 'run.json'), 'utf8')) as WrittenRun;

interface BudgetLine extends JsonLine {
  readonly budget: number;
  readonly besidePlan: number;
  readonly saved: string;
  readonly microBatches: number;
  readonly givenUp: readonly string[];
}

function budgetOf(ended: Ended): BudgetLine {
  const event = jsonLines(ended).find(({ event: name }) => name === 'budget');
  expect(event, ended.stdout + ended.stderr).toBeDefined();
  return event as BudgetLine;
}

/** The end of a run, whose plan has to fit beside the process, and the process the budget. */
function endWithin(ended: Ended) {
  const done = lastLine(ended);
  expect(done.event, ended.stdout + ended.stderr).toBe('done');
  const { budget, besidePlan } = budgetOf(ended);
  expect(done['plannedBytes']).toBeLessThanOrEqual(budget - besidePlan);
  expect(done['rssPeakBytes']).toBeLessThanOrEqual(budget);
  expect(done['budgetBytes']).toBe(budget);
  return done;
}

/** Bytes that the process of `full` takes beside its plan here. */
let beside = 0;
let planned = 0;

beforeAll(async () => {
  await writeClasses(path('photos'), CLASSES, 8);
  await writeClasses(path('held'), CLASSES, 3);
  const ended = await train('--memory', '2GB', '--out', 'free');
  const done = endWithin(ended);
  beside = budgetOf(ended).besidePlan;
  planned = Number(done['plannedBytes']);
}, LIMIT);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('train --memory', () => {
  it('gives nothing up where everything fits', () => {
    expect(recordOf('free')).toMatchObject({ saved: 'exact', microBatches: 1, method: 'full' });
    expect(recordOf('free').memory).toMatchObject({ budget: 2e9, givenUp: [] });
  });

  it(
    'chooses the form of saved tensors, and stays within the bytes',
    async () => {
      const bytes = Math.floor(beside + 0.9 * planned);
      const ended = await train('--memory', String(bytes), '--out', 'less');
      endWithin(ended);
      const { saved, givenUp } = budgetOf(ended);
      expect(saved).not.toBe('exact');
      expect(givenUp[0]).toBe(`saved exact → ${saved}`);
      const record = recordOf('less');
      expect(record).toMatchObject({ saved, memory: { budget: bytes, givenUp } });
    },
    LIMIT,
  );

  it(
    'leaves alone what was said, and cuts the batch',
    async () => {
      const bytes = Math.floor(beside + 0.9 * planned);
      const ended = await train('--memory', String(bytes), '--saved', 'exact', '--out', 'cut');
      endWithin(ended);
      const { saved, microBatches, givenUp } = budgetOf(ended);
      expect(saved).toBe('exact');
      expect(microBatches).toBeGreaterThan(1);
      expect(givenUp).toEqual([`micro-batches 1 → ${String(microBatches)}`]);
      expect(recordOf('cut')).toMatchObject({ microBatches, batch: 16 });
    },
    LIMIT,
  );

  it(
    'fits the ranks that are found, which a continued run takes up',
    async () => {
      const bytes = Math.floor(beside + 0.9 * planned + 60e6);
      const wasi = ['--init', 'free', '--method', 'wasi'];
      const ended = await train('--memory', String(bytes), ...wasi, '--out', 'wasi');
      endWithin(ended);
      const { ranks, saved, microBatches } = recordOf('wasi');
      expect(Object.keys(ranks?.weights ?? {}).length).toBeGreaterThan(0);
      const more = await train('--init', 'wasi', '--out', 'more');
      expect(lastLine(more).event, more.stdout + more.stderr).toBe('done');
      expect(recordOf('more')).toMatchObject({ ranks, saved, microBatches });
    },
    LIMIT,
  );

  it('names the least that is possible and how, and writes nothing', async () => {
    const ended = await train('--memory', '10MB', '--out', 'never');
    expect(ended.code).toBe(1);
    expect(jsonLines(ended).map(({ event }) => event)).toEqual(['data', 'error']);
    const error = lastLine(ended);
    expect(error).toMatchObject({ name: 'BudgetError', where: '--memory 10.0 MB' });
    expect(error['message']).toMatch(
      /^--memory 10\.0 MB: expected at least (\d+\.\d) MB: \d+\.\d MB for the process and \d+\.\d MB for the plan of full, saved smallest, (one micro-batch|\d+ micro-batches of 1 image), got 10\.0 MB\. Raise --memory/,
    );
    expect(existsSync(path('never'))).toBe(false);
  });

  it('says that the head would fit', async () => {
    const bytes = Math.floor(beside + 35e6);
    const ended = await train('--memory', String(bytes), '--method', 'full', '--out', 'never');
    expect(ended.code).toBe(1);
    expect(lastLine(ended)['message']).toContain('or choose --method head, which fits.');
  });
});
