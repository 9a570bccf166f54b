/**
 * Many damaged inputs for one reader, and what it made of them. A reader must return something sound or throw an
 * error of Thimble's own, soon:
 *
 *   untyped    threw anything but a ThimbleError
 *   invalid    returned what must not pass, by the target's own check
 *   slow       took longer than SLOW_MS
 */
import { Random, ThimbleError } from '@thimble/core';

/** Something that reads input from outside. To be listed in targets/index.ts is to be tried. */
export interface Target {
  readonly name: string;
  /** A damaged input. */
  make(random: Random): string | Uint8Array;
  /**
   * Reads it. Throws what the reader throws; returns null, or in words why what the reader returned must not
   * have passed.
   */
  check(input: string | Uint8Array): string | null | Promise<string | null>;
  /** Cases of one try in the tests, where not as many as usual fit. */
  readonly testCases?: number;
  /** What is slow here, where it is not SLOW_MS. */
  readonly slowMs?: number;
}

export interface Finding {
  readonly kind: 'untyped' | 'invalid' | 'slow';
  readonly what: string;
  count: number;
  /** The number of the case, from which its input follows, and the shortest input as text. */
  first: number;
  input: string;
}

export interface Campaign {
  readonly target: string;
  readonly cases: number;
  readonly accepted: number;
  readonly refused: number;
  readonly findings: readonly Finding[];
  readonly seconds: number;
}

const SLOW_MS = 2000;
const SHOWN = 300;

/** Runs cases `0 … cases − 1` of a seed. */
export async function campaign(target: Target, cases: number, seed: number): Promise<Campaign> {
  const findings = new Map<string, Finding>();
  const started = performance.now();
  const { slowMs = SLOW_MS } = target;
  let accepted = 0;
  let refused = 0;
  for (let index = 0; index < cases; index++) {
    const input = target.make(Random.of(seed, target.name, index));
    const note = (kind: Finding['kind'], what: string) => {
      noteFinding(findings, kind, what, index, input);
    };
    const before = performance.now();
    try {
      const invalid = await target.check(input);
      accepted++;
      if (invalid !== null) note('invalid', invalid);
    } catch (error) {
      if (error instanceof ThimbleError) refused++;
      else note('untyped', originOf(error));
    }
    if (performance.now() - before > slowMs) note('slow', `longer than ${String(slowMs)} ms`);
  }
  const seconds = (performance.now() - started) / 1000;
  const sorted = [...findings.values()].sort((a, b) => b.count - a.count);
  return { target: target.name, cases, accepted, refused, findings: sorted, seconds };
}

/** What was found, for people; '' for nothing. */
export function findingsText({ findings }: Campaign): string {
  return findings
    .map(
      ({ kind, what, count, first, input }) =>
        `${kind}: ${what}, ${String(count)} times, first in case ${String(first)}: ` +
        JSON.stringify(input.slice(0, SHOWN)),
    )
    .join('\n');
}

function noteFinding(
  findings: Map<string, Finding>,
  kind: Finding['kind'],
  what: string,
  index: number,
  input: string | Uint8Array,
): void {
  const key = `${kind} ${what}`;
  const shown = typeof input === 'string' ? input : new TextDecoder('latin1').decode(input);
  const found = findings.get(key) ?? { kind, what, count: 0, first: index, input: shown };
  found.count++;
  if (shown.length < found.input.length) found.input = shown;
  findings.set(key, found);
}

/** Name, message without its numbers, and where it was thrown. */
function originOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const message = error.message.replace(/\d+/g, 'N').slice(0, 160);
  const at = error.stack?.split('\n').find((line) => line.includes('/packages/')) ?? '';
  return `${error.name}: ${message} ${at.replace(/^.*packages\//, '@ ').replace(/:\d+\)?$/, '')}`;
}
