/**
 * The kernels as WebAssembly: one module per feature set, compiled by clang and lld that are
 * themselves WebAssembly (@yowasp/clang), so no system compiler is needed.
 *
 * A module imports its (shared) memory, has no libc and no allocator, and exports
 * `thimble_run_base`, `thimble_peak_base` and `__stack_pointer`, which the executor sets in each
 * thread's instance. Its own data lies in the first 64 KiB page; the executor places everything
 * else behind it. The modules are stored as base64 in a generated JavaScript file: the one form
 * that browsers, bundlers and Node all load without a file system or a request.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runTools, type ToolTask } from './clang.js';
import {
  hashOf,
  isCurrent,
  keepOnly,
  kernelFolder,
  markCurrent,
  objectFolder,
  root,
  sources,
  writeAtomically,
} from './files.js';

/** Name of the export in kernels.generated.js → compiler flags of that feature set. */
const featureSets = { simd: [], relaxedSimd: ['-mrelaxed-simd'] } as const satisfies Record<
  string,
  readonly string[]
>;

const compileFlags = [
  '--target=wasm32',
  '-O3',
  '-std=c11',
  '-ffreestanding',
  '-fno-math-errno',
  '-ffp-contract=fast',
  '-msimd128',
  '-mbulk-memory',
  '-pthread',
  '-matomics',
  '-Wall',
  '-Wextra',
  '-Werror',
];

const linkFlags = [
  '--no-entry',
  '--import-memory',
  '--shared-memory',
  '--max-memory=4294967296',
  // Data above the first page is an error here, not a surprise at run time.
  '--initial-memory=65536',
  '--export=thimble_run_base',
  '--export=thimble_peak_base',
  '--export=__stack_pointer',
  '--strip-all',
  // The stack that the linker reserves is never used (every thread has its own), so it is small.
  '-z',
  'stack-size=64',
];

/** Beside the sources, where tests and tsc see it, and in dist, where tsc does not copy
 * JavaScript. */
const outputs = ['src', 'dist'].map((tree) =>
  join(root, 'packages/core', tree, 'executors/wasm/kernels.generated.js'),
);
const folder = join(objectFolder, 'wasm');

/** A kernel file to compile for one feature set. */
interface Unit {
  readonly set: string;
  /** Path of the object; its name holds the hash of all that it is made from. */
  readonly object: string;
  readonly task: ToolTask;
}

/** Builds both modules when an input changed. */
export async function buildWasm(): Promise<void> {
  const units = await listUnits();
  const hash = hashOf([...linkFlags, ...units.map((unit) => unit.object)]);
  if (await isCurrent(outputs, hash)) return;

  await mkdir(folder, { recursive: true });
  await keepOnly(
    folder,
    units.map((unit) => unit.object),
  );
  const missing = units.filter((unit) => !existsSync(unit.object));
  await runTools(
    missing.map((unit) => unit.task),
    async (task, bytes) => {
      const unit = missing.find((candidate) => candidate.task === task);
      if (unit) await writeAtomically(unit.object, bytes);
    },
  );
  const modules = await linkModules(units);
  const text = await generatedText(modules);
  for (const output of outputs) await writeAtomically(output, text);
  await markCurrent(outputs, hash);
}

async function listUnits(): Promise<Unit[]> {
  const headers = await sources(kernelFolder, '.h');
  const manifest = await readFile(join(root, 'node_modules/@yowasp/clang/package.json'), 'utf8');
  const included = Object.fromEntries(headers.map(({ name, text }) => [name, text]));
  const units: Unit[] = [];
  for (const [set, flags] of Object.entries(featureSets)) {
    for (const { name, text } of await sources(kernelFolder, '.c')) {
      const allFlags = [...compileFlags, ...flags];
      const inputs = [manifest, ...allFlags, ...headers.map((header) => header.text), text];
      const object = name.replace(/\.c$/, '.o');
      units.push({
        set,
        object: join(folder, `${set}-${hashOf([name, ...inputs])}.o`),
        task: {
          tool: 'clang',
          args: [...allFlags, '-c', name, '-o', object],
          files: { ...included, [name]: text },
          output: object,
        },
      });
    }
  }
  return units;
}

/** Feature set → module. */
async function linkModules(units: readonly Unit[]): Promise<ReadonlyMap<string, Uint8Array>> {
  const tasks: ToolTask[] = [];
  for (const set of Object.keys(featureSets)) {
    const files: Record<string, Uint8Array> = {};
    for (const unit of units.filter((candidate) => candidate.set === set)) {
      files[unit.task.output] = await readFile(unit.object);
    }
    const args = [...linkFlags, ...Object.keys(files), '-o', set];
    tasks.push({ tool: 'wasm-ld', args, files, output: set });
  }
  const modules = new Map<string, Uint8Array>();
  await runTools(tasks, (task, bytes) => {
    modules.set(task.output, bytes);
    return Promise.resolve();
  });
  return modules;
}

async function generatedText(modules: ReadonlyMap<string, Uint8Array>): Promise<string> {
  const header = await readFile(join(kernelFolder, 'program.h'), 'utf8');
  const ops = [...header.matchAll(/DO\(OP_\w+, (\w+)\)/g)].map((match) => match[1]);
  return [
    '// The kernels in kernels/ as WebAssembly; written by scripts/build/wasm.ts, do not edit.',
    ...Object.keys(featureSets).map((set) => {
      const module = modules.get(set);
      if (module === undefined) throw new Error(`wasm.ts: ${set} was not linked`);
      return `export const ${set} =\n  '${Buffer.from(module).toString('base64')}';`;
    }),
    `export const ops = ${JSON.stringify(ops)};`,
    '',
  ].join('\n');
}
