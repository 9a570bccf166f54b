/**
 * Requests to the hub: the login, limits of time, bytes, pages and redirects, further attempts, and what an
 * answer means to people. Errors name the server and the model, never an address: addresses of files carry
 * signatures.
 */
import { DownloadError, megabytes, schema } from '@thimble/core';
import { setTimeout as sleep } from 'node:timers/promises';
import { referenceText, type HubReference } from './reference.js';
import type { HubSettings } from './settings.js';
import { VERSION } from '../host/version.js';

/** Attempts after the first one. */
const RETRIES = 3;

/** Statuses after which the same request may succeed. */
const TEMPORARY = new Set([408, 425, 429, 500, 502, 503, 504]);

/** Bytes of one answer, as sent and as unpacked; ten thousand listed files have 4 MB. */
const MAX_ANSWER_BYTES = 8_000_000;
/** Requests of one question: pages of a listing, a thousand files each. */
const MAX_REQUESTS = 20;
const PAGES = `${String(MAX_REQUESTS)} pages`;
const MAX_REDIRECTS = 10;
/** A question with all its attempts may take so many times as long as one of them. */
const TIMES_STALLED = 2;

/** What the functions of @huggingface/hub are told of a server. */
interface Server {
  readonly hubUrl: string;
  readonly fetch: typeof fetch;
}

/**
 * Calls a function of @huggingface/hub until it answers. What it fetches is bounded before it sees it.
 *
 * @param wants what it reads of an answer; nothing else is waited for
 * Throws DownloadError.
 */
export function ask<T>(
  settings: HubSettings,
  reference: HubReference,
  wants: 'json' | 'headers',
  call: (server: Server) => Promise<T>,
): Promise<T> {
  return withRetries(settings, async () => {
    let requests = 0;
    const server: Server = {
      hubUrl: settings.endpoint,
      fetch: async (input, init) => {
        if (++requests > MAX_REQUESTS) throw tooMuch(settings, reference, PAGES);
        const response = await request(settings, reference, addressOf(input), init);
        if (wants === 'json') return jsonOf(settings, reference, response);
        await discard(response);
        return answer(response, null);
      },
    };
    try {
      return await call(server);
    } catch (error) {
      if (error instanceof DownloadError) throw error;
      throw badAnswer(settings, reference, reasonOf(error));
    }
  });
}

/** The answer with its whole body, which is JSON of a bounded size. Throws DownloadError. */
async function jsonOf(
  settings: HubSettings,
  reference: HubReference,
  response: Response,
): Promise<Response> {
  const body = await shortBody(settings, reference, response);
  if (body === null) {
    await discard(response);
    throw tooMuch(settings, reference, megabytes(MAX_ANSWER_BYTES));
  }
  const parsed = schema.parseJson(body.toString('utf8'));
  if ('fault' in parsed) throw badAnswer(settings, reference, parsed.fault);
  return answer(response, body);
}

