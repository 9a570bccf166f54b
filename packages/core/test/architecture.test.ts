/** ARCHITECTURE.md shows what the compiler prints: every line of its example stands in some stage. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { workedExample } from './worked-example.js';

it('prints the worked example of ARCHITECTURE.md', () => {
  const stages = Object.values(workedExample('full'));
  const text = readFileSync(new URL('../../../ARCHITECTURE.md', import.meta.url), 'utf8');
  const blocks = [...text.matchAll(/^```\n([\s\S]*?)^```$/gm)].map((match) => match[1]);
  expect(blocks.length).toBe(6);
  for (const block of blocks) {
    const lines = block.trimEnd().split('\n');
    const holds = stages.some((stage) => {
      const printed = new Set(stage.split('\n'));
      return lines.every((line) => printed.has(line));
    });
    expect(holds, block).toBe(true);
  }
});
