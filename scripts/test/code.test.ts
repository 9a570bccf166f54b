/** The program of docs/code.md runs as it stands there: two batches of noise for each of its epochs. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { Random, type Batch } from '@thimble/core';
import { textOf } from './repository.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-code-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

interface Printed {
  log(value: unknown): void;
}
interface Page {
  run(batches: () => readonly Batch[], console: Printed): Promise<void>;
}

it('trains', async () => {
  const [, block] = /^```ts\n([\s\S]*?)^```$/m.exec(textOf('docs/code.md')) ?? [];
  const [imports, rest] = block.split(/(?<=from '@thimble\/core';\n)/);
  const file = join(folder, 'page.ts');
  writeFileSync(file, `${imports}export async function run(batches, console) {\n${rest}}\n`);
  const page = (await import(file)) as Page;
  const printed: unknown[] = [];
  await page.run(() => [noise(1), noise(2)], { log: (value) => printed.push(value) });
  const [bytes, ...events] = printed;
  expect(bytes).toBeGreaterThan(1e6);
  const epochs = events.filter((event) => (event as { event?: string }).event === 'epoch');
  expect(epochs).toHaveLength(5);
});

function noise(seed: number): Batch {
  const random = Random.of(seed, 'page');
  const images = random.fillNormal(new Float32Array(16 * 3 * 32 * 32), 1);
  return { images, labels: Int32Array.from({ length: 16 }, () => random.below(10)), real: 16 };
}
