/**
 * How a command ends: exit codes, and what an error says to people and to programs.
 *
 *   0  done      1  failed      2  cannot be carried out as written      130  Ctrl-C
 */
import { ConfigError, UnknownNameError, type ThimbleError } from '@thimble/core';
import { CommanderError } from 'commander';
import { visible } from './terminal.js';
import { typedError } from './typed-error.js';

export { typedError } from './typed-error.js';

export const EXIT = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/** Ends a command with a code after it has said all there is to say. */
export class ExitSignal extends Error {
  readonly code: number;

  constructor(code: number) {
    super(`exit ${String(code)}`);
    this.code = code;
  }
}

export interface FailureStyle {
  readonly json: boolean;
  /** Adds the stack. */
  readonly debug: boolean;
}

/** Says what went wrong, once, and returns the exit code. */
export function reportFailure(error: unknown, style: FailureStyle): number {
  if (error instanceof ExitSignal) return error.code;
  if (error instanceof CommanderError) return reportUsage(error, style);
  const typed = typedError(error);
  const code = exitCodeOf(typed);
  if (style.json) {
    process.stdout.write(`${JSON.stringify(failureRecord(typed, code))}\n`);
  } else {
    process.stderr.write(`thimble: ${visible(typed.message)}\n`);
  }
  if (style.debug && error instanceof Error) process.stderr.write(`${error.stack ?? ''}\n`);
  return code;
}

/** Commander has already written its text; help and version are not failures. */
function reportUsage(error: CommanderError, style: FailureStyle): number {
  if (error.exitCode === 0) return EXIT.ok;
  const { message } = error;
  if (style.json) {
    const record = { event: 'error', name: 'UsageError', message, exitCode: EXIT.usage };
    process.stdout.write(`${JSON.stringify(record)}\n`);
  }
  return EXIT.usage;
}

/** Usage errors are those that another command line mends without touching any file. */
export function exitCodeOf(error: ThimbleError): number {
  const usage = error instanceof ConfigError || error instanceof UnknownNameError;
  return usage ? EXIT.usage : EXIT.failed;
}

/** The last line of a failed command under --json. */
export function failureRecord(error: ThimbleError, exitCode: number): Record<string, unknown> {
  const { name, message, parts } = error;
  return { event: 'error', name, message, ...parts, exitCode };
}
