/** Every executor with kernels measures the machine's limits; how fast that is, is not tested. */
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { peakMeter } from '../src/executors/peaks.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { FAST_EXECUTORS } from './executors.js';

describe.each(FAST_EXECUTORS)('the peaks of $name', (kind) => {
  it.each([1, 2])('are positive rates on %i threads', async (threads) => {
    const meter = await kind.peaks?.({ threads });
    expect(meter?.threads).toBe(threads);
    // The slowest machine in mind does 1 GFLOP/s and copies 0.1 GB/s, the fastest far less than 1e15.
    for (const perSecond of [
      await meter?.flops(),
      await meter?.copy(1e6),
      await meter?.copy(8e6),
    ]) {
      expect(perSecond).toBeGreaterThan(1e7);
      expect(perSecond).toBeLessThan(1e15);
    }
    await meter?.dispose();
  });
});

it('has none for the reference, which has no kernels', () => {
  expect(referenceExecutor.peaks).toBeUndefined();
});

describe('peakMeter', () => {
  it('finds how much work takes long enough, once, and cuts a copy among threads', async () => {
    const asked: [number, number][] = [];
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const rate = (floats: number, repeats: number) => {
      asked.push([floats, repeats]);
      vi.advanceTimersByTime(floats > 0 ? 12 * repeats : 0);
      return Promise.resolve(5e9);
    };
    const meter = peakMeter(3, rate, () => Promise.resolve());
    expect(await meter.copy(1e6)).toBe(5e9);
    const [[floats]] = asked;
    expect(floats % 64).toBe(0);
    expect(1e6 - 2 * 4 * 3 * floats).toBeLessThan(2 * 4 * 3 * 64);
    expect(asked.map(([, repeats]) => repeats)).toEqual([1, 2, 2]);
    await meter.copy(1e6);
    expect(asked.at(-1)).toEqual([floats, 2]);
    expect(asked).toHaveLength(4);
    await meter.copy(1);
    expect(asked.at(-1)?.[0]).toBe(64);
  });
});
