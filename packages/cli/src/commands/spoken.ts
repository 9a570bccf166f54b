/** How a command calls the library: its events are printed, and signals of the system reach it while it writes. */
import type { Hooks } from '../events/caller.js';
import type { LibraryEvent } from '../library/events.js';
import { Interrupt } from '../process/interrupt.js';
import { Speaker } from '../say/speaker.js';
import type { Output } from '../terminal/output.js';

/** What training does when a signal comes. */
export const STOPPING = 'stopping after this step';

/** What making files does then. */
export const NOTHING_REPLACED = 'stopping, nothing is replaced';

/**
 * What `work` returns.
 *
 * @param doing what the work does when a signal comes, as in `stopping after this step`
 */
export async function spoken<T>(
  output: Output,
  work: (hooks: Hooks<LibraryEvent>) => Promise<T>,
  doing = 'stopping',
): Promise<T> {
  const speaker = new Speaker(output);
  const interrupt = new Interrupt(doing, (text) => {
    output.note(text);
  });
  const { signal } = interrupt;
  const onEvent = (event: LibraryEvent) => {
    if (event.event === 'writing') interrupt.listen();
    if (event.event === 'written') interrupt.dispose();
    speaker.hear(event);
    return output.caughtUp(signal);
  };
  try {
    return await work({ signal, onEvent });
  } finally {
    interrupt.dispose();
    speaker.stop();
  }
}
