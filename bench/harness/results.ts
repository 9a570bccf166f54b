/** Results in bench/results: `<name>.json` with everything, `<name>.md` to read, made from it. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { disturbance, measuredText, type MachineRecord } from './machine.js';

/** This file runs as bench/dist/harness/results.js. */
const folder = fileURLToPath(new URL('../../results/', import.meta.url));

/** Markdown of a whole result: title, warning, machine, body. */
export function document(title: string, machine: MachineRecord, body: string): string {
  const warning = disturbance(machine);
  return [
    `# ${title}\n`,
    ...(warning === null ? [] : [`**${warning}**\n`]),
    `${machineText(machine)}\n`,
    body,
  ].join('\n');
}

/** What `save` wrote last under this name; null where nothing was saved. */
export async function load(name: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(join(folder, `${name}.json`), 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** Writes the file to read alone. */
export async function saveText(name: string, markdown: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `${name}.md`), markdown);
  console.log(`Saved as bench/results/${name}.md`);
}

/** Writes both files. */
export async function save(name: string, result: object, markdown: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `${name}.json`), `${JSON.stringify(result, null, 2)}\n`);
  await writeFile(join(folder, `${name}.md`), markdown);
  console.log(`Saved as bench/results/${name}.json and .md`);
}

function machineText(machine: MachineRecord): string {
  const gigabytes = (machine.memoryBytes / 2 ** 30).toFixed(0);
  return [
    `${machine.cpu}, ${machine.cores} cores, ${gigabytes} GiB; ${machine.system};`,
    `Node ${machine.node}; ${machine.compiler ?? 'no C compiler'};`,
    `${measuredText(machine)}.`,
  ].join(' ');
}
