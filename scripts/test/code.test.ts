/** The programs of docs/code.md are those of examples/, which run as tests (examples/examples.test.ts). */
import { expect, it } from 'vitest';
import { repositoryPaths, textOf } from './repository.js';

const EXAMPLES = repositoryPaths()
  .filter((path) => /^examples\/[\w-]+\.ts$/.test(path))
  .map((path) => ({ path, text: textOf(path) }));

const blocks = [...textOf('docs/code.md').matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(
  ([, block]) => block,
);

it.each(blocks)('an example has %s', (block) => {
  expect(EXAMPLES.filter(({ text }) => text.includes(block))).toHaveLength(1);
});

it('there are some', () => {
  expect(blocks.length).toBeGreaterThan(4);
});
