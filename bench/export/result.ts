/** What the export benchmark finds. */
import type { Spread } from '../harness/statistics.js';

/** Images of one forward pass. */
export const BATCHES = [1, 8] as const;

/** Our executor among the contestants. */
export const OWN = 'thimble native';

export interface ExportResult {
  readonly run: string;
  readonly model: string;
  readonly method: string;
  readonly photos: number;
  readonly threads: number;
  readonly rounds: number;
  readonly maxLogit: number;
  readonly rows: readonly ExportRow[];
}

export interface ExportRow {
  readonly name: string;
  /** null: our executor, which reads the run itself. */
  readonly bytes: number | null;
  readonly ofFloat32: number | null;
  readonly maxDifference: number;
  /** Share of the photos with the class that our executor says. */
  readonly agreement: number;
  readonly accuracy: number;
  /** For each of BATCHES. */
  readonly times: readonly { readonly ms: Spread; readonly ratio: Spread }[];
}
