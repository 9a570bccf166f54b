/** Runs of `thimble train` that say how long they waited for images. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** Of one epoch, its validation included. */
export interface EpochTime {
  readonly seconds: number;
  readonly waitSeconds: number;
}

export interface LoadingRow {
  readonly model: string;
  readonly photos: string;
  readonly reading: string;
  readonly epochs: readonly EpochTime[];
  readonly msPerStep: number;
}

/** How photos are read, as options of the command. */
export const READINGS: Readonly<Record<string, readonly string[]>> = {
  'whole photos': ['--crop-source', 'whole', '--no-cache'],
  'without a cache': ['--no-cache'],
  'with a cache': [],
};

/** This file runs as bench/dist/loading/measure.js. */
const command = fileURLToPath(new URL('../../../packages/cli/dist/main.js', import.meta.url));

/** Trains and resolves to the time of each epoch. Throws Error where the command fails. */
export async function timed(
  args: readonly string[],
  cacheHome: string,
): Promise<Pick<LoadingRow, 'epochs' | 'msPerStep'>> {
  const child = spawn(process.execPath, [command, 'train', ...args, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, XDG_CACHE_HOME: cacheHome },
  });
  const epochs: EpochTime[] = [];
  let msPerStep: number | null = null;
  for await (const line of createInterface({ input: child.stdout })) {
    const said = JSON.parse(line) as { readonly event: string } & EpochTime & {
        readonly msPerStep: number;
      };
    const { event, seconds, waitSeconds } = said;
    if (event === 'epoch') epochs.push({ seconds, waitSeconds });
    if (event === 'done') msPerStep = said.msPerStep;
  }
  if (msPerStep === null)
    throw new Error(`thimble train ${args.join(' ')}: ended without a result`);
  return { epochs, msPerStep };
}

/** Share of the time in which threads trained: of the first epoch, and of the others. */
export function busy(epochs: readonly EpochTime[]): readonly [first: number, later: number] {
  const share = (times: readonly EpochTime[]) => {
    const sum = (of: (time: EpochTime) => number) => times.reduce((all, time) => all + of(time), 0);
    return 1 - sum(({ waitSeconds }) => waitSeconds) / sum(({ seconds }) => seconds);
  };
  return [share(epochs.slice(0, 1)), share(epochs.slice(1))];
}
