/**
 * Where the time of one entry of a program goes, by op and by op with its shape, beside the least
 * that it could take: its operations at the multiply-add peak that was measured in turn. Each op
 * also with one thread, in turn as well, since not even the peak of two cores is twice that of one.
 */
import {
  entryNamed,
  median,
  profileRows,
  type Executor,
  type PeakMeter,
  type ProfileRow,
} from '@thimble/core';
import { markdownTable, number, percent } from './table.js';

/** A loaded program of which one entry is profiled. */
export interface Profiled {
  readonly executor: Executor;
  readonly entry: string;
  /** Writes the inputs, whose memory every run reuses. */
  writeInputs(): void;
  dispose(): Promise<void>;
}

/** What to profile, for a number of threads. */
export interface ProfileSource {
  load(threads: number): Promise<Profiled>;
  peaks(threads: number): Promise<PeakMeter>;
}

/** Bytes of a copy that no cache holds. */
const COPIED_BYTES = 64e6;

/** Medians of `repeats` profiled runs with `threads` threads and with one, in turns, as text. */
export async function profileText(
  source: ProfileSource,
  { threads, repeats }: { readonly threads: number; readonly repeats: number },
): Promise<string> {
  const many = await Side.load(source, threads);
  const one = threads === 1 ? null : await Side.load(source, 1);
  try {
    for (let run = 0; run < repeats; run++) {
      await many.measure();
      await one?.measure();
    }
    const rows = many.rows();
    const alone = one?.rows();
    const copy = (await many.meter.copy(COPIED_BYTES)) / 1e9;
    return [
      boundText(rows.byOp, many.peak(), copy),
      alone && one ? scalingText(rows.byOp, alone.byOp, many.peak() / one.peak()) : '',
      profileTable(rows.byOp, alone?.byOp),
      profileTable(rows.byShape, alone?.byShape),
    ].join('\n');
  } finally {
    await many.dispose();
    await one?.dispose();
  }
}

/** One number of threads: its program, its peak, and what was measured. */
class Side {
  private readonly runs: (readonly number[])[] = [];
  private readonly peaks: number[] = [];

  private readonly profiled: Profiled;
  readonly meter: PeakMeter;

  private constructor(profiled: Profiled, meter: PeakMeter) {
    this.profiled = profiled;
    this.meter = meter;
  }

  static async load(source: ProfileSource, threads: number): Promise<Side> {
    return new Side(await source.load(threads), await source.peaks(threads));
  }

  async measure(): Promise<void> {
    const { executor, entry } = this.profiled;
    this.profiled.writeInputs();
    await executor.run(entry);
    this.profiled.writeInputs();
    const times = await executor.profile?.(entry);
    if (!times) throw new Error('this executor cannot profile');
    this.runs.push(times);
    this.peaks.push((await this.meter.flops()) / 1e9);
  }

  /** GFLOP/s. */
  peak(): number {
    return median(this.peaks);
  }

  rows() {
    const { executor, entry: name } = this.profiled;
    const entry = entryNamed(executor.program, name);
    const ms = entry.steps.map((_, index) => median(this.runs.map((run) => run[index])));
    return profileRows(executor.program, [{ entry, ms, times: 1 }]);
  }

  async dispose(): Promise<void> {
    await this.meter.dispose();
    await this.profiled.dispose();
  }
}

function totalMs(rows: readonly ProfileRow[]): number {
  return rows.reduce((sum, { ms }) => sum + ms, 0);
}

function boundText(byOp: readonly ProfileRow[], peak: number, copy: number): string {
  const flops = byOp.reduce((sum, row) => sum + row.flops, 0);
  const ms = totalMs(byOp);
  const least = flops / peak / 1e6;
  return [
    `${number(flops / 1e9)} GFLOP; the multiply-add peak is ${number(peak)} GFLOP/s, so that it takes`,
    `at least ${number(least)} ms; it took ${number(ms)} ms (${percent(least / ms)} of the peak). Copies`,
    `move ${number(copy)} GB/s.`,
  ].join('\n');
}

function scalingText(
  rows: readonly ProfileRow[],
  alone: readonly ProfileRow[],
  peaks: number,
): string {
  const ms = totalMs(alone);
  return [
    `With one thread it took ${number(ms)} ms, ${number(ms / totalMs(rows))} times as long; the peak is`,
    `${number(peaks)} times that of one thread.\n`,
  ].join('\n');
}

function profileTable(rows: readonly ProfileRow[], alone?: readonly ProfileRow[]): string {
  const total = totalMs(rows);
  const msAlone = new Map(alone?.map(({ name, ms }) => [name, ms]));
  const head = ['op', '>calls', '>ms', '>share', '>GFLOP/s', '>GB/s'];
  const scaling = (ms: number, of: number | undefined) =>
    of === undefined ? [] : [`${number(of / ms)} ×`];
  const body = rows.map(({ name, calls, ms, flops, bytes }) => [
    name,
    String(calls),
    number(ms),
    percent(ms / total),
    number(flops / ms / 1e6),
    number(bytes / ms / 1e6),
    ...scaling(ms, msAlone.get(name)),
  ]);
  const last = ['all', '', number(total), '100 %', '', ''];
  return markdownTable(alone ? [...head, '>to 1 thread'] : head, [
    ...body,
    [...last, ...scaling(total, alone && totalMs(alone))],
  ]);
}
