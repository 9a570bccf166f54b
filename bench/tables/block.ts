/**
 * Blocks of a page that a command writes: what lies between two comments is replaced, what a person wrote
 * around them stays.
 */

export type BlockName = 'accuracy' | 'speed' | 'scale' | 'process';

const END = '<!-- end of what it made -->\n';

/** Whether the page has a place for the block called `name`. */
export function hasBlock(page: string, name: BlockName): boolean {
  return page.includes(beginOf(name));
}

/** `page` with the block called `name` replaced. Throws Error for one without its two comments. */
export function withBlock(page: string, name: BlockName, block: string): string {
  const begin = beginOf(name);
  const from = page.indexOf(begin);
  const to = page.indexOf(END, from);
  if (from < 0 || to < 0) throw new Error(`the page: expected the lines ${begin}and ${END}`);
  return `${page.slice(0, from)}${begin}\n${block}\n${page.slice(to)}`;
}

function beginOf(name: BlockName): string {
  return `<!-- ${name}: made by npm run bench:tables -->\n`;
}
