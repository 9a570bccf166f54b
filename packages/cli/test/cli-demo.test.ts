/** thimble demo through the command. Needs the compiled command (npm run build). */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { thimble } from './cli-command.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-demo-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

it('trains from random and from pretrained weights and sets them side by side', async () => {
  const few = ['--images', '32', '--epochs', '1', '--threads', '1'];
  const ended = await thimble(['demo', ...few, '--out', 'shapes'], folder);
  expect(ended.stderr).toBe('');
  expect(ended.code).toBe(0);
  expect(ended.stdout).toMatch(/Validation accuracy +random weights +pretrained weights/);
  expect(ended.stdout).toMatch(/after 1 epoch +\d+\.\d % +\d+\.\d %/);
  const records = ['shapes/random', 'shapes'].map(
    (name) => JSON.parse(readFileSync(join(folder, name, 'run.json'), 'utf8')) as object,
  );
  expect(records).toMatchObject([{ init: null }, { init: 'vit-micro' }]);
  for (const file of ['predictions.png', 'memory.svg', 'model.safetensors']) {
    expect(existsSync(join(folder, 'shapes', file)), file).toBe(true);
  }
});
