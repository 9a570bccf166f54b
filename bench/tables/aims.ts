/**
 * What the speed of Thimble is held against: an aim for each measured figure, and whether it is
 * met. An aim that is missed stays in the table.
 */
import { markdownTable, megabytes, number, percent } from '../harness/table.js';
import { pairedRatio } from '../harness/statistics.js';
import { OWN_FACTORED, type InferenceResult } from '../inference/result.js';
import type { StartupResult } from '../startup/table.js';
import { measuredRow, shareOfPeak, timesAsFast } from '../steps/compare.js';
import { oneThreadName, ownName } from '../steps/contestants.js';
import type { CaseResult } from '../steps/measure.js';

/** The results that exist. */
export interface Measured {
  readonly steps: readonly CaseResult[];
  readonly inference: InferenceResult | null;
  readonly startup: readonly StartupResult[];
}

/** A figure and what it should be. */
export interface Aim {
  readonly what: string;
  /** At least (or at most) this. */
  readonly aim: number;
  readonly atMost?: boolean;
  readonly show: (value: number) => string;
  /** null: not measured. */
  readonly value: number | null;
}

export function aimsTable(measured: Measured): string {
  return tableOfAims([
    ...stepAims(measured.steps),
    ...inferenceAims(measured),
    ...startupAims(measured),
  ]);
}

/** Aims, and whether they are met. */
export function tableOfAims(aims: readonly Aim[]): string {
  const rows = aims.map(({ what, aim, atMost = false, show, value }) => [
    what,
    `${atMost ? '≤' : '≥'} ${show(aim)}`,
    value === null ? '–' : show(value),
    value === null ? '' : (atMost ? value <= aim : value >= aim) ? 'met' : 'missed',
  ]);
  return markdownTable(['what', '>aim', '>measured', ''], rows);
}

export const times = (value: number) => `${number(value)} ×`;
const milliseconds = (value: number) => `${value.toFixed(0)} ms`;

function stepAims(steps: readonly CaseResult[]): readonly Aim[] {
  const beside = (name: string, own: string, other: string, aim: number): Aim => {
    const result = steps.find((step) => step.name === name);
    const faster = result ? timesAsFast(result, own, other) : null;
    return {
      what: `step of ${name}: ${own} / ${other}`,
      aim,
      show: times,
      value: faster && faster.median,
    };
  };
  const of = <T>(name: string, read: (result: CaseResult) => T | null): T | null => {
    const result = steps.find((step) => step.name === name);
    return result ? read(result) : null;
  };
  const [native, wasm] = [ownName('native'), ownName('wasm')];
  const ofPeak = (name: string, aim: number): Aim => ({
    what: `step of ${name}: ${native}, of the FMA peak`,
    aim,
    show: percent,
    value: of(name, (result) => shareOfPeak(result, native)?.median ?? null),
  });
  return [
    beside('vit-tiny-16', native, 'PyTorch', 2),
    beside('vit-tiny-16', native, 'onnxruntime-node', 1.25),
    beside('vit-base-32', native, 'PyTorch', 2),
    ofPeak('vit-base-32', 0.65),
    beside('vit-micro', native, 'PyTorch', 2.5),
    beside('mobilenet-v2', native, 'PyTorch', 2),
    beside('resnet-18', native, 'PyTorch', 1.5),
    ofPeak('resnet-18', 0.6),
    beside('vit-tiny-16', wasm, 'onnxruntime-web', 1.7),
    beside('vit-tiny-16', wasm, 'jax-js', 8),
    beside('vit-tiny-16', wasm, 'tfjs', 12),
    beside('vit-tiny-16', native, oneThreadName('native'), 1.85),
    beside('vit-tiny-16', wasm, oneThreadName('wasm'), 1.8),
    {
      what: `step of vit-tiny-16: ${native}, peak memory of the process`,
      aim: 250e6,
      atMost: true,
      show: megabytes,
      value: of('vit-tiny-16', (result) => measuredRow(result, native)?.rssPeakBytes ?? null),
    },
  ];
}

function inferenceAims({ inference }: Measured): readonly Aim[] {
  const rows = inference?.rows.filter((row) => 'times' in row) ?? [];
  const samples = (name: string, batch: number) =>
    rows.find((row) => row.name === name)?.times.find((one) => one.batch === batch);
  return [1, 8].flatMap((batch): readonly Aim[] => {
    const peer = samples('onnxruntime-node', batch);
    const factored = samples(OWN_FACTORED, batch);
    const ratio = peer && factored && pairedRatio(peer.samples, factored.samples);
    const what = `forward pass of vit-tiny-16, batch ${batch}`;
    const shared = { show: times };
    return [
      {
        ...shared,
        what: `${what}: thimble native / onnxruntime-node`,
        aim: 1,
        value: peer?.oursFaster.median ?? null,
      },
      {
        ...shared,
        what: `${what}: factored (ε = 0.8) / onnxruntime-node`,
        aim: 1.5,
        value: ratio?.median ?? null,
      },
    ];
  });
}

function startupAims({ startup }: Measured): readonly Aim[] {
  const row = (part: string, aim: number): Aim => {
    const found = startup.find(({ name }) => name.startsWith(part));
    return {
      what: found?.name ?? part,
      aim,
      atMost: true,
      show: milliseconds,
      value: found?.ms.median ?? null,
    };
  };
  return [
    row('compile + plan, vit-base-16, batch 8', 500),
    row('thimble train, vit-micro with its weights', 1500),
  ];
}
