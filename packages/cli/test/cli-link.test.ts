/** The command as npm links it: what `npx thimble` starts, executable bit included. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const linked = fileURLToPath(new URL('../../../node_modules/.bin/thimble', import.meta.url));

it.skipIf(process.platform === 'win32')('starts', async () => {
  const { stdout } = await promisify(execFile)(linked, ['--version']);
  expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});
