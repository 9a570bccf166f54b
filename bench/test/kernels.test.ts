import { plannedBytes, wasmExecutor } from '@thimble/core';
import { describe, expect, it } from 'vitest';
import { KERNEL_CASES, kernelProgram, workOf } from '../kernels/cases.js';
import { checkOutputs, expectedOutputs, inputsOf, writeInputs } from '../kernels/contestants.js';

const gelu = KERNEL_CASES.filter(({ op }) => op === 'gelu')[0];

describe('kernel cases', () => {
  it('have names of their own and programs that plan', () => {
    expect(new Set(KERNEL_CASES.map(({ name }) => name)).size).toBe(KERNEL_CASES.length);
    for (const item of KERNEL_CASES) expect(kernelProgram(item, 2).entries[0].steps.length).toBe(2);
  });

  it('need no more memory for more repeats', () => {
    const [few, many] = [3, 30].map((repeats) => plannedBytes(kernelProgram(gelu, repeats), 1));
    expect(many).toBe(few);
  });

  it('count the work of a product: 2·m·n·k operations, every operand once', () => {
    const [square] = KERNEL_CASES;
    expect(square.name).toBe('matmul NN 1024×1024×1024 (square)');
    expect(workOf(square)).toEqual({ flops: 2 * 1024 ** 3, bytes: 3 * 4 * 1024 ** 2 });
  });
});

describe('the check before timing', () => {
  it('accepts a right result and names the element of a wrong one', async () => {
    const executor = await wasmExecutor.load(kernelProgram(gelu, 2));
    writeInputs(executor, inputsOf(gelu));
    await executor.run('run');
    const expected = await expectedOutputs(gelu);
    await expect(checkOutputs(executor, gelu, expected)).resolves.toBeUndefined();
    const wrong = Float64Array.from(expected.get('y') ?? []);
    wrong[7] += 1;
    await expect(checkOutputs(executor, gelu, new Map([['y', wrong]]))).rejects.toThrow(
      `gelu 1576×768 on wasm ${executor.detail}, output y, element 7: expected ${wrong[7]} within`,
    );
    await executor.dispose();
  });
});
