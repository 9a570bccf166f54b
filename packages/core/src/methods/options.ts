/** Parsing of method options: shared error texts. */
import { ConfigError } from '../errors.js';

/** For methods without options: throws ConfigError when some are given. */
export function noConfig(method: string, text: string | undefined): null {
  if (text === undefined) return null;
  throw new ConfigError({
    where: `method ${method}`,
    expected: 'no option',
    got: `"=${text}"`,
    todo: `Write --method ${method}`,
  });
}
