/** Writes the README's tables of speed from bench/results: npm run readme:table */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readmePath, withBlocks } from './files.js';

/** This file runs as bench/dist/readme/main.js. */
const root = fileURLToPath(new URL('../../..', import.meta.url));
const path = readmePath(root);
writeFileSync(path, withBlocks(readFileSync(path, 'utf8'), root));
console.log('README.md: tables written');
