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

type Form = 'exact' | 'compact' | 'smallest';

const METHODS = ['full', 'lora', 'wsi', 'wasi'] as const;

/** ε of the sweep, beside the default 0.8. */
const SWEEP = ['0.6', '0.7', '0.9'].map((epsilon) => own(`wasi ${epsilon}`, `wasi=${epsilon}`));

/** With the ranks of small models, whose weights are fuller than those of a ViT-B. */
const FULLER = (['wsi', 'wasi'] as const).map((method) =>
  own(`${method}, smallest, ranks of ViT-Ti`, method, {
    compile: { saved: 'smallest' },
    ranks: 'measured',
  }),
);

const COMPARED: readonly ScaleRow[] = [
  torch(YARDSTICKS.pytorch, {}),
  torch(YARDSTICKS.bf16, { bf16: true }),
  formed('full', 'smallest'),
];

const PEERS: readonly ScaleRow[] = [
  torch('PyTorch, checkpointing', { lean: true }),
  torch('PyTorch, checkpointing, 8 micro-batches', { lean: true, microBatches: 8 }),
  torch('PyTorch, checkpointing, bf16', { lean: true, bf16: true }),
  { name: 'onnxruntime', peer: 'onnxruntime', settings: { onnxruntime: { arena: false } } },
];

const EXACT = METHODS.map((method) => formed(method, 'exact'));
const COMPACT = METHODS.map((method) => formed(method, 'compact'));
const SMALLEST = METHODS.filter((method) => method !== 'full').map((method) =>
  formed(method, 'smallest'),
);
const MICRO_BATCHES = METHODS.map((method) =>
  own(`${method}, smallest, 8 micro-batches`, method, {
    microBatches: 8,
    compile: { saved: 'smallest' },
  }),
);

export const SCALE_CASES: readonly ScaleCase[] = [
  {
    batch: 16,
    checkedSteps: 2,
    groups: [[...COMPARED, ...PEERS, ...EXACT, ...COMPACT, ...SMALLEST, ...FULLER, ...SWEEP]],
  },
  {
    batch: 128,
    checkedSteps: 1,
    once: /checkpointing|onnxruntime/u,
    groups: [
      [...COMPARED, ...EXACT],
      [...COMPARED, ...PEERS, ...COMPACT],
      [...COMPARED, ...SMALLEST, ...MICRO_BATCHES, ...FULLER, ...SWEEP],
    ],
  },
];

/** The rows whose name matches, and without them no group. */
export function chosenRows(one: ScaleCase, pattern: RegExp): ScaleCase {
  const groups = one.groups.map((rows) => rows.filter(({ name }) => pattern.test(name)));
  return { ...one, groups: groups.filter((rows) => rows.length > 0) };
}

function formed(method: (typeof METHODS)[number], saved: Form): OwnRow {
  return own(`${method}, ${saved}`, method, { compile: { saved } });
}

function own(name: string, method: string, rest: Omit<RowConfig, 'method'> = {}): OwnRow {
  return { name, config: { method, ...rest } };
}

function torch(name: string, pytorch: PytorchSettings): PeerRow {
  return { name, peer: 'pytorch', settings: { pytorch } };
}
