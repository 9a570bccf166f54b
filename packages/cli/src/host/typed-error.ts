/** What is thrown, in four parts whatever it was. */
import { InternalError, ThimbleError } from '@thimble/core';
import { fileError } from './files.js';

/** Every error in four parts: what the system said is a FileError, anything else a fault of ours. */
export function typedError(error: unknown): ThimbleError {
  const path = error instanceof Error && 'path' in error ? String(error.path) : 'the system';
  const known = fileError(path, 'files and devices that can be used', error);
  if (known instanceof ThimbleError) return known;
  return new InternalError({
    where: 'thimble',
    expected: 'no fault of its own',
    got: error instanceof Error ? `${error.name}: ${error.message}` : String(error),
    todo: 'Please report this, with the command and what --debug prints',
  });
}
