/**
 * Requests to the hub: the login, a time limit, further attempts, and what an answer means to
 * people. Errors name the server and the model, never an address: addresses of files carry
 * signatures.
 */
import { DownloadError } from '@thimble/core';
import { setTimeout as sleep } from 'node:timers/promises';
import { referenceText, type HubReference } from './reference.js';
import type { HubSettings } from './settings.js';
import { VERSION } from '../version.js';

/** Attempts after the first one. */
const RETRIES = 3;

/** Statuses after which the same request may succeed. */
const TEMPORARY = new Set([408, 425, 429, 500, 502, 503, 504]);

/** What the functions of @huggingface/hub are told of a server. */
interface Server {
  readonly hubUrl: string;
  readonly fetch: typeof fetch;
}

/** Calls a function of @huggingface/hub until it answers. Throws DownloadError. */
export function ask<T>(
  settings: HubSettings,
  reference: HubReference,
  call: (server: Server) => Promise<T>,
): Promise<T> {
  const server: Server = {
    hubUrl: settings.endpoint,
    fetch: (input, init) => request(settings, reference, addressOf(input), init),
  };
  return withRetries(settings, async () => {
    try {
      return await call(server);
    } catch (error) {
      throw error instanceof DownloadError ? error : badAnswer(settings, reference, error);
    }
  });
}

/** An answer that broke off, or that is none of a hub: the page of a hotel's network, say. */
function badAnswer(settings: HubSettings, reference: HubReference, error: unknown): DownloadError {
  const isBroken = error instanceof TypeError || isTimeout(error);
  if (isBroken) return noAnswer(settings, reference, error);
  return new DownloadError({
    where: referenceText(reference),
    expected: `an answer of a hub from ${hostOf(settings.endpoint)}`,
    got: reasonOf(error),
    todo: 'Check HF_ENDPOINT, and whether the network asks for a login of its own',
  });
}

/**
 * One attempt: success or a DownloadError. The login goes to the endpoint alone: `fetch` drops it
 * when it is redirected to another host.
 *
 * A signal in `init` takes the place of the time limit.
 */
export async function request(
  settings: HubSettings,
  reference: HubReference,
  address: URL,
  init: RequestInit = {},
): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set('user-agent', `thimble/${VERSION}`);
  const isEndpoint = address.origin === new URL(settings.endpoint).origin;
  if (settings.token !== null && isEndpoint) {
    headers.set('authorization', `Bearer ${settings.token}`);
  }
  const signal = init.signal ?? AbortSignal.timeout(settings.stallMs);
  let response: Response;
  try {
    response = await fetch(address, { ...init, headers, signal });
  } catch (error) {
    throw noAnswer(settings, reference, error);
  }
  if (response.ok || response.status === 416) return response; // 416: the part is all there is
  await response.body?.cancel();
  throw statusError(settings, reference, response);
}

/** Runs `attempt` again, after growing pauses, while it fails with what may pass. */
export async function withRetries<T>(
  { retryMs }: HubSettings,
  attempt: () => Promise<T>,
): Promise<T> {
  for (let failures = 0; ; failures++) {
    try {
      return await attempt();
    } catch (error) {
      if (!isTemporary(error) || failures === RETRIES) throw error;
      await sleep(retryMs * 2 ** failures);
    }
  }
}

export function isTemporary(error: unknown): error is DownloadError {
  return error instanceof DownloadError && error.isTemporary;
}

/** No connection, a broken one, or silence. */
export function noAnswer(
  { endpoint, stallMs }: HubSettings,
  reference: HubReference,
  error: unknown,
): DownloadError {
  const parts = {
    where: referenceText(reference),
    expected: `an answer from ${hostOf(endpoint)}`,
    got: isTimeout(error) ? `none within ${String(stallMs / 1000)} s` : reasonOf(error),
    todo: 'Check the network; --offline takes what was downloaded before, a folder needs none',
  };
  return new DownloadError(parts, true);
}

/** `ENOTFOUND huggingface.co` and the like: the innermost reason. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return reasonOf(error.cause);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const text = error.message.includes(code) ? error.message : `${code} ${error.message}`;
  return text.trim() || error.name;
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError');
}

function statusError(
  { endpoint, token }: HubSettings,
  reference: HubReference,
  response: Response,
): DownloadError {
  const { status } = response;
  const where = referenceText(reference);
  const server = hostOf(endpoint);
  const code = response.headers.get('x-error-code') ?? '';
  const answer = `status ${String(status)}${code === '' ? '' : `, ${code}`}`;
  const fail = (expected: string, got: string, todo: string) =>
    new DownloadError({ where, expected, got, todo }, TEMPORARY.has(status));
  if (code === 'GatedRepo' || status === 403) {
    const login =
      token === null ? 'then set HF_TOKEN to an access token' : 'with the login of HF_TOKEN';
    const page = `${endpoint}/${reference.name}`;
    const todo = `Open ${page}, accept its conditions, ${login}`;
    return fail('a model that may be downloaded', `${answer}: its owner asks for consent`, todo);
  }
  if (code === 'RevisionNotFound') {
    const todo = `Take a branch, tag or commit of ${reference.name}; main is the default`;
    return fail(`a revision of ${reference.name}`, `${answer}: it has none of this name`, todo);
  }
  if (status === 401 || status === 404) {
    const asked = token === null ? 'a private model needs HF_TOKEN' : 'HF_TOKEN must have access';
    const todo = `Check the spelling; ${asked}; a folder on this disk needs ./ in front`;
    return fail(`a model on ${server}`, `${answer}: none of this name`, todo);
  }
  return fail(`an answer from ${server}`, answer, 'Try again later');
}

function hostOf(endpoint: string): string {
  return new URL(endpoint).host;
}

function addressOf(input: string | URL | Request): URL {
  return new URL(input instanceof Request ? input.url : input);
}
