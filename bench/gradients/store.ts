/** The results as they grow: bench/results/low-rank-gradient.json. */
import type { MachineRecord } from '../harness/machine.js';
import { load } from '../harness/results.js';
import type { Run } from '../harness/search.js';

export const NAME = 'low-rank-gradient';

export interface Store {
  init: string;
  runs: Run[];
  timingMachine?: MachineRecord;
}

export async function readStore(fresh: boolean): Promise<Store> {
  const known = fresh ? null : ((await load(NAME)) as Store | null);
  return known ?? { init: '', runs: [] };
}
