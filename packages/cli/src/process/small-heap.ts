/**
 * Imported for its effect, before anything else: keeps V8's nursery at its first size. It grows to
 * 16 MB while modules are loaded and a program is compiled, and hardly shrinks; measured on a run
 * of head: 14 MB less, the same time.
 */
import { setFlagsFromString } from 'node:v8';

setFlagsFromString('--semi-space-growth-factor=1');
