/** A program ready within --memory: the same one, whatever the process happens to have at its start. */
import {
  augments,
  defaultPreprocess,
  parseMethod,
  plannedBytes,
  Random,
  referenceExecutor,
} from '@thimble/core';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Caller } from '../src/events/caller.js';
import type { TrainingRequest } from '../src/training/preparing.js';
import { residentBytes } from '../src/memory/process-memory.js';
import { readyWithin, type FittingEvent } from '../src/budget/ready-within.js';
import { TINY } from './tiny-models.js';

const model = { name: 'tiny', config: TINY };
const options = { model, method: 'wasi=0.6', optimizer: 'sgd', smoothing: 0, batch: 8 };
const job: TrainingRequest = {
  options,
  method: parseMethod(options.method),
  start: null,
  kind: referenceExecutor,
  threads: 1,
  seed: 0,
  images: { kind: 'shapes', seed: 0, count: 16 },
  preprocess: { ...defaultPreprocess, size: TINY.imageSize },
  augment: augments.none,
  cropSource: 'whole',
  strict: false,
};

const IMAGE = { path: 'small.png', bytes: 1e6 };

afterEach(() => {
  vi.restoreAllMocks();
});

/** What is chosen when the process seems to have `resident` bytes, and what is noted. */
async function chosenAt(resident: number, bytes: number, largest = IMAGE) {
  vi.spyOn(process.memoryUsage, 'rss').mockReturnValue(resident);
  const notes: string[] = [];
  const caller = new Caller<FittingEvent>({
    onEvent: (event) => {
      if (event.event === 'note') notes.push(event.text);
    },
  });
  const request = { bytes, images: 100, workers: 0, largest };
  const { ready, memory } = await readyWithin(job, request, caller);
  const { saved, microBatches, program } = ready.step;
  const said = notes.join('');
  vi.restoreAllMocks();
  return {
    chosen: { memory, saved, microBatches, found: ready.found, planned: plannedBytes(program, 1) },
    said,
  };
}

describe('readyWithin', () => {
  it('chooses the same at every start', { timeout: 120_000 }, async () => {
    const random = Random.of(7, 'disturbed');
    const { chosen: free } = await chosenAt(90e6, 2e9);
    expect(free.memory.givenUp).toEqual([]);
    const { besidePlan } = free.memory;
    const forms = new Set<string>();
    for (const share of [0.97, 0.85]) {
      const budget = Math.round(besidePlan + share * free.planned);
      const calm = await chosenAt(90e6, budget);
      const disturbed = await chosenAt(90e6 + random.between(-30e6, 30e6), budget);
      expect(disturbed.chosen).toEqual(calm.chosen);
      forms.add(JSON.stringify(calm.chosen.memory.givenUp));
    }
    expect(forms.size).toBe(2); // budgets at which something is chosen
  });

  it('says what the process has more than is counted', async () => {
    expect((await chosenAt(20e6, 2e9)).said).toBe('');
    expect((await chosenAt(400e6, 2e9)).said).toMatch(
      /^the process has 400\.0 MB at its start, \d+\.\d MB more than --memory counts for it here/,
    );
  });
});

it('names the image that takes much of what is missing', async () => {
  const large = { path: 'photos/large.png', bytes: 80e6 };
  await expect(chosenAt(90e6, 1e6, large)).rejects.toThrow(
    'leave more open, make photos/large.png smaller (80.0 MB of it are to read this image), or choose',
  );
  await expect(chosenAt(90e6, 1e6)).rejects.toThrow('leave more open, or choose');
});

describe('residentBytes', () => {
  const machine = 'linux-x64';
  it('goes by machine, Node, C library and images', () => {
    const here = residentBytes({ machine, version: '20.1.0', returnsMemory: true }, 0);
    expect(residentBytes({ machine, version: '20.20.2', returnsMemory: true }, 0)).toBe(here);
    expect(residentBytes({ machine, version: '20.1.0', returnsMemory: false }, 0)).toBeGreaterThan(
      here,
    );
    const many = residentBytes({ machine, version: '20.1.0', returnsMemory: true }, 1e5);
    expect(many).toBeGreaterThan(here + 1e7);
    // Where it was not measured, more than where it was.
    const other = residentBytes(
      { machine: 'freebsd-x64', version: '31.0.0', returnsMemory: true },
      0,
    );
    expect(other).toBeGreaterThan(here);
  });
});
