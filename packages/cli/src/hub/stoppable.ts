/** Requests that end when whoever asked for the model stops waiting. */
import { DownloadError } from '@thimble/core';
import { referenceText, type HubReference } from './reference.js';
import type { HubSettings } from './settings.js';

/**
 * The settings with a fetch that ends when `signal` aborts: by an error after which nothing is tried again, in place
 * of which the signal's reason is to be thrown.
 */
export function stoppable(
  settings: HubSettings,
  reference: HubReference,
  signal: AbortSignal,
): HubSettings {
  const { fetch = globalThis.fetch } = settings;
  const stopped = new AbortController();
  const stop = () => {
    stopped.abort(
      new DownloadError({
        where: referenceText(reference),
        expected: 'a download that may end',
        got: 'one that was stopped',
        todo: 'Try again: what came is kept and continued',
      }),
    );
  };
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  return {
    ...settings,
    fetch: (input, init = {}) => {
      const signals = [stopped.signal, ...(init.signal ? [init.signal] : [])];
      return fetch(input, { ...init, signal: AbortSignal.any(signals) });
    },
  };
}
