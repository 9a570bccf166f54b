/**
 * Executed instructions by class, from QEMU's log of a user-mode program.
 *
 * With `-d in_asm,exec,nochain` QEMU prints the instructions of each translated block once and then
 * one line for each time that a block is run. A block has no branch inside, so instructions × runs,
 * summed over the blocks, is exactly what the program executed.
 */

/** What an instruction is to the pipes of a processor. */
export const CLASSES = ['fmla', 'load', 'store', 'broadcast', 'vector', 'scalar'] as const;
export type InstructionClass = (typeof CLASSES)[number];

/** Instructions by class; `loadRegisters` counts a load of a pair twice. */
export type Counts = Readonly<Record<InstructionClass | 'loadRegisters', number>>;

const KEYS = [...CLASSES, 'loadRegisters'] as const;

/** Sum over the classes. */
export function total(counts: Counts): number {
  return CLASSES.reduce((sum, name) => sum + counts[name], 0);
}

/** `a` − `b`, class by class. */
export function difference(a: Counts, b: Counts): Counts {
  return combine(a, b, -1);
}

/** `a` + `b`, class by class. */
export function sum(a: Counts, b: Counts): Counts {
  return combine(a, b, 1);
}

export function noCounts(): Counts {
  return combined(() => 0);
}

/** The class of one A64 instruction: `fmla`, `v24.4s, v2.4s, v9.s[0]`. */
export function classOf(mnemonic: string, operands: string): InstructionClass {
  if (mnemonic === 'fmla') return 'fmla';
  if (mnemonic === 'ld1r' || mnemonic === 'dup') return 'broadcast';
  if (mnemonic.startsWith('ld')) return 'load';
  if (mnemonic.startsWith('st')) return 'store';
  return /\bv\d+\.|\b[qs]\d+\b|\bd\d+,/.test(operands) ? 'vector' : 'scalar';
}

interface Block {
  readonly symbol: string;
  readonly counts: Counts;
  runs: number;
}

/** Reads QEMU's log chunk by chunk. */
export class InstructionLog {
  private rest = '';
  private symbol = '';
  private lines: string[] = [];
  private readonly current = new Map<string, Block>();
  private readonly blocks: Block[] = [];

  push(chunk: string): void {
    const lines = (this.rest + chunk).split('\n');
    this.rest = lines.pop() ?? '';
    for (const line of lines) this.line(line);
  }

  /** Counts by the function that executed them. */
  bySymbol(): ReadonlyMap<string, Counts> {
    const found = new Map<string, Counts>();
    for (const { symbol, counts, runs } of this.blocks) {
      const before = found.get(symbol) ?? noCounts();
      found.set(
        symbol,
        combined((key) => before[key] + runs * counts[key]),
      );
    }
    return found;
  }

  private line(line: string): void {
    if (line.startsWith('Trace ')) {
      const block = this.current.get(line.slice(line.indexOf('/') + 1, line.indexOf('/') + 17));
      if (!block) throw new Error(`instruction log: expected a translated block, got ${line}`);
      block.runs++;
    } else if (line.startsWith('0x')) {
      this.lines.push(line);
    } else if (line.startsWith('IN: ')) {
      this.symbol = line.slice('IN: '.length).trim();
      this.lines = [];
    } else if (line === '' && this.lines.length > 0) {
      this.finishBlock();
    }
  }

  private finishBlock(): void {
    const counts = { ...noCounts() };
    for (const line of this.lines) {
      // 0x004011e8:  ad400420  ldp      q1, q0, [x1]
      const [, , mnemonic = '', operands = ''] = /^(\S+)\s+\S+\s+(\S+)\s*(.*)$/.exec(line) ?? [];
      const name = classOf(mnemonic, operands);
      counts[name]++;
      if (name === 'load') counts.loadRegisters += mnemonic === 'ldp' ? 2 : 1;
      if (mnemonic === 'ld1r') counts.loadRegisters++;
    }
    const block = { symbol: this.symbol, counts, runs: 0 };
    const address = this.lines[0].slice(2, this.lines[0].indexOf(':'));
    this.current.set(address.padStart(16, '0'), block);
    this.blocks.push(block);
    this.lines = [];
  }
}

function combine(a: Counts, b: Counts, sign: number): Counts {
  return combined((key) => a[key] + sign * b[key]);
}

function combined(value: (key: keyof Counts) => number): Counts {
  return Object.fromEntries(KEYS.map((key) => [key, value(key)])) as Counts;
}
