#!/usr/bin/env -S node --max-semi-space-size=1
/**
 * The thimble command. Committed, unlike dist, so that npm can link it before anything is built.
 *
 * V8 lets its nursery grow to 2 × 4 MB while modules load, before a program can ask for less, and
 * keeps it; with the flag it stays at 2 × 1 MB, in the same time.
 */
import '../dist/main.js';
