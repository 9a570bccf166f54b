/**
 * Where the hub and its cache are: the variables that huggingface_hub reads, so that Python and
 * Thimble share one cache and one login.
 *
 *   HF_ENDPOINT                        another server
 *   HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME    the cache: the first that is set
 *   HF_TOKEN, HF_TOKEN_PATH            the login; else the file that `hf auth login` wrote
 *   HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE     nothing is asked of the network
 */
import { ConfigError } from '@thimble/core';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { readText } from '../host/files.js';

export interface HubSettings {
  /** Without a final slash. */
  readonly endpoint: string;
  /** Folder of `models--owner--name`. */
  readonly cache: string;
  /** Sent to the endpoint only, printed nowhere. */
  readonly token: string | null;
  readonly offline: boolean;
  /** Before a second attempt; doubles with each. */
  readonly retryMs: number;
  /** Without an answer or a byte, after which an attempt is given up. */
  readonly stallMs: number;
  /** Default: that of the platform. */
  readonly fetch?: typeof fetch;
}

type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULT_ENDPOINT = 'https://huggingface.co';
const RETRY_MS = 500;
const STALL_MS = 30_000;
const MAX_TOKEN_BYTES = 10_000;

/** @param offline --offline */
export function hubSettings(environment: Environment, offline: boolean): HubSettings {
  const read = (name: string) => environment[name]?.trim() || undefined;
  const home =
    read('HF_HOME') ?? join(read('XDG_CACHE_HOME') ?? join(homedir(), '.cache'), 'huggingface');
  const folder = read('HF_HUB_CACHE') ?? read('HUGGINGFACE_HUB_CACHE') ?? join(home, 'hub');
  const isSet = (name: string) => /^(1|true|yes|on)$/i.test(read(name) ?? '');
  return {
    endpoint: endpointOf(read('HF_ENDPOINT') ?? DEFAULT_ENDPOINT),
    cache: expanded(folder),
    token: tokenOf(
      read('HF_TOKEN') ??
        read('HUGGING_FACE_HUB_TOKEN') ??
        tokenFile(expanded(read('HF_TOKEN_PATH') ?? join(home, 'token'))),
    ),
    offline: offline || isSet('HF_HUB_OFFLINE') || isSet('TRANSFORMERS_OFFLINE'),
    retryMs: RETRY_MS,
    stallMs: STALL_MS,
  };
}

function endpointOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url && /^https?:$/.test(url.protocol) && url.username === '') return text.replace(/\/+$/, '');
  throw new ConfigError({
    where: 'HF_ENDPOINT',
    expected: 'the address of a server, as in https://huggingface.co',
    got: url ? url.protocol : 'a text that is none',
    todo: 'Correct the variable, or leave it out',
  });
}

/** A token that can be sent; the error does not show it. */
function tokenOf(text: string | null): string | null {
  if (text === null || /^[\x21-\x7e]{1,1000}$/.test(text)) return text;
  throw new ConfigError({
    where: 'HF_TOKEN, or the file of the login',
    expected: 'an access token, as in hf_…',
    got: 'a text that is none',
    todo: 'Correct it, or leave it out',
  });
}

function expanded(path: string): string {
  return resolve(path.replace(/^~(?=\/|$)/, homedir()));
}

function tokenFile(path: string): string | null {
  try {
    return readText(path, 'a token', MAX_TOKEN_BYTES).trim() || null;
  } catch {
    return null; // not logged in
  }
}
