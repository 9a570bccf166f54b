/** What the startup benchmark times. */
import { MODELS, Random } from '@thimble/core';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { compileOnce, firstStep, type Sample } from './measure.js';

export interface StartupCase {
  readonly name: string;
  /** Milliseconds that it should take on an idle machine; null without such a goal. */
  readonly goalMs: number | null;
  readonly measure: () => Promise<Sample>;
}

const COMPILE_GOAL_MS = 500;
const FIRST_STEP_GOAL_MS = 1500;

/** Beside batch 8 of every preset. */
const LARGE_BATCH = 32;

const PHOTO = { classes: ['a', 'b'], count: 20, width: 320, height: 240 } as const;

/** @param folder an empty one, for photos and runs */
export async function startupCases(folder: string): Promise<readonly StartupCase[]> {
  await writePhotos(join(folder, 'photos'));
  const compiled = [...Object.keys(MODELS).map((name) => [name, 8] as const)];
  const cases = [...compiled, ['vit-base-16', LARGE_BATCH] as const].map(
    ([name, batch]): StartupCase => ({
      name: `compile + plan, ${name}, batch ${batch}`,
      goalMs: COMPILE_GOAL_MS,
      measure: () => compileOnce(name, batch),
    }),
  );
  const train = (name: string, goalMs: number | null, options: readonly string[]): StartupCase => ({
    name: `thimble train, ${name}, to the first step`,
    goalMs,
    measure: () => firstStep(folder, options),
  });
  const tiny = ['--model', 'vit-tiny-16', '--init', 'random', '--batch', '8'];
  return [
    ...cases,
    train('vit-micro with its weights', FIRST_STEP_GOAL_MS, []),
    train('vit-tiny-16 with random weights, batch 8', null, tiny),
  ];
}

/** Noise as JPEG, a folder for each class. */
async function writePhotos(folder: string): Promise<void> {
  const { classes, count, width, height } = PHOTO;
  for (const name of classes) {
    await mkdir(join(folder, name), { recursive: true });
    for (let index = 0; index < count; index++) {
      const levels = new Float32Array(3 * width * height);
      const pixels = Uint8Array.from(Random.of(index, name).fillUniform(levels, 0, 256));
      const image = sharp(pixels, { raw: { width, height, channels: 3 } });
      await image.jpeg().toFile(join(folder, name, `${index}.jpg`));
    }
  }
}