/** null for a body that is too long, or announces that it is. */
async function shortBody(
  settings: HubSettings,
  reference: HubReference,
  response: Response,
): Promise<Buffer | null> {
  if (Number(response.headers.get('content-length')) > MAX_ANSWER_BYTES) return null;
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of bodyOf(settings, reference, response)) {
    bytes += chunk.byteLength;
    if (bytes > MAX_ANSWER_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** An answer of its own that looks like `response`. */
function answer({ status, headers, url }: Response, body: Buffer | null): Response {
  const copy = new Response(body, { status, headers });
  return Object.defineProperty(copy, 'url', { value: url }); // which a made answer has not
}

/** The body's chunks; a connection that breaks is a DownloadError. Leaving the loop ends the transfer. */
export async function* bodyOf(
  settings: HubSettings,
  reference: HubReference,
  { body }: Response,
): AsyncGenerator<Uint8Array> {
  if (!body) return;
  const reader = (body as ReadableStream<Uint8Array>).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (error) {
    throw noAnswer(settings, reference, error);
  } finally {
    await reader.cancel().catch(ignore);
  }
}

async function discard({ body }: Response): Promise<void> {
  if (body && !body.locked) await body.cancel().catch(ignore);
}

/** What a broken connection says once nobody listens. */
function ignore(): void {
  // Nothing that could be done.
}

/** An answer that is none of a hub: the page of a hotel's network, say. */
function badAnswer(settings: HubSettings, reference: HubReference, got: string): DownloadError {
  return new DownloadError({
    where: referenceText(reference),
    expected: `an answer of a hub from ${hostOf(settings.endpoint)}`,
    got,
    todo: 'Check HF_ENDPOINT, and whether the network asks for a login of its own',
  });
}

function tooMuch({ endpoint }: HubSettings, reference: HubReference, most: string): DownloadError {
  return new DownloadError({
    where: referenceText(reference),
    expected: `an answer of at most ${most} from ${hostOf(endpoint)}`,
    got: 'more',
    todo: 'Check HF_ENDPOINT: a hub does not answer so',
  });
}

/**
 * One attempt: success or a DownloadError. The login goes to the endpoint alone, also where an answer leads
 * elsewhere.
 *
 * A signal in `init` takes the place of the time limit, which counts until the body is read.
 */
export async function request(
  settings: HubSettings,
  reference: HubReference,
  first: URL,
  init: RequestInit = {},
): Promise<Response> {
  const signal = init.signal ?? AbortSignal.timeout(settings.stallMs);
  const { fetch = globalThis.fetch } = settings;
  let address = first;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const headers = headersFor(address, settings, init.headers);
    let response: Response;
    try {
      response = await fetch(address, { ...init, headers, signal, redirect: 'manual' });
    } catch (error) {
      throw noAnswer(settings, reference, error);
    }
    if (response.ok || response.status === 416) return response; // 416: the part is all there is
    await discard(response);
    const location = response.headers.get('location');
    if (!REDIRECTS.has(response.status) || location === null) {
      throw statusError(settings, reference, response);
    }
    const next = URL.canParse(location, address.href) ? new URL(location, address) : null;
    if (!next || !/^https?:$/.test(next.protocol)) {
      throw badAnswer(settings, reference, 'a redirect to no address of the web');
    }
    address = next;
  }
  throw badAnswer(settings, reference, 'redirects without end');
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);

function headersFor(
  address: URL,
  { endpoint, token }: HubSettings,
  given: RequestInit['headers'],
): Headers {
  const headers = new Headers(given);
  headers.set('user-agent', `thimble/${VERSION}`);
  if (token !== null && address.origin === new URL(endpoint).origin) {
    headers.set('authorization', `Bearer ${token}`);
  }
  return headers;
}

/** Runs `attempt` again, after growing pauses, while it fails with what may pass and time is left. */
async function withRetries<T>(
  { retryMs, stallMs }: HubSettings,
  attempt: () => Promise<T>,
): Promise<T> {
  const until = performance.now() + TIMES_STALLED * stallMs;
  for (let failures = 0; ; failures++) {
    try {
      return await attempt();
    } catch (error) {
      const isLast = failures === RETRIES || performance.now() >= until;
      if (!isTemporary(error) || isLast) throw error;
      await sleep(retryMs * 2 ** failures);
    }
  }
}

export function isTemporary(error: unknown): error is DownloadError {
  return error instanceof DownloadError && error.isTemporary;
}

/** No connection, a broken one, or silence. */
function noAnswer(
  { endpoint, stallMs }: HubSettings,
  reference: HubReference,
  error: unknown,
): DownloadError {
  if (error instanceof DownloadError) return error; // the reason for which it was ended
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

/** Characters of the hub's code for a reason. */
const MAX_CODE = 60;

function statusError(
  { endpoint, token }: HubSettings,
  reference: HubReference,
  response: Response,
): DownloadError {
  const { status } = response;
  const where = referenceText(reference);
  const server = hostOf(endpoint);
  const code = (response.headers.get('x-error-code') ?? '').slice(0, MAX_CODE);
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
