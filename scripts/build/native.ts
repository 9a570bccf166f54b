/**
 * The kernels as a native Node addon: kernels/*.c once per instruction set,
 * packages/native/src/*.c once, linked to packages/native/build/thimble.node. The addon chooses
 * the variant when it is loaded.
 *
 * Needs a C compiler with GCC's vector extensions ($CC, cc, gcc or clang). Without one, or when it
 * fails, training uses the WebAssembly kernels; one line says so. In continuous integration
 * (CI=true) a failure is an error. Objects are kept by the hash of what they were made from, so a
 * change rebuilds only what it touches.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import {
  hashOf,
  isCurrent,
  keepOnly,
  kernelFolder,
  markCurrent,
  objectFolder,
  root,
  sources,
  temporaryFor,
  type SourceFile,
} from './files.js';

const addonFolder = join(root, 'packages/native');
const folder = join(objectFolder, 'native');
const output = join(addonFolder, 'build/thimble.node');

/** A compiler of tomorrow may warn of what is fine today, so a warning is an error only in CI. */
const strictFlags = process.env['CI'] === 'true' ? ['-Werror'] : [];
const commonFlags = ['-O3', '-fPIC', '-fvisibility=hidden', '-Wall', '-Wextra', ...strictFlags];
const kernelFlags = [
  ...commonFlags,
  '-std=c11',
  '-ffreestanding',
  '-fno-math-errno',
  '-ffp-contract=fast',
];
const addonFlags = [...commonFlags, '-std=gnu11', '-pthread'];
/** The symbols of a variant end in its name; see SUFFIX in kernels/kernel.h. */
const variants: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  x64: {
    avx512: ['-mavx512f', '-mavx512bw', '-mavx512vl', '-mavx512dq', '-mfma'],
    avx2: ['-mavx2', '-mfma'],
    base: [],
  },
  arm64: { base: [] },
};

/** A file to compile; `object` holds the hash of all that it is made from. */
interface Unit {
  readonly source: string;
  readonly object: string;
  readonly flags: readonly string[];
}

/** Builds the addon when an input changed; prints one line when there will be none. */
export async function buildNative(): Promise<void> {
  const addonSources = await sources(join(addonFolder, 'src'), '.c');
  const instructionSets = variants[process.arch];
  if (instructionSets === undefined || process.platform === 'win32') {
    await withoutAddon(`no native kernels for ${process.platform}-${process.arch} yet`);
    return;
  }
  const compiler = await findCompiler();
  if (compiler === null) {
    await withoutAddon('no C compiler found');
    return;
  }
  const units = await unitsFor(compiler.identity, instructionSets, addonSources);
  const hash = hashOf(units.map((unit) => unit.object));
  if (addonSources.length === 0 || (await isCurrent([output], hash))) return;
  try {
    await mkdir(folder, { recursive: true });
    await keepOnly(
      folder,
      units.map((unit) => unit.object),
    );
    await compileAll(compiler.command, units);
    await link(compiler.command, units);
    await markCurrent([output], hash);
  } catch (error) {
    if (process.env['CI'] === 'true') throw error;
    console.error(error instanceof Error ? error.message : String(error));
    await withoutAddon(`${compiler.command} failed (its message is above)`);
  }
}

async function withoutAddon(reason: string): Promise<void> {
  // One from older sources would disagree with the program format: none is better.
  await rm(output, { force: true });
  console.log(
    `thimble: ${reason}; using the WebAssembly kernels (slower, same results to rounding)`,
  );
}

/** The first compiler that answers `--version`, and what it answered. */
async function findCompiler(): Promise<{ command: string; identity: string } | null> {
  const chosen = process.env['CC'];
  for (const command of chosen === undefined || chosen === '' ? ['cc', 'gcc', 'clang'] : [chosen]) {
    try {
      return { command, identity: await runTool(command, ['--version']) };
    } catch {
      continue;
    }
  }
  return null;
}

async function unitsFor(
  compiler: string,
  instructionSets: Readonly<Record<string, readonly string[]>>,
  addonSources: readonly SourceFile[],
): Promise<Unit[]> {
  const napi = join(dirname(createRequire(import.meta.url).resolve('node-api-headers')), 'include');
  const headers = [
    ...(await sources(kernelFolder, '.h')),
    ...(await sources(join(addonFolder, 'src'), '.h')),
  ].map((file) => file.text);
  const unit = (file: SourceFile, variant: string, flags: readonly string[]): Unit => {
    const hash = hashOf([compiler, ...flags, ...headers, file.text]);
    const object = join(folder, `${basename(file.name, '.c')}-${variant}-${hash}.o`);
    return { source: file.path, object, flags };
  };
  const units = addonSources.map((file) =>
    unit(file, 'addon', [...addonFlags, `-I${napi}`, '-iquote', kernelFolder]),
  );
  for (const [variant, flags] of Object.entries(instructionSets)) {
    for (const file of await sources(kernelFolder, '.c')) {
      units.push(unit(file, variant, [...kernelFlags, ...flags, `-DVARIANT=${variant}`]));
    }
  }
  return units;
}

/** Compiles what is missing, as many files at once as there are cores. */
async function compileAll(compiler: string, units: readonly Unit[]): Promise<void> {
  const waiting = units.filter((unit) => !existsSync(unit.object));
  const worker = async () => {
    for (let unit = waiting.pop(); unit !== undefined; unit = waiting.pop()) {
      const temporary = temporaryFor(unit.object);
      await runTool(compiler, [...unit.flags, '-c', unit.source, '-o', temporary]);
      await rename(temporary, unit.object);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
}

async function link(compiler: string, units: readonly Unit[]): Promise<void> {
  const temporary = temporaryFor(output);
  // Node resolves the napi_* symbols when it loads the addon.
  const kind =
    process.platform === 'darwin' ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared'];
  const objects = units.map((unit) => unit.object);
  await mkdir(dirname(output), { recursive: true });
  await runTool(compiler, [...kind, '-pthread', '-o', temporary, ...objects]);
  await rename(temporary, output);
}

/** Runs a command; resolves to its output, rejects with everything that it printed. */
function runTool(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(command, args, { cwd: root, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${command} ${args.join(' ')}\n${stderr || error.message}`));
    });
  });
}
