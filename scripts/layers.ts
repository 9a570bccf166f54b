/**
 * The dependency direction of the house: every folder may import only what its line names, and no import
 * cycle exists. Type-only imports count: a type is a dependency too.
 *
 * Run by `npm run layers`; prints every violation and exits 1 if there is one.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const CORE = 'packages/core/src';

/** Part of core (folder or file without extension) → the parts it may import besides itself. */
const CORE_LAYERS: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  finite: [],
  names: ['errors'],
  schema: ['errors'],
  random: ['errors'],
  ir: ['errors'],
  ops: ['errors', 'ir'],
  autodiff: ['errors', 'ir', 'ops'],
  passes: ['errors', 'ir', 'ops'],
  program: ['errors', 'ir', 'ops'],
  'program-check': ['errors', 'ir', 'ops', 'program'],
  'program-file': ['errors', 'schema', 'ir', 'ops', 'program', 'program-check'],
  plan: ['errors', 'ir', 'ops', 'program'],
  methods: ['errors', 'finite', 'names', 'schema', 'ir', 'ops', 'autodiff', 'passes', 'plan'],
  report: ['errors', 'ir', 'ops', 'program', 'plan', 'methods'],
  optim: ['errors', 'ir', 'ops'],
  nn: ['errors', 'ir', 'ops', 'random'],
  models: ['errors', 'names', 'schema', 'ir', 'ops', 'nn'],
  compile: ['errors', 'ir', 'ops', 'autodiff', 'passes', 'plan', 'methods', 'optim', 'program'],
  'executors/executor': ['errors', 'ir', 'program'],
  'executors/peaks': ['executors/executor'],
  'executors/contents': ['errors', 'program'],
  'executors/checked': [
    'errors',
    'program',
    'program-check',
    'executors/executor',
    'executors/contents',
  ],
  'executors/null': ['program', 'executors/executor', 'executors/checked'],
  'executors/reference': [
    'errors',
    'ir',
    'ops',
    'program',
    'executors/executor',
    'executors/checked',
  ],
  'executors/wasm': [
    'errors',
    'ir',
    'ops',
    'program',
    'executors/executor',
    'executors/checked',
    'executors/peaks',
  ],
  data: ['errors', 'schema', 'ir', 'random'],
  formats: ['errors', 'finite', 'schema', 'ir'],
  checkpoints: ['errors', 'names', 'schema', 'ir', 'models', 'data', 'formats', 'train'],
  train: [
    'errors',
    'finite',
    'ir',
    'program',
    'compile',
    'executors/executor',
    'data',
    'formats',
    'nn',
    'optim',
    'random',
  ],
  prepare: [
    'errors',
    'schema',
    'ir',
    'ops',
    'autodiff',
    'passes',
    'plan',
    'program',
    'methods',
    'compile',
    'executors/executor',
    'nn',
    'random',
    'train',
  ],
  unlearn: [
    'errors',
    'finite',
    'ir',
    'ops',
    'autodiff',
    'passes',
    'plan',
    'program',
    'methods',
    'compile',
    'executors/executor',
    'train',
  ],
};

/** Package → packages whose public API it may import. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  'packages/core': [],
  'packages/native': ['@thimble/core'],
  'packages/onnx': ['@thimble/core'],
  'packages/cli': ['@thimble/core', '@thimble/native', '@thimble/onnx'],
  bench: ['@thimble/core', '@thimble/native', '@thimble/onnx'],
  pretrain: ['@thimble/core', '@thimble/native'],
  scripts: ['@thimble/core'],
  fuzz: ['@thimble/core', '@thimble/native', '@thimble/onnx'],
};

/** Run-time packages that core may use: none. */
const NODE_FREE = CORE;

interface Import {
  readonly from: string;
  readonly to: string;
}

const problems = [...layerProblems(), ...packageProblems(), ...cycles()];
for (const problem of problems) console.error(problem);
console.log(
  problems.length === 0
    ? 'layers: every import points down, no cycles'
    : `layers: ${String(problems.length)} problems`,
);
process.exitCode = problems.length === 0 ? 0 : 1;

/** Imports inside core against CORE_LAYERS. `index` is the public API and may import everything. */
function layerProblems(): readonly string[] {
  return relativeImports(CORE).flatMap(({ from, to }) => {
    const [source, target] = [layerOf(from), layerOf(to)];
    if (source === 'index' || source === target) return [];
    const allowed = CORE_LAYERS[source];
    if (!allowed) return [`${from}: no layer for "${source}"; add it to scripts/layers.ts`];
    return allowed.includes(target)
      ? []
      : [`${from} imports ${to}: ${source} may not use ${target}`];
  });
}

/** `packages/core/src/ops/gelu.ts` → `ops`. */
function layerOf(file: string): string {
  const path = relative(CORE, file).replace(/\.(ts|js)$/, '');
  const parts = path.split('/');
  return parts[0] === 'executors' ? parts.slice(0, 2).join('/') : parts[0];
}

/** Imports of packages against PACKAGES; core may import neither Node nor any package. */
function packageProblems(): readonly string[] {
  return Object.entries(PACKAGES).flatMap(([folder, allowed]) =>
    sources(folder.startsWith('packages/') ? `${folder}/src` : folder).flatMap((file) =>
      specifiers(file)
        .filter((specifier) => !specifier.startsWith('.'))
        .filter((specifier) => {
          if (specifier.startsWith('@thimble/')) return !allowed.includes(specifier);
          return file.startsWith(NODE_FREE) && !isGuardedThreads(file, specifier);
        })
        .map((specifier) => `${file} imports ${specifier}: not allowed in ${folder}`),
    ),
  );
}

/** The wasm executor loads worker threads dynamically where there is no Worker. */
function isGuardedThreads(file: string, specifier: string): boolean {
  return file.startsWith(`${CORE}/executors/wasm/`) && specifier === 'node:worker_threads';
}

/** Import cycles between files of all packages. */
function cycles(): readonly string[] {
  const graph = new Map<string, string[]>();
  for (const folder of Object.keys(PACKAGES)) {
    for (const { from, to } of relativeImports(folder)) {
      graph.set(from, [...(graph.get(from) ?? []), to]);
    }
  }
  const state = new Map<string, 'open' | 'done'>();
  const found: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    if (state.get(file) === 'done') return;
    if (state.get(file) === 'open') {
      found.push(`cycle: ${[...path.slice(path.indexOf(file)), file].join(' → ')}`);
      return;
    }
    state.set(file, 'open');
    for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
    state.set(file, 'done');
  };
  for (const file of graph.keys()) visit(file, []);
  return found;
}

function relativeImports(folder: string): readonly Import[] {
  return sources(folder).flatMap((file) =>
    specifiers(file)
      .filter((specifier) => specifier.startsWith('.'))
      .map((specifier) => {
        const target = relative(ROOT, resolve(ROOT, dirname(file), specifier));
        return { from: file, to: target.replace(/\.js$/, '.ts') };
      }),
  );
}

/** All TypeScript sources below `folder`, relative to the root. */
function sources(folder: string): readonly string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))
    .filter((path) => !/(^|\/)(dist|node_modules|test)\//.test(path))
    .map((path) => join(folder, path).replaceAll('\\', '/'))
    .sort();
}

/** What a file imports or re-exports, dynamic imports included. */
function specifiers(file: string): readonly string[] {
  const text = readFileSync(join(ROOT, file), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  const pattern = /(?:from\s+|import\s*\(\s*|import\s+)['"]([^'"]+)['"]/g;
  return [...text.matchAll(pattern)].map((match) => match[1]);
}
