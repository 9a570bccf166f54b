/** Writes the tables of docs/benchmarks.md and README's paragraph from bench/results: npm run bench:tables */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { pages } from './files.js';

/** This file runs as bench/dist/tables/main.js. */
const root = fileURLToPath(new URL('../../..', import.meta.url));
for (const { path, rewritten } of pages(root)) {
  writeFileSync(path, rewritten(readFileSync(path, 'utf8')));
  console.log(`${path}: tables written`);
}
