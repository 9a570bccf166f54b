/** The Markdown of the ranks that were measured (ranks.ts). */
import { buildModel, linears } from '@thimble/core';
import { markdownTable, percent } from '../harness/table.js';
import { publishedShare } from './spectrum.js';
import { measuredModel, type LinearRanks, type MeasuredRanks } from './ranks.js';

const KINDS = ['attn.qkv', 'attn.proj', 'mlp.fc1', 'mlp.fc2'] as const;

export function ranksText(measured: MeasuredRanks): string {
  const { photos, imageSize, images, models } = measured;
  const sections = Object.entries(models).flatMap(([name, byEpsilon]) => [
    `## ${name}\n`,
    modelTable(byEpsilon, images),
  ]);
  return [
    '# Ranks of pretrained models\n',
    `Found by \`npm run bench:scale -- --measure-ranks\` on photos (${photos}), ${imageSize} px with patches`,
    'of 16, 50 tokens: means over the 12 blocks. K of weights in the metric of the data and by the published',
    'rule, as a share of the smaller side (a dense weight counts with the K at which its factors are as large,',
    `and by how many are dense); Tucker ranks of inputs among ${images} images, 50 tokens and all channels.`,
    `Of another number of images \`prepare\` takes the same share of them: 12 of ${images} are 96 of 128.`,
    'ranks.json has each linear. A larger model may need a smaller share: of the MLPs of a ViT-B/32 the',
    'published ranks are',
    `${Object.keys(Object.values(models)[0] ?? {})
      .map(published)
      .join(', ')}.\n`,
    ...sections,
  ].join('\n');
}

function published(epsilon: string): string {
  return `${percent(publishedShare(Number(epsilon)))} at ${epsilon}`;
}

function modelTable(byEpsilon: MeasuredRanks['models'][string], images: number): string {
  const small = new Map(
    linears(buildModel(measuredModel(2), { batch: images }), 'all').map((own) => [own.weight, own]),
  );
  const head = ['linear', '>ε', '>K/n, data', '>dense', '>K/n, plain', '>dense', ...MODES];
  const rows = KINDS.flatMap((kind) =>
    Object.entries(byEpsilon).map(([epsilon, found]) => {
      const own = Object.entries(found).filter(([weight]) => weight.includes(kind));
      const shares = (of: 'data' | 'plain') =>
        mean(
          own.map(([weight, ranks]) => {
            const { outputs = NaN, inputs = NaN } = small.get(weight) ?? {};
            const most = (outputs * inputs) / (outputs + inputs);
            return (ranks[of] ?? most) / Math.min(outputs, inputs);
          }),
        );
      const dense = (of: 'data' | 'plain') => own.filter(([, ranks]) => ranks[of] === null).length;
      return [
        ...[kind, epsilon, percent(shares('data')), String(dense('data'))],
        ...[percent(shares('plain')), String(dense('plain'))],
        ...MODES.map((_, mode) => modeMean(own, mode)),
      ];
    }),
  );
  return markdownTable(head, rows);
}

const MODES = ['>images', '>tokens', '>channels'] as const;

function modeMean(own: readonly (readonly [string, LinearRanks])[], mode: number): string {
  const known = own.flatMap(([, { tucker }]) => (tucker ? [tucker[mode]] : []));
  return known.length === 0 ? '' : mean(known).toFixed(1);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
