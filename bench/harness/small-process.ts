/**
 * Imported for its effect, before anything else: a process whose peak memory is measured keeps V8's
 * nursery at its first size and gives freed memory back, as the thimble command does.
 */
import { returnFreedMemory } from '@thimble/native';
import { setFlagsFromString } from 'node:v8';

setFlagsFromString('--semi-space-growth-factor=1');
returnFreedMemory();
