/**
 * Signals that ask the process to end: Ctrl-C, SIGTERM (docker stop, systemd, Slurm) and SIGHUP (a
 * closed terminal). While there is something to save or to remove, the first one asks the work to stop
 * at a good place and the second one is the system's. At any other time the system's default holds:
 * the process ends at once.
 */
import { constants } from 'node:os';
import { ExitSignal } from './failure.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface Interrupt {
  /** Aborted by the first signal; its reason is `exit`. */
  readonly signal: AbortSignal;
  /** What to end with: 128 and the number of the signal, as shells count; null before any. */
  readonly exit: ExitSignal | null;
  /** Gives the signals back to the system. */
  dispose(): void;
}

/** @param doing what happens now, as in `stopping after this step`; said at the first signal */
export function onInterrupt(doing: string, say: (text: string) => void): Interrupt {
  const controller = new AbortController();
  const came: ExitSignal[] = [];
  const listener = (name: NodeJS.Signals) => {
    if (came.push(new ExitSignal(128 + constants.signals[name])) > 1) {
      dispose();
      process.kill(process.pid, name);
      return;
    }
    const [asked, again] = name === 'SIGINT' ? ['', 'Ctrl-C again'] : [`${name}: `, 'another one'];
    say(`thimble: ${asked}${doing}; ${again} to stop at once`);
    controller.abort(came[0]);
  };
  const dispose = () => {
    for (const name of SIGNALS) process.off(name, listener);
  };
  for (const name of SIGNALS) process.on(name, listener);
  return {
    signal: controller.signal,
    get exit() {
      return came[0] ?? null;
    },
    dispose,
  };
}
