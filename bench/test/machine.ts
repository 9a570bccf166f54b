/** A machine that never was, for tests of what is printed. */
import type { MachineRecord } from '../harness/machine.js';

export const QUIET = { busyShare: 0.01, loadAverage: 0.2, waitedSeconds: 1, quiet: true };
export const MACHINE: MachineRecord = {
  cpu: 'A Processor',
  cores: 2,
  memoryBytes: 8 * 2 ** 30,
  system: 'An OS, x64',
  node: 'v20.19.0',
  compiler: 'cc 12',
  commit: 'abc1234',
  date: '2026-01-02 03:04 UTC',
  idle: QUIET,
};
