import { describe, expect, it } from 'vitest';
import { registersOf, TILES } from '../arm64/cases.js';
import { boundOf, peakGflops } from '../arm64/cortex.js';
import { classOf, difference, InstructionLog, noCounts, total } from '../arm64/instructions.js';
import { arm64Text } from '../arm64/table.js';

const LOG = [
  '----------------',
  'IN: start',
  '0x00401000:  d2800000  movz     x0, #0',
  '0x00401004:  54000041  b.ne     #0x40100c',
  '',
  'Trace 0: 0x7f0000000100 [0000000000000001/0000000000401000/00000001/00000200] start',
  '----------------',
  'IN: tile',
  '0x00401100:  ad400420  ldp      q1, q0, [x1]',
  '0x00401104:  4f821018  fmla     v24.4s, v0.4s, v2.s[0]',
  '0x00401108:  54ffffc1  b.ne     #0x401100',
  '',
  'Trace 0: 0x7f0000000200 [0000000000000001/0000000000401100/00000001/00000200] tile',
  'Trace 0: 0x7f0000000200 [0000000000000001/0000000000401100/00000001/00000200] tile',
  '',
].join('\n');

describe('InstructionLog', () => {
  it('multiplies the instructions of a block by its runs, wherever the log is cut', () => {
    for (const size of [7, 100, LOG.length]) {
      const log = new InstructionLog();
      for (let at = 0; at < LOG.length; at += size) log.push(LOG.slice(at, at + size));
      const found = log.bySymbol();
      expect(found.get('start')).toEqual({ ...noCounts(), scalar: 2 });
      expect(found.get('tile')).toEqual({
        ...noCounts(),
        fmla: 2,
        load: 2,
        loadRegisters: 4,
        scalar: 2,
      });
    }
  });

  it('refuses a run of a block that it has not seen', () => {
    const log = new InstructionLog();
    expect(() => log.push('Trace 0: 0x1 [0/0000000000000004/0/0] x\n')).toThrow(
      'instruction log: expected a translated block, got Trace 0',
    );
  });
});

describe('classOf', () => {
  it.each([
    ['fmla', 'v24.4s, v2.4s, v9.s[0]', 'fmla'],
    ['ldr', 'q2, [x0, #0x20]', 'load'],
    ['ldp', 'x29, x30, [sp]', 'load'],
    ['ld1r', '{v8.4s}, [x1]', 'broadcast'],
    ['dup', 'v0.4s, v1.s[0]', 'broadcast'],
    ['stp', 'q1, q0, [x4]', 'store'],
    ['zip1', 'v0.4s, v1.4s, v2.4s', 'vector'],
    ['fmul', 's0, s1, s2', 'vector'],
    ['add', 'x1, x1, #0x20', 'scalar'],
    ['b.ne', '#0x401100', 'scalar'],
  ])('%s %s is %s', (mnemonic, operands, expected) => {
    expect(classOf(mnemonic, operands)).toBe(expected);
  });
});

describe('boundOf', () => {
  it('is the peak for nothing but multiply-adds', () => {
    expect(peakGflops()).toBeCloseTo(38.4, 10);
    const bound = boundOf({ ...noCounts(), fmla: 100 }, 800);
    expect(bound).toEqual({ by: 'vector pipes', cycles: 50, gflops: peakGflops() });
  });

  it('names what there is too little of', () => {
    expect(boundOf({ ...noCounts(), fmla: 100, scalar: 140 }, 800)).toMatchObject({
      by: 'decode',
      cycles: 60,
    });
    expect(boundOf({ ...noCounts(), fmla: 2, load: 4, loadRegisters: 8 }, 16).by).toBe(
      'load pipes',
    );
  });
});

describe('the table', () => {
  it('shows each count for one operation, and the bound', () => {
    const counts = { ...noCounts(), fmla: 125, load: 25, loadRegisters: 50, scalar: 50 };
    const [tile] = TILES.slice(-1);
    const row = { flops: 1000, counts, bound: boundOf(counts, 1000) };
    const text = arm64Text({
      tools: { compiler: 'gcc 12', emulator: 'qemu 7' },
      made: { commit: 'abc1234', date: '2026-01-02' },
      depth: 8,
      tiles: [{ ...tile, ...row }],
      gemms: [],
      dotprod: 0,
    });
    expect(registersOf(tile)).toBe(29);
    expect(text.replaceAll(/ +/g, ' ')).toContain(
      '| 12×8 | one load for four elements | 29 | 0.2000 | 0.1250 | 0.0250 | 0.0000 | 0.0000 | ' +
        '0.0000 | 0.0500 | vector pipes | 38.4 (100 %) |',
    );
    expect(text).toContain('gcc 12; qemu 7;\ncommit abc1234; 2026-01-02.\n');
  });

  it('subtracts class by class', () => {
    const a = { ...noCounts(), fmla: 3, scalar: 2 };
    expect(total(difference(a, { ...noCounts(), fmla: 1 }))).toBe(4);
  });
});
