/**
 * The dependency direction of the house, checked by `npm run layers`: every room of core, native, onnx, cli and
 * bench may import only what its line below names, every package only the packages of its line, and neither rooms nor
 * files import each other in a cycle. Type-only imports count: a type is a dependency too.
 *
 * Prints every violation and exits 1 if there is one. `layers/rooms.ts` says what a room is.
 */
import { packageImports, relativeImports } from './layers/imports.js';
import {
  cycles,
  directionProblems,
  EVERYTHING,
  reachProblems,
  type Rooms,
} from './layers/rooms.js';

/** The public API may import everything. */
const CORE: Rooms = {
  index: EVERYTHING,
  errors: [],
  base64: [],
  finite: [],
  names: ['errors'],
  schema: ['errors'],
  random: ['errors'],
  ir: ['errors'],
  ops: ['errors', 'ir', 'random'],
  autodiff: ['errors', 'ir', 'ops'],
  passes: ['errors', 'ir', 'ops'],
  program: ['errors', 'ir', 'ops'],
  'program-check': ['errors', 'ir', 'ops', 'program'],
  'program-file': ['base64', 'errors', 'schema', 'ir', 'ops', 'program', 'program-check'],
  plan: ['errors', 'ir', 'ops', 'program'],
  methods: [
    'errors',
    'finite',
    'names',
    'schema',
    'ir',
    'ops',
    'autodiff',
    'passes',
    'program',
    'optim',
  ],
  report: ['errors', 'ir', 'ops', 'program', 'plan', 'methods'],
  optim: ['errors', 'ir', 'ops', 'program'],
  nn: ['errors', 'ir', 'ops', 'random'],
  models: ['errors', 'names', 'schema', 'ir', 'ops', 'nn', 'data'],
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
  'executors/null': ['ir', 'program', 'executors/executor', 'executors/checked'],
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
    'methods',
    'executors/executor',
    'data',
    'formats',
    'nn',
    'optim',
    'random',
    'schema',
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

/** The machine's own code, behind Node-API. */
const NATIVE: Rooms = {
  addon: [],
  garbage: ['addon'],
  index: EVERYTHING,
};

const ONNX: Rooms = {
  batch: [],
  graph: [],
  fields: ['graph'],
  encode: ['graph', 'fields'],
  half: ['graph', 'fields'],
  print: ['graph'],
  'value-names': [],
  site: ['batch', 'graph', 'value-names'],
  lowerings: ['graph', 'site', 'value-names'],
  'fold-norms': ['graph'],
  lower: ['batch', 'graph', 'value-names', 'site', 'lowerings', 'fold-norms'],
  'quantise-conv': ['graph', 'fields'],
  quantise: ['graph', 'fields', 'quantise-conv'],
  formats: ['graph', 'half', 'site', 'lower', 'quantise'],
  index: EVERYTHING,
};

/**
 * From what knows nothing of models up to the library, and beside it what people see. `terminal/format` and
 * `terminal/terminal` make text and write nothing.
 */
const CLI: Rooms = {
  'terminal/format': [],
  'terminal/terminal': [],
  terminal: ['terminal/terminal'],
  events: [],
  host: ['terminal/format'],
  pictures: ['terminal/terminal'],
  data: ['terminal/format', 'terminal/terminal', 'host'],
  memory: ['pictures', 'data'],
  weights: ['terminal/terminal', 'host'],
  hub: ['events', 'host', 'weights'],
  run: ['host', 'data', 'memory', 'weights'],
  source: ['terminal/format', 'events', 'host', 'data', 'weights', 'hub', 'run'],
  step: ['weights'],
  training: [
    'terminal/format',
    'terminal/terminal',
    'events',
    'host',
    'data',
    'memory',
    'weights',
    'run',
    'source',
    'step',
  ],
  budget: ['terminal/format', 'events', 'data', 'memory', 'run', 'step', 'training'],
  inference: ['events', 'data', 'weights', 'hub', 'run', 'source'],
  export: ['host', 'data', 'weights', 'run', 'source', 'inference'],
  forget: ['terminal/format', 'events', 'host', 'data', 'weights', 'run', 'training'],
  bench: [],
  library: [
    'events',
    'host',
    'data',
    'memory',
    'weights',
    'hub',
    'run',
    'source',
    'step',
    'training',
    'budget',
    'inference',
    'export',
    'forget',
    'bench',
  ],
  process: ['terminal/terminal', 'terminal', 'host'],
  options: ['host', 'weights', 'library'],
  say: [
    'terminal/format',
    'terminal/terminal',
    'terminal',
    'events',
    'data',
    'weights',
    'hub',
    'run',
    'source',
    'step',
    'training',
    'budget',
    'forget',
    'export',
    'bench',
    'library',
  ],
  commands: EVERYTHING,
  main: ['terminal/terminal', 'terminal', 'host', 'process', 'commands'],
};

/** What of a package its library never reaches, over however many rooms: what prints, and what ends the process. */
const OUT_OF_REACH = {
  folder: 'packages/cli/src',
  rooms: CLI,
  from: 'library',
  never: ['terminal', 'say', 'process', 'options', 'commands', 'main'],
} as const;

const BENCH: Rooms = {
  harness: [],
  arm64: ['harness'],
  export: ['harness'],
  forget: ['harness'],
  growth: ['harness'],
  kernels: ['harness'],
  methods: ['harness'],
  gradients: ['harness'],
  startup: ['harness'],
  peers: ['harness'],
  resume: ['harness'],
  loading: ['harness'],
  'many-images': ['harness'],
  process: ['harness'],
  steps: ['harness', 'peers'],
  scale: ['harness', 'peers'],
  inference: ['harness', 'export', 'peers', 'scale', 'steps'],
  tables: [
    ...['harness', 'inference', 'loading', 'many-images', 'methods', 'peers', 'process'],
    ...['scale', 'startup', 'steps'],
  ],
};

/** Folder of sources → its rooms. */
const ROOMS: Readonly<Record<string, Rooms>> = {
  'packages/core/src': CORE,
  'packages/native/src': NATIVE,
  'packages/onnx/src': ONNX,
  'packages/cli/src': CLI,
  bench: BENCH,
};

/** Folder of sources → packages whose public API it may import. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  'packages/core/src': [],
  'packages/native/src': ['@thimble/core'],
  'packages/onnx/src': ['@thimble/core'],
  'packages/cli/src': ['@thimble/core', '@thimble/native', '@thimble/onnx'],
  bench: ['@thimble/core', '@thimble/native', '@thimble/onnx'],
  examples: ['@thimble/core', '@thimble/cli'],
  pretrain: ['@thimble/core', '@thimble/native'],
  scripts: ['@thimble/core'],
  fuzz: ['@thimble/core', '@thimble/native', '@thimble/onnx'],
};

/** It imports no package and nothing of Node, with one exception: worker threads where there is no Worker. */
const NODE_FREE = 'packages/core/src';
const NODE_IN_CORE = { below: `${NODE_FREE}/executors/wasm/`, specifier: 'node:worker_threads' };

const problems = [
  ...roomProblems(),
  ...reachProblems(OUT_OF_REACH),
  ...packageProblems(),
  ...fileCycles(),
];
for (const problem of problems) console.error(problem);
console.log(
  problems.length === 0
    ? 'layers: every import points down, no cycles'
    : `layers: ${String(problems.length)} problems`,
);
process.exitCode = problems.length === 0 ? 0 : 1;

function roomProblems(): readonly string[] {
  return Object.entries(ROOMS).flatMap(([folder, rooms]) =>
    directionProblems(folder, rooms, relativeImports(folder)),
  );
}

function packageProblems(): readonly string[] {
  return Object.entries(PACKAGES).flatMap(([folder, allowed]) =>
    packageImports(folder)
      .filter(({ from, to }) => {
        if (to.startsWith('@thimble/')) return !allowed.includes(to);
        const { below, specifier } = NODE_IN_CORE;
        return folder === NODE_FREE && !(from.startsWith(below) && to === specifier);
      })
      .map(({ from, to }) => `${from} imports ${to}: not allowed in ${folder}`),
  );
}

/** Between files of all packages. */
function fileCycles(): readonly string[] {
  const edges: Record<string, string[]> = {};
  for (const { from, to } of Object.keys(PACKAGES).flatMap(relativeImports)) {
    (edges[from] ??= []).push(to);
  }
  return cycles(edges).map((path) => `cycle: ${path}`);
}
