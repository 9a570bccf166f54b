/** How each row of the scale benchmark is started, and what its losses have to agree with. */
import { modelConfig, parseMethod } from '@thimble/core';
import { fileURLToPath } from 'node:url';
import type { Command } from '../harness/json-process.js';
import type { StepConfig } from '../harness/step-protocol.js';
import { onnxruntimeNode } from '../peers/onnxruntime.js';
import { pytorchAsItComes } from '../peers/pytorch.js';
import type { Checked } from './agreement.js';
import type { OwnRow, PeerRow, ScaleRow } from './cases.js';
import { DEFAULT_RANKS, type ScaleConfig } from './protocol.js';
import type { Workload } from './workload.js';

/** A step so small that even weights at random learn. */
const LEARNING_RATE = 1e-4;
/** The command's default. */
const MOMENTUM = 0.9;

const DENSE = 'dense weights';

export interface Setting {
  readonly workload: Workload;
  readonly batch: number;
  readonly threads: number;
}

export interface Contestant {
  readonly checked: Checked;
  readonly isPeer: boolean;
  readonly command: Command;
  readonly config: object;
}

/** What to start, or why it cannot run. */
export async function contestantOf(row: ScaleRow, setting: Setting): Promise<Contestant | string> {
  if ('config' in row) return ownContestant(row, setting);
  const peer = row.peer === 'pytorch' ? pytorchAsItComes : onnxruntimeNode;
  const command = await peer.command();
  if (typeof command === 'string') return command;
  const { bf16 = false } = row.settings.pytorch ?? {};
  const checked = { name: row.name, start: DENSE, isRounded: bf16, isExact: !bf16 };
  return { checked, isPeer: true, command, config: peerConfig(row, setting) };
}

export function ownContestant(
  { name, config: row }: OwnRow,
  { workload, batch, threads }: Setting,
): Contestant {
  const { model, classes, weights, data } = workload;
  const config: ScaleConfig = {
    ...{ row, model, classes, batch, threads, weights, data },
    ...{ learningRate: LEARNING_RATE, momentum: MOMENTUM },
  };
  const method = parseMethod(row.method);
  // Adapters start at zero: what they are beside is the dense model.
  const { weights: factored } = method.probe ?? {};
  const start = factored ? JSON.stringify([factored, row.ranks ?? DEFAULT_RANKS]) : DENSE;
  const saved = row.compile?.saved ?? method.saved ?? 'exact';
  const isExact = method.name === 'full' && saved === 'exact';
  const script = fileURLToPath(new URL('./contestant.js', import.meta.url));
  return {
    checked: { name, start, isRounded: false, isExact },
    isPeer: false,
    command: { file: process.execPath, args: [script] },
    config,
  };
}

function peerConfig({ settings }: PeerRow, { workload, batch, threads }: Setting): StepConfig {
  const config = modelConfig(workload.model);
  if (config.family !== 'vit') throw new Error('peers know vision transformers only');
  const { imageSize, patch, width, depth, heads } = config;
  const { classes, weights, data } = workload;
  return {
    model: { imageSize, patch, width, depth, heads, classes, pool: 'token' },
    ...{ batch, threads, optimizer: 'sgd', lr: LEARNING_RATE, momentum: MOMENTUM },
    ...{ weightDecay: 0, warmup: 0, weights, data, seed: 1, ...settings },
  };
}
