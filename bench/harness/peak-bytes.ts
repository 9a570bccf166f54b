/** The greatest resident memory of this process since its start. */
import { readFileSync } from 'node:fs';

export function peakBytes(): number {
  try {
    const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    if (kilobytes !== undefined) return 1024 * Number(kilobytes);
  } catch {
    // Not Linux: the next line has it in kilobytes everywhere.
  }
  return 1024 * process.resourceUsage().maxRSS;
}
