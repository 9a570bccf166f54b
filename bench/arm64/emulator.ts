/** The cross compiler and the emulator: finding them, building the counting program, running it. */
import { execFile, spawn } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { difference, InstructionLog, noCounts, type Counts } from './instructions.js';

const COMPILER = 'aarch64-linux-gnu-gcc';
const EMULATOR = 'qemu-aarch64-static';
const OBJDUMP = 'aarch64-linux-gnu-objdump';
/** This file runs as bench/dist/arm64/emulator.js. */
const kernels = fileURLToPath(new URL('../../../kernels/', import.meta.url));

/** As scripts/build/native.ts compiles kernels. */
const FLAGS = '-O3 -std=c11 -fPIC -ffreestanding -fno-math-errno -ffp-contract=fast'.split(' ');

/** Version lines of both tools. Throws Error that says what to install. */
export async function toolVersions(): Promise<{ readonly compiler: string; emulator: string }> {
  try {
    const [compiler, emulator] = await Promise.all([
      output(COMPILER, ['--version']),
      output(EMULATOR, ['--version']),
    ]);
    return { compiler: firstLine(compiler), emulator: firstLine(emulator) };
  } catch {
    throw new Error(
      `arm64: expected ${COMPILER} and ${EMULATOR}, which are not both here; on Debian ` +
        'they are in gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user-static',
    );
  }
}

/** Builds kernels/test/count.c with more flags and returns its path, in a new folder. */
export async function buildCounter(flags: readonly string[] = []): Promise<string> {
  const program = join(await mkdtemp(join(tmpdir(), 'thimble-arm64-')), 'count');
  const sources = ['test/count.c', 'gemm.c'].map((name) => join(kernels, name));
  await output(COMPILER, [...FLAGS, ...flags, '-static', '-o', program, ...sources]);
  return program;
}

/** How many instructions of a program have one of these mnemonics. */
export async function occurrences(program: string, mnemonics: RegExp): Promise<number> {
  const text = await output(OBJDUMP, ['-d', '--no-show-raw-insn', program]);
  return text.split('\n').filter((line) => mnemonics.test(line.split('\t')[1] ?? '')).length;
}

/**
 * What one repeat of `words` executes, by function: a run with one repeat less a run with none.
 *
 * @param more arguments of the emulator
 */
export async function countOne(
  program: string,
  words: readonly string[],
  more: readonly string[] = [],
): Promise<ReadonlyMap<string, Counts>> {
  const none = await countRun(program, ['0', ...words], more);
  const one = await countRun(program, ['1', ...words], more);
  const found = new Map<string, Counts>();
  for (const [symbol, counts] of one) {
    const own = difference(counts, none.get(symbol) ?? noCounts());
    if (Object.values(own).some((value) => value !== 0)) found.set(symbol, own);
  }
  return found;
}

function countRun(program: string, words: readonly string[], more: readonly string[]) {
  return new Promise<ReadonlyMap<string, Counts>>((resolve, reject) => {
    const log = new InstructionLog();
    const args = [...more, '-d', 'in_asm,exec,nochain', program, ...words];
    const child = spawn(EMULATOR, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.setEncoding('latin1');
    child.stderr.on('data', (chunk: string) => log.push(chunk));
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(log.bySymbol());
      else reject(new Error(`${EMULATOR} ${args.join(' ')}: exit status ${code ?? 'none'}`));
    });
  });
}

async function output(command: string, args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, [...args], { maxBuffer: 1 << 28 });
  return stdout;
}

function firstLine(text: string): string {
  return text.split('\n')[0];
}
