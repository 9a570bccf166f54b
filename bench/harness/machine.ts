/**
 * What a result depends on besides the code: the machine, its software, and whether anybody else
 * was using it. A result from a busy machine is kept, but says so in its first line.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { arch, cpus, loadavg, platform, release, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

export interface MachineRecord {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly system: string;
  readonly node: string;
  /** First line of what the C compiler answers to --version; null without one. */
  readonly compiler: string | null;
  /** Abbreviated, with a + when files were changed since; null outside of a clone. */
  readonly commit: string | null;
  readonly date: string;
  readonly idle: IdleRecord;
  /**
   * Steal time: the share of the time that the cores had work, in which a hypervisor gave them to others
   * while the measurement ran; null where the system does not tell, absent where nobody counted.
   */
  readonly stolenShare?: number | null;
}

/** How quiet the machine was when the measurement began. */
export interface IdleRecord {
  /** Share of all cores' time that others took in the last sample. */
  readonly busyShare: number;
  /** One minute's load average; a build just before raises it. */
  readonly loadAverage: number;
  readonly waitedSeconds: number;
  readonly quiet: boolean;
}

/** Others may take this share of the cores' time on a machine that counts as idle. */
const QUIET_SHARE = 0.05;
const SAMPLE_MS = 1000;

/**
 * Describes this machine; call it right before measuring. Waits up to `patienceSeconds` for quiet.
 */
export async function machineRecord(patienceSeconds = 30): Promise<MachineRecord> {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() || arch(),
    cores: processors.length,
    memoryBytes: totalmem(),
    system: `${systemName()}, ${arch()}`,
    node: process.version,
    compiler: await firstLine(process.env['CC'] ?? 'cc', ['--version']),
    commit: await commit(),
    date: new Date().toISOString().slice(0, 16).replace('T', ' ') + ' UTC',
    idle: await waitForQuiet(patienceSeconds),
  };
}

/** The loud line of a result that was disturbed; null for one that was not. */
export function disturbance({ idle }: MachineRecord): string | null {
  if (idle.quiet) return null;
  const share = (100 * idle.busyShare).toFixed(0);
  return (
    `NOT IDLE: others used ${share} % of the cores (load average ${idle.loadAverage.toFixed(1)}) ` +
    'when this was measured; times are too long, ratios are noisy.'
  );
}

/** Starts to count steal time (Linux); the answer is MachineRecord.stolenShare until then. */
export function countStealTime(): () => number | null {
  const before = busyTime();
  return () => {
    const after = busyTime();
    if (before === null || after === null || after.busy === before.busy) return null;
    return (after.stolen - before.stolen) / (after.busy - before.busy);
  };
}

/** When it was measured, of which commit, and what a hypervisor took, where that is known. */
export function measuredText({ commit, date, stolenShare }: MachineRecord): string {
  const text = `commit ${commit ?? 'unknown'}; ${date}`;
  if (stolenShare === undefined || stolenShare === null) return text;
  const share = (100 * stolenShare).toFixed(0);
  return `${text}; CPU steal time ${share} %`;
}

/** Ticks since the start of the system, all cores: user nice system idle iowait irq softirq steal. */
function busyTime(): { readonly stolen: number; readonly busy: number } | null {
  try {
    const line = /^cpu +(.*)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1];
    const [user, nice, system, , , irq, softirq, stolen] = line?.split(' ').map(Number) ?? [];
    const busy = user + nice + system + irq + softirq + stolen;
    return Number.isFinite(busy) ? { stolen, busy } : null;
  } catch {
    return null;
  }
}

async function waitForQuiet(patienceSeconds: number): Promise<IdleRecord> {
  const started = performance.now();
  for (;;) {
    const busyShare = await sampleBusyShare();
    const waitedSeconds = Math.round((performance.now() - started) / 1000);
    const quiet = busyShare <= QUIET_SHARE;
    if (quiet || waitedSeconds >= patienceSeconds) {
      return { busyShare, loadAverage: loadavg()[0], waitedSeconds, quiet };
    }
  }
}

/** Share of the cores' time that is not idle while this process sleeps. */
async function sampleBusyShare(): Promise<number> {
  const before = coreTimes();
  await sleep(SAMPLE_MS);
  const after = coreTimes();
  const total = after.total - before.total;
  return total > 0 ? 1 - (after.idle - before.idle) / total : 0;
}

function coreTimes(): { readonly idle: number; readonly total: number } {
  let idle = 0;
  let total = 0;
  for (const { times } of cpus()) {
    idle += times.idle;
    total += times.user + times.nice + times.sys + times.idle + times.irq;
  }
  return { idle, total };
}

function systemName(): string {
  try {
    const name = /^PRETTY_NAME="(.*)"$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
    if (name !== undefined) return `${name}, ${platform()} ${release()}`;
  } catch {
    // Not a Linux with that file: the kernel's name has to do.
  }
  return `${platform()} ${release()}`;
}

async function commit(): Promise<string | null> {
  const name = await firstLine('git', ['rev-parse', '--short', 'HEAD']);
  if (name === null) return null;
  const changes = await firstLine('git', ['status', '--porcelain', '--untracked-files=no']);
  return changes === null || changes === '' ? name : `${name}+`;
}

/** First line that a command prints; null when it fails. */
async function firstLine(command: string, args: readonly string[]): Promise<string | null> {
  try {
    const { stdout } = await promisify(execFile)(command, [...args]);
    return stdout.split('\n')[0];
  } catch {
    return null;
  }
}
