/** Every size with every method, timed in interleaved rounds. */
import type { ExecutorKind } from '@thimble/core';
import { interleave } from '../harness/rounds.js';
import { spread, type Spread } from '../harness/statistics.js';
import { axisPoints, METHODS, type Axis } from './cases.js';
import { GrowthTrainer } from './trainer.js';

/** Steps of one turn: the first is not counted, it finds the caches full of another's data. */
const STEPS = 3;

export interface GrowthPoint {
  readonly axis: Axis;
  readonly method: string;
  readonly x: number;
  readonly ms: Spread;
  readonly flops: number;
  readonly plannedBytes: number;
  readonly arenaBytes: number;
}

export interface GrowthOptions {
  readonly rounds: number;
  readonly threads: number;
}

/** Points axis by axis, method by method. */
export async function measureGrowth(
  kind: ExecutorKind,
  { rounds, threads }: GrowthOptions,
): Promise<readonly GrowthPoint[]> {
  const points = METHODS.flatMap((method) => axisPoints().map((point) => ({ ...point, method })));
  // The base is a point of every axis and measured once.
  const trainers = new Map<string, GrowthTrainer>();
  const keyOf = (point: (typeof points)[number]) => JSON.stringify([point.method, point.case]);
  try {
    for (const point of points) {
      const key = keyOf(point);
      if (trainers.has(key)) continue;
      trainers.set(key, await GrowthTrainer.load(kind, point.case, point.method, threads));
    }
    const contestants = [...trainers].map(([name, trainer]) => ({
      name,
      measure: () => turn(trainer),
    }));
    await interleave(contestants, { rounds: 1 });
    const samples = await interleave(contestants, { rounds });
    return points.flatMap((point): readonly GrowthPoint[] => {
      const trainer = trainers.get(keyOf(point));
      if (!trainer) return [];
      const { axis, method, x } = point;
      const { flops, plannedBytes, arenaBytes } = trainer;
      const ms = spread((samples.get(keyOf(point)) ?? []).flat());
      return [{ axis, method, x, ms, flops, plannedBytes, arenaBytes }];
    });
  } finally {
    for (const trainer of trainers.values()) await trainer.dispose();
  }
}

async function turn(trainer: GrowthTrainer): Promise<readonly number[]> {
  await trainer.step();
  const ms: number[] = [];
  for (let step = 1; step < STEPS; step++) ms.push(await trainer.step());
  return ms;
}
