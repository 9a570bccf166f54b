/** Ctrl-C: the first one asks the work to stop at a good place, the second one ends the process. */
import { EXIT } from './failure.js';

export interface Interrupt {
  readonly signal: AbortSignal;
  /** Gives Ctrl-C back to the system. */
  dispose(): void;
}

/** @param announce called at the first Ctrl-C */
export function onInterrupt(announce: () => void): Interrupt {
  const controller = new AbortController();
  const listener = () => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted);
    announce();
    controller.abort();
  };
  process.on('SIGINT', listener);
  return {
    signal: controller.signal,
    dispose: () => {
      process.off('SIGINT', listener);
    },
  };
}
