/** How often commands compile: a step of a large model takes seconds, so that checking one must not. */
import type { compile, compilePhases, CompileOptions } from '@thimble/core';
import { Command } from 'commander';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { addTrain } from '../src/commands/train.js';
import { writeClasses } from './cli-command.js';

/** The methods of all that was compiled since the test began, in order. */
const compiled = vi.hoisted((): string[] => []);

vi.mock('@thimble/core', async (original) => {
  const core = await original<{ compile: typeof compile; compilePhases: typeof compilePhases }>();
  const noted =
    <T>(inner: (options: CompileOptions) => T) =>
    (options: CompileOptions): T => {
      compiled.push(options.method?.name ?? 'none');
      return inner(options);
    };
  return { ...core, compile: noted(core.compile), compilePhases: noted(core.compilePhases) };
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
  compiled.length = 0;
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  return () => vi.restoreAllMocks();
});

/** What the command compiles. */
async function compiledBy(...args: readonly string[]): Promise<readonly string[]> {
  const program = new Command('thimble').exitOverride();
  addTrain(program);
  const run = ['--executor', 'wasm', '--threads', '1', '--epochs', '1', '--batch', '4'];
  const out = ['--out', join(folder, `run-${args.join('')}`)];
  await program.parseAsync(['node', 'thimble', 'train', photos, ...run, ...out, ...args]);
  return compiled;
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
