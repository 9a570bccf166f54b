/**
 * Signals that ask the process to end: Ctrl-C, SIGTERM (docker stop, systemd, Slurm) and SIGHUP (a
 * closed terminal). While there is something to save or to remove, the first one asks the work to stop
 * at a good place and the second one is the system's. At any other time the system's default holds:
 * the process ends at once.
 */
import { constants } from 'node:os';
import { ExitSignal } from './failure.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export class Interrupt {
  private readonly controller = new AbortController();
  private readonly doing: string;
  private readonly say: (text: string) => void;
  private readonly listener = (name: NodeJS.Signals) => {
    this.take(name);
  };

  /** @param doing what happens then, as in `stopping after this step`; said at the first signal */
  constructor(doing: string, say: (text: string) => void) {
    this.doing = doing;
    this.say = say;
  }

  /** Aborted by the first signal; the reason is an ExitSignal: 128 and the signal's number, as shells count. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** Takes the signals from the system. */
  listen(): void {
    this.dispose();
    for (const name of SIGNALS) process.on(name, this.listener);
  }

  /** Gives them back. */
  dispose(): void {
    for (const name of SIGNALS) process.off(name, this.listener);
  }

  private take(name: NodeJS.Signals): void {
    if (this.signal.aborted) {
      this.dispose();
      process.kill(process.pid, name);
      return;
    }
    const [asked, again] = name === 'SIGINT' ? ['', 'Ctrl-C again'] : [`${name}: `, 'another one'];
    this.say(`thimble: ${asked}${this.doing}; ${again} to stop at once`);
    this.controller.abort(new ExitSignal(128 + constants.signals[name]));
  }
}
