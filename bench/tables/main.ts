/** Writes the tables of docs/benchmarks.md from bench/results: npm run bench:tables */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { pagePath, withBlocks } from './files.js';

/** This file runs as bench/dist/tables/main.js. */
const root = fileURLToPath(new URL('../../..', import.meta.url));
const path = pagePath(root);
writeFileSync(path, withBlocks(readFileSync(path, 'utf8'), root));
console.log('docs/benchmarks.md: tables written');
