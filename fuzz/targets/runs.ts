/** run.json, ranks.json, data.json and SHA256SUMS, as far as a command goes with them before it computes anything. */
import { SWIN_PRESETS, type Random } from '@thimble/core';
import { ranksLines } from '../../packages/cli/src/say/ranks.js';
import { parseDataFile } from '../../packages/cli/src/run/data-file.js';
import { parseRanks } from '../../packages/cli/src/run/ranks-file.js';
import { checkedRun } from '../../packages/cli/src/run/open.js';
import { differenceOf, parseRunRecord, writtenRun } from '../../packages/cli/src/run/record.js';
import { parseSums } from '../../packages/cli/src/run/sums.js';
import { CLASSES, recordText, runCase, type RunCase } from '../../packages/cli/test/run-cases.js';
import type { Target } from '../campaign.js';
import { damagedBytes, damagedJson, pick } from '../mutate.js';
import { labelFault, preprocessFault } from '../oracles.js';

const FC1 = 'blocks.0.mlp.fc1.weight';
const RANKS = { weights: { [FC1]: 4 }, activations: { [FC1]: [2, 9, 5] } };
const SWIN = { ...SWIN_PRESETS['swin-micro'], depths: [1, 1], classes: CLASSES.length };

/** The record of one run beside its weights, which are as they were. */
function runTarget(name: string, { record, checkpoint }: RunCase): Target {
  const written = writtenRun(record);
  const { ranks, origin, memory, files, ...former } = written;
  const whole: unknown = JSON.parse(recordText(written));
  const old: unknown = JSON.parse(recordText(former)); // as version 0.1.0 wrote it
  const isFactored = Object.keys(ranks?.weights ?? {}).length > 0;
  const values = isFactored || !origin || !memory || !files ? [whole] : [whole, old];
  return {
    name,
    make: (random: Random) => damagedJson(random, pick(random, values)),
    check: (input) => {
      const found = checkedRun('run.json', parseRunRecord('run.json', textOf(input)), checkpoint);
      const { model, classes, preprocess, history } = found.record;
      for (const key of ['model.config', 'method', 'ranks', 'classes', 'preprocess'] as const) {
        const value = (of: typeof record) =>
          key === 'model.config' ? of.model.config : writtenRun(of)[key];
        if (differenceOf('', withFamily(value(found.record)), withFamily(value(record)))) {
          return `another ${key} than that of the weights`;
        }
      }
      const numbers = history.flatMap(({ loss, accuracy, trainLoss }) => [
        loss,
        accuracy,
        trainLoss ?? 0,
      ]);
      if (!numbers.every(Number.isFinite)) return 'a history with numbers that are none';
      return labelFault(classes, model.config) ?? preprocessFault(preprocess);
    },
    testCases: 200,
  };
}

/** The family may be left out of a ViT. */
function withFamily(value: unknown): unknown {
  return typeof value === 'object' && value !== null && 'heads' in value
    ? { family: 'vit', ...value }
    : value;
}

const ROW = { weight: FC1, outputs: 64, inputs: 32, rank: 4, plainRank: null, bytes: 9, lost: 0.1 };
const TABLES = {
  weights: {
    ...{ epsilon: 0.8, truncation: 'data', images: 8, budgetBytes: 9, bytes: 9 },
    ...{ minimumBytes: 1, denseBytes: 99, layers: [ROW] },
  },
  activations: {
    ...{ epsilon: 0.8, epsilons: [0.8], budgetBytes: 9, bytes: 9, minimumBytes: 1, fullBytes: 99 },
    layers: [
      {
        ...{ weight: FC1, shape: [4, 17, 32], gradientNorm: 2, chosen: 0 },
        options: [
          { ranks: [2, 9, 5], bytes: 9, perplexity: 0.5 },
          { ranks: null, bytes: 99, perplexity: 0 },
        ],
      },
    ],
  },
};

const ranksFile: Target = {
  name: 'ranks.json',
  make: (random) => {
    const file = {
      method: 'wasi=0.8',
      pass: 4,
      ranks: RANKS,
      tables: pick(random, [TABLES, null]),
    };
    return damagedJson(random, { format: 'thimble-ranks', version: 1, ...file });
  },
  check: (input) => {
    const text = ranksLines(parseRanks('ranks.json', textOf(input))).join('\n');
    return /undefined|NaN|\[object/.test(text) ? 'tables that cannot be printed' : null;
  },
};

const image = (path: string, label: number) => ({ path, label, print: 'a'.repeat(16) });

const dataFile: Target = {
  name: 'data.json',
  make: (random) => {
    const drawn = { shapes: { seed: 1, count: 9 }, files: [] };
    const files = { shapes: null, files: [image('cat/1.png', 0), image('dog/a b.png', 1)] };
    const file = {
      folder: '/photos',
      strict: false,
      train: files,
      validation: pick(random, [drawn, files]),
    };
    return damagedJson(random, { format: 'thimble-data', version: 1, ...file });
  },
  check: (input) => {
    const { train, validation } = parseDataFile('data.json', textOf(input));
    const paths = [...train.files, ...validation.files].map(({ path }) => path);
    return paths.some((path) => /^\/|(^|\/)\.\.(\/|$)/.test(path))
      ? 'a path out of the folder'
      : null;
  },
};

const SUMS = ['model.safetensors', 'run.json', 'labels.txt']
  .map((name, index) => `${String(index).repeat(64)}  ${name}\n`)
  .join('');

const sumsFile: Target = {
  name: 'SHA256SUMS',
  make: (random) => damagedBytes(random, new TextEncoder().encode(SUMS)),
  check: (input) => {
    for (const [name, hash] of parseSums('SHA256SUMS', textOf(input))) {
      if (!/^[0-9a-f]{64}$/.test(hash)) return 'a sum that is none';
      if (name === '' || /\s/.test(name)) return 'a name that is none';
    }
    return null;
  },
};

function textOf(input: string | Uint8Array): string {
  return typeof input === 'string' ? input : new TextDecoder().decode(input);
}

export const RUNS: readonly Target[] = [
  runTarget('run.json', runCase('full')),
  runTarget('run.json of factors', runCase('wasi=0.8', RANKS)),
  runTarget('run.json of Swin', runCase('lora=2', undefined, SWIN)),
  ranksFile,
  dataFile,
  sumsFile,
];
