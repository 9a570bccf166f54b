/** Pretrained weights that come with Thimble, by the name of their preset. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';

/** The file with the weights of a preset; null where there is none. */
export function embeddedWeights(name: string): string | null {
  if (!/^[\w-]+$/.test(name)) return null;
  try {
    const require = createRequire(import.meta.url);
    const path = require.resolve(`@thimble/core/assets/${name}.safetensors`);
    return existsSync(path) ? path : null;
  } catch {
    return null; // no such file among the package's
  }
}
