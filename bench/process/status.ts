/** What a process has resident, as Linux says it, in bytes. */
import { readFileSync } from 'node:fs';

export interface Resident {
  /** At the moment. */
  readonly bytes: number;
  /** Of that, pages of files: the binary of Node and libraries, which the system may drop and read again. */
  readonly fileBytes: number;
  /** The most since its start. */
  readonly peakBytes: number;
}

/** @param process its number, or `self`. Throws where it has ended, and on other systems than Linux. */
export function residentOf(process: number | 'self'): Resident {
  const text = readFileSync(`/proc/${String(process)}/status`, 'utf8');
  const bytesOf = (name: string) => {
    const [, kilobytes] = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text) ?? [];
    return 1024 * Number(kilobytes);
  };
  return { bytes: bytesOf('VmRSS'), fileBytes: bytesOf('RssFile'), peakBytes: bytesOf('VmHWM') };
}
