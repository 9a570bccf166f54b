/**
 * What the scale benchmark compares on ViT-B/32, 224 px. A case runs in groups, since not all contestants have
 * room in memory together; the yardsticks are in each group, so that ratios are taken within rounds.
 *
 * A row is a line here: what `compile` or `sgd` takes is said as they call it.
 */
import type { OnnxruntimeSettings, PytorchSettings } from '../harness/step-protocol.js';
import type { RowConfig } from './protocol.js';

export interface OwnRow {
  readonly name: string;
  readonly config: RowConfig;
}

export interface PeerRow {
  readonly name: string;
  readonly peer: 'pytorch' | 'onnxruntime';
  readonly settings: {
    readonly pytorch?: PytorchSettings;
    readonly onnxruntime?: OnnxruntimeSettings;
  };
}

export type ScaleRow = OwnRow | PeerRow;

export interface ScaleCase {
  readonly batch: number;
  /** Steps before the rounds, whose losses are compared. */
  readonly checkedSteps: number;
  readonly groups: readonly (readonly ScaleRow[])[];
  /** Rows that take part in one round only: there for their memory, and slow. */
  readonly once?: RegExp;
}

export const YARDSTICKS = {
  pytorch: 'PyTorch',
  bf16: 'PyTorch, bf16',
  recomputed: 'full, smallest',
} as const;

type Form = 'exact' | 'compact';

const METHODS = ['full', 'lora', 'wsi', 'wasi'] as const;
type Method = (typeof METHODS)[number];

/** Slices that the command cuts a batch of 128 into where blocks are recomputed. */
const SLICES = 8;

const EXACT = METHODS.map((method) => formed(method, 'exact'));
const COMPACT = METHODS.map((method) => formed(method, 'compact'));

const PEERS: readonly ScaleRow[] = [
  torch('PyTorch, checkpointing', { lean: true }),
  torch('PyTorch, checkpointing, 8 micro-batches', { lean: true, microBatches: 8 }),
  torch('PyTorch, checkpointing, bf16', { lean: true, bf16: true }),
];

const ONNXRUNTIME: ScaleRow = {
  name: 'onnxruntime',
  peer: 'onnxruntime',
  settings: { onnxruntime: { arena: false } },
};

export const SCALE_CASES: readonly ScaleCase[] = [
  {
    batch: 16,
    checkedSteps: 2,
    groups: [
      [
        ...compared(1),
        ...PEERS,
        ONNXRUNTIME,
        ...EXACT,
        ...COMPACT,
        ...smallest(['lora', 'wsi', 'wasi'], 1),
        ...fewBits(['full', 'wasi'], 1),
        ...fuller(1),
        ...sweep(1),
      ],
    ],
  },
  {
    batch: 128,
    checkedSteps: 1,
    once: /checkpointing|onnxruntime/u,
    groups: [
      [...compared(SLICES), ...EXACT],
      [...compared(SLICES), ...PEERS, ...COMPACT],
      // It alone takes more than 7 GB.
      [...compared(SLICES), ONNXRUNTIME],
      [
        ...compared(SLICES),
        ...smallest(['lora', 'wsi', 'wasi'], SLICES),
        ...whole(['full', 'wsi', 'wasi']),
        ...inMicroBatches(['full', 'wasi']),
        ...fewBits(['full', 'wsi', 'wasi'], SLICES),
        ...fuller(SLICES),
        ...sweep(SLICES),
      ],
    ],
  },
];

/** The yardsticks. */
function compared(slices: number): readonly ScaleRow[] {
  return [
    torch(YARDSTICKS.pytorch, {}),
    torch(YARDSTICKS.bf16, { bf16: true }),
    ...smallest(['full'], slices),
  ];
}

/** As the command cuts a batch. */
function smallest(methods: readonly Method[], slices: number): readonly OwnRow[] {
  return methods.map((method) => own(`${method}, smallest`, method, recomputed(slices)));
}

/** All images through a block together. */
function whole(methods: readonly Method[]): readonly OwnRow[] {
  return methods.map((method) => own(`${method}, smallest, whole`, method, recomputed(1)));
}

function inMicroBatches(methods: readonly Method[]): readonly OwnRow[] {
  const rest = { microBatches: 8, ...recomputed(1) };
  return methods.map((method) => own(`${method}, smallest, 8 micro-batches`, method, rest));
}

/** Momentum in 8 bits. */
function fewBits(methods: readonly Method[], slices: number): readonly OwnRow[] {
  const rest = { ...recomputed(slices), sgd: { momentumBits: 8 } } as const;
  return methods.map((method) => own(`${method}, smallest, 8-bit momentum`, method, rest));
}

/** With the ranks of small models, whose weights are fuller than those of a ViT-B. */
function fuller(slices: number): readonly OwnRow[] {
  const rest = { ...recomputed(slices), ranks: 'measured' } as const;
  const methods: readonly Method[] = ['wsi', 'wasi'];
  return methods.map((method) => own(`${method}, smallest, ranks of ViT-Ti`, method, rest));
}

/** ε beside the default 0.8. */
function sweep(slices: number): readonly OwnRow[] {
  return ['0.6', '0.7', '0.9'].map((epsilon) =>
    own(`wasi ${epsilon}`, `wasi=${epsilon}`, recomputed(slices)),
  );
}

function recomputed(slices: number): Pick<RowConfig, 'compile'> {
  return { compile: { saved: 'smallest', slices } };
}

/** The rows whose name matches, and without them no group. */
export function chosenRows(one: ScaleCase, pattern: RegExp): ScaleCase {
  const groups = one.groups.map((rows) => rows.filter(({ name }) => pattern.test(name)));
  return { ...one, groups: groups.filter((rows) => rows.length > 0) };
}

function formed(method: Method, saved: Form): OwnRow {
  return own(`${method}, ${saved}`, method, { compile: { saved } });
}

function own(name: string, method: string, rest: Omit<RowConfig, 'method'> = {}): OwnRow {
  return { name, config: { method, ...rest } };
}

function torch(name: string, pytorch: PytorchSettings): PeerRow {
  return { name, peer: 'pytorch', settings: { pytorch } };
}
