/**
 * Models of other families than ViT through the thimble command. Needs the compiled command
 * (npm run build).
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { lastLine, thimble, writeClasses } from './cli-command.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-models-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const WHERE = ['--threads', '1', '--workers', '0', '--json'];

it('trains a Swin transformer, which eval builds again from the record', async () => {
  await writeClasses(join(folder, 'photos'), ['blue', 'green', 'red'], 12);
  await writeClasses(join(folder, 'held'), ['blue', 'green', 'red'], 4);
  const model = ['--model', 'swin-micro', '--image-size', '16', '--method', 'last-k=3'];
  const step = ['--batch', '8', '--optimizer', 'adamw', '--lr', '0.001', '--augment', 'none'];
  const options = ['--val', 'held', '--epochs', '2', '--out', 'run'];
  const args = ['train', 'photos', ...model, ...step, ...options, ...WHERE];
  const trained = lastLine(await thimble(args, folder));
  expect(trained).toMatchObject({ event: 'done', epochs: 2 });
  const record: unknown = JSON.parse(readFileSync(join(folder, 'run/run.json'), 'utf8'));
  expect(record).toMatchObject({ model: { name: 'swin-micro', config: { family: 'swin' } } });
  const ended = await thimble(['eval', 'run', 'held', ...WHERE], folder);
  expect(ended.code).toBe(0);
  expect(lastLine(ended)['loss']).toBeCloseTo(Number(trained['loss']), 4);
});
