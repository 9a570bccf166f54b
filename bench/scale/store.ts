/** bench/results/scale.json: the results by batch, each with the machine that it was measured on. */
import { load, save } from '../harness/results.js';
import type { ScaleResult } from './measure.js';
import { scaleDocument } from './table.js';

export interface ScaleResults {
  readonly results: readonly ScaleResult[];
}

const NAME = 'scale';

/** Puts a result in the place of the one with its batch. */
export async function keep(result: ScaleResult): Promise<void> {
  const known = (await load(NAME)) as ScaleResults | null;
  const others = (known?.results ?? []).filter(({ batch }) => batch !== result.batch);
  const results = [...others, result].sort((a, b) => a.batch - b.batch);
  await save(NAME, { results }, scaleDocument(results));
}
