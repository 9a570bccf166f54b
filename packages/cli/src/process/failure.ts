/**
 * How a command ends: exit codes, and what an error says to people and to programs.
 *
 *   0  done      1  failed      2  cannot be carried out as written
 *   129  SIGHUP  130  Ctrl-C    143  SIGTERM
 *   141  what it prints is all that it does, and nobody reads it (as SIGPIPE ends others)
 */
import { ConfigError, ThimbleError, UnknownNameError, type AdvisedOption } from '@thimble/core';
import { CommanderError } from 'commander';
import { fileError } from '../host/files.js';
import { writeError, writeOut, type Loss } from '../terminal/streams.js';
import { jsonLine, visible } from '../terminal/terminal.js';
import { typedError } from '../host/typed-error.js';

export const EXIT = { ok: 0, failed: 1, usage: 2, unread: 141 } as const;

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
  if (style.json) writeOut(`${jsonLine(failureRecord(typed, code))}\n`);
  else writeError(`thimble: ${visible(saidOf(typed).message)}\n`);
  if (style.debug && error instanceof Error) writeError(`${visible(error.stack ?? '')}\n`);
  return code;
}

/**
 * What a lost stream means. A command that makes files goes on without it: hours of training are
 * worth more than their report. Any other ends, as its output was all there was to do.
 *
 * @returns the exit code to end with at once; null to go on
 */
export function reportLoss(loss: Loss, makesFiles: boolean): number | null {
  const { stream, error, isUnread } = loss;
  if (stream === 'stderr') {
    if (!isUnread) process.exitCode = EXIT.failed; // remarks are missing, and nothing can say so
    return null;
  }
  if (isUnread) {
    if (!makesFiles) return EXIT.unread;
    writeError('thimble: nobody reads the output any more; going on without it\n');
    return null;
  }
  const wanted = 'a device that takes what is printed';
  const typed = typedError(fileError('stdout', wanted, error));
  const going = makesFiles ? '; going on without it' : '';
  writeError(`thimble: ${visible(typed.message.replace(/\.$/, ''))}${going}.\n`);
  if (!makesFiles) return EXIT.failed;
  process.exitCode = EXIT.failed;
  return null;
}

/** Commander has already written its text; help and version are not failures. */
function reportUsage(error: CommanderError, style: FailureStyle): number {
  if (error.exitCode === 0) return EXIT.ok;
  const { message } = error;
  if (style.json) {
    const record = { event: 'error', name: 'UsageError', message, exitCode: EXIT.usage };
    writeOut(`${jsonLine(record)}\n`);
  }
  return EXIT.usage;
}

/** Usage errors are those that another command line mends without touching any file. */
export function exitCodeOf(error: ThimbleError): number {
  const usage = error instanceof ConfigError || error instanceof UnknownNameError;
  return usage ? EXIT.usage : EXIT.failed;
}

/** How the command calls what the library advises to change. */
const FLAGS: { readonly [K in AdvisedOption]: string } = {
  batch: '--batch',
  budget: '--memory',
  dtype: '--dtype',
  imageSize: '--image-size',
  lr: '--lr',
  method: '--method',
  model: '--model',
  preprocess: '--preprocess',
  saved: '--saved',
};

/** What is said of an error: the same, with the flags of the options that its advice speaks of. */
function saidOf({ parts: { options = [], ...parts } }: ThimbleError): ThimbleError {
  if (options.length === 0) return new ThimbleError(parts);
  const flags = options.map((option) => FLAGS[option]).join(', ');
  return new ThimbleError({ ...parts, todo: `${parts.todo} (${flags})` });
}

/** The last line of a failed command under --json. */
export function failureRecord(error: ThimbleError, exitCode: number): Record<string, unknown> {
  const { message, parts } = saidOf(error);
  return { event: 'error', name: error.name, message, ...parts, exitCode };
}
