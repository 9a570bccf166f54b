/** Errors on their way from one thread to another, which takes fields and not classes. */
import { ERROR_CLASSES, InternalError, type ErrorParts, type ThimbleError } from '@thimble/core';
import { typedError } from '../host/typed-error.js';

/** An error as a message has it. */
export interface SentError {
  readonly name: string;
  readonly parts: ErrorParts;
  readonly stack: string;
}

/** What happened in this thread, in four parts whatever it was. */
export function sentError(error: unknown): SentError {
  const { name, parts, stack = '' } = typedError(error);
  return { name, parts, stack: error instanceof Error ? (error.stack ?? stack) : stack };
}

/** The error of the other thread, of its class and with its stack. */
export function receivedError({ name, parts, stack }: SentError): ThimbleError {
  const Known = ERROR_CLASSES.find((known) => known.name === name) ?? InternalError;
  const error = new Known(parts);
  error.stack = stack;
  return error;
}
