/**
 * known: starting values of a factored model whose ranks are known already, from dense weights. Nothing is
 * measured, so weights are truncated plainly, by their own singular values, whatever the method asks for:
 * truncation in the metric of the data needs the moments that only `prepare` adds up.
 *
 * In memory: one dense weight and the program that factors it (factor.ts).
 */
import type { Executor } from '../executors/executor.js';
import { linears } from '../methods/linears.js';
import { matchWeights, type LoadReport } from '../train/weights.js';
import { emitFactored, type FactoredPart } from './emit.js';
import { sitedParts } from './sites.js';
import { Stage, type StageOptions } from './stage.js';
import type { PrepareOptions } from './types.js';

/** `method` has its ranks (`BoundMethod.with`); `source` holds dense weights. */
export type KnownRanksOptions = StageOptions &
  Pick<PrepareOptions, 'model' | 'method' | 'source' | 'seed'>;

/**
 * Writes every parameter into an executor that holds a program of `method`. Throws CheckpointError, before
 * anything is written, when the weights do not fit the dense model.
 *
 * @example
 * const method = parseMethod('wsi').with({ ranks });
 * const executor = await kind.load(compile({ model, method, optimizer, batch }), { threads });
 * await emitKnown({ model, method, source, kind, threads, seed: 1 }, executor);
 */
export async function emitKnown(
  options: KnownRanksOptions,
  executor: Executor,
): Promise<LoadReport> {
  const { model: build, method, source, seed } = options;
  const dense = build(1, 'eval');
  const match = matchWeights(dense, source, seed);
  const model = method.forward(dense);
  const stage = new Stage(options);
  try {
    const parts = knownParts(options);
    const onPart = () => undefined;
    await emitFactored({ stage, model, match, parts, onPart }, (name, data) => {
      executor.write(name, data);
    });
  } finally {
    await stage.dispose();
  }
  return match.report;
}

function knownParts({ model: build, method }: KnownRanksOptions): FactoredPart[] {
  const dense = build(1, 'eval');
  const rankOf = new Map(
    linears(method.forward(dense), 'all').flatMap(({ weight, form }) =>
      form.kind === 'low-rank' ? [[weight, form.left.type.shape[1]] as const] : [],
    ),
  );
  return sitedParts(dense, linears(dense, 'all')).map(({ part, sites }) => ({
    name: part.name,
    sites: sites.flatMap((site) => {
      const rank = rankOf.get(site.weight);
      return rank === undefined ? [] : [{ site, rank, moments: null }];
    }),
  }));
}
