/** How often commands compile: a step of a large model takes seconds, so that checking one must not. */
import { compile, type CompileOptions } from '@thimble/core';
import { Command } from 'commander';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { addTrain } from '../src/commands/train.js';
import { writeClasses } from './cli-command.js';

vi.mock('@thimble/core', async (original) => {
  const core = await original<{ compile: typeof compile }>();
  return { ...core, compile: vi.fn(core.compile) };
});

const folder = mkdtempSync(join(tmpdir(), 'thimble-compiles-'));
const photos = join(folder, 'photos');

beforeAll(async () => {
  await writeClasses(photos, ['red', 'blue'], 6);
}, 60_000);

afterAll(() => {
  rmSync(folder, { recursive: true });
});

beforeEach(() => {
  vi.mocked(compile).mockClear();
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  return () => vi.restoreAllMocks();
});

/** The methods of all that was compiled, in order. */
async function compiledBy(...args: readonly string[]): Promise<readonly string[]> {
  const program = new Command('thimble').exitOverride();
  addTrain(program);
  const run = ['--executor', 'wasm', '--threads', '1', '--epochs', '1', '--batch', '4'];
  const out = ['--out', join(folder, `run-${String(compiled().length)}-${args.join('')}`)];
  await program.parseAsync(['node', 'thimble', 'train', photos, ...run, ...out, ...args]);
  return compiled();
}

function compiled(): readonly string[] {
  return vi
    .mocked(compile)
    .mock.calls.map(([{ method }]: [CompileOptions]) => method?.name ?? 'none');
}

it('compiles a step once', { timeout: 120_000 }, async () => {
  expect(await compiledBy('--method', 'last-k=1')).toEqual(['last-k']);
});

it(
  'compiles a step once whose ranks are found, beside the step that it is compared with',
  {
    timeout: 240_000,
  },
  async () => {
    const method = ['--method', 'last-k=1+wasi', '--init', 'vit-micro'];
    expect(await compiledBy(...method)).toEqual(['last-k+wasi', 'full']);
  },
);

it('compiles no candidate of a budget twice', { timeout: 240_000 }, async () => {
  // The form of the fewest bytes says that something fits, the best form that fits is trained.
  const plenty = ['--memory', '4GB'];
  expect(await compiledBy('--method', 'last-k=1', ...plenty)).toEqual(['last-k', 'last-k']);
});
