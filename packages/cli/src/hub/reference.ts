/**
 * Names of models on the hub: `owner/name`, or `owner/name@revision`.
 *
 * Both parts become folders of the cache and parts of URLs, so only what the hub itself allows is
 * let through: letters, digits, `-`, `_` and `.`, at most 96 characters, no `..` and no `--`; a
 * revision (branch, tag or commit) may have `/` between such parts.
 */
import { ConfigError } from '@thimble/core';

export interface HubReference {
  /** `owner/name`. */
  readonly name: string;
  /** Branch, tag or commit. */
  readonly revision: string;
}

const DEFAULT_REVISION = 'main';

const COMMIT = /^[0-9a-f]{40}$/;
const PART = /^[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?$/;
/** A file on this disk that was mistyped, not a model. */
const FILE = /\.(safetensors|json|pt|pth|bin|ckpt|onnx|h5)$/i;

/** True for a text that has the form of a name on the hub, whether it exists or not. */
export function looksLikeHubName(text: string): boolean {
  const [name] = split(text);
  const parts = name.split('/');
  return parts.length === 2 && parts.every((part) => /^[\w.-]+$/.test(part)) && !isPath(name);
}

/** Throws ConfigError for a name or a revision that the hub would not have. */
export function hubReference(text: string, revision?: string): HubReference {
  const [name, own] = split(text);
  if (own !== undefined && revision !== undefined && own !== revision) {
    throw wrong('--revision', `${own}, as ${text} says`, revision, 'Say the revision once');
  }
  const parts = name.split('/');
  if (parts.length !== 2 || !parts.every(isPart) || /--|\.git$/.test(name)) {
    const todo = `Write it as on the hub, as in google/vit-base-patch16-224`;
    throw wrong(
      'model name',
      'owner/name of letters, digits, ".", "-" and "_"',
      quoted(name),
      todo,
    );
  }
  const asked = own ?? revision ?? DEFAULT_REVISION;
  if (!asked.split('/').every(isPart) || asked.length > 255) {
    const todo = `Take one that ${name} has; ${DEFAULT_REVISION} is the default`;
    throw wrong('revision', 'a branch, a tag or a commit', quoted(asked), todo);
  }
  return { name, revision: asked };
}

/** True for a revision that can never mean anything else. */
export function isCommit(revision: string): boolean {
  return COMMIT.test(revision);
}

/** `owner/name@revision`, without the default one. */
export function referenceText({ name, revision }: HubReference): string {
  return revision === DEFAULT_REVISION ? name : `${name}@${revision}`;
}

function split(text: string): readonly [name: string, revision: string | undefined] {
  const at = text.indexOf('@');
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

function isPart(part: string): boolean {
  return PART.test(part) && !part.includes('..');
}

function isPath(name: string): boolean {
  return name.startsWith('.') || FILE.test(name);
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}

function wrong(where: string, expected: string, got: string, todo: string): ConfigError {
  return new ConfigError({ where, expected, got, todo });
}
