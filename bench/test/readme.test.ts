/** The README's tables of speed are those that the results make. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { withBlock } from '../readme/block.js';
import { blockOf, readmePath } from '../readme/files.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

describe('README', () => {
  it('has the tables of bench/results (npm run readme:table writes them)', () => {
    const readme = readFileSync(readmePath(root), 'utf8');
    expect(readme).toBe(withBlock(readme, blockOf(root)));
  });

  it('without a place for them is an error', () => {
    expect(() => withBlock('# Thimble\n', '')).toThrow('README: expected the lines');
  });
});
