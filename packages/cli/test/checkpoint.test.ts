/** Checkpoints on disk keep every parameter and buffer in its own dtype, bit for bit. */
import {
  checkpointed,
  compile,
  FormatError,
  GraphBuilder,
  hostArray,
  i32,
  initialise,
  loadWeights,
  readWeights,
  referenceExecutor,
  type Executor,
  type HostData,
} from '@thimble/core';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { centred } from '../../core/test/centred.js';
import { checkpointBytes, openCheckpoint, saveCheckpoint } from '../src/weights/checkpoint.js';
import { openSharded } from '../src/weights/sharded.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-checkpoint-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const model = centred(1, 'eval');
const METADATA = new Map([['format', 'pt']]);

/** An executor of the model's evaluation whose tensors differ from one another and reach their dtype's ends. */
async function filled(): Promise<Executor> {
  const executor = await referenceExecutor.load(compile({ model: centred, batch: 1 }));
  for (const { name, type } of checkpointed(model.graph)) {
    const own = hostArray(type);
    for (let i = 0; i < own.length; i++) own[i] = type.dtype === 'i8' ? 17 * i - 128 : 1 / (i + 3);
    executor.write(name, own);
  }
  return executor;
}

describe('a checkpoint of a model with buffers', () => {
  it('has the dtypes of the model and the planned size', async () => {
    const path = join(folder, 'model.safetensors');
    await saveCheckpoint(path, await filled(), model, METADATA);
    expect(statSync(path).size).toBe(checkpointBytes(model, METADATA));
    const { dtypes, close } = openCheckpoint(path);
    close();
    expect(Object.fromEntries(dtypes)).toEqual({
      'fc.weight': 'F32',
      'fc.bias': 'F32',
      'head.weight': 'F32',
      'head.bias': 'F32',
      'norm.mean': 'F32',
      'offset.scale': 'F32',
      'offset.q': 'I8',
    });
  });

  it('is read back bit for bit, alone and as a shard', async () => {
    const path = join(folder, 'part.safetensors');
    const before = await filled();
    await saveCheckpoint(path, before, model, METADATA);
    const index = join(folder, 'model.safetensors.index.json');
    const map = Object.fromEntries(
      checkpointed(model.graph).map(({ name }) => [name, 'part.safetensors']),
    );
    writeFileSync(index, JSON.stringify({ metadata: {}, weight_map: map }));
    for (const checkpoint of [openCheckpoint(path), openSharded(index)]) {
      const after = await referenceExecutor.load(compile({ model: centred, batch: 1 }));
      initialise(after, model, 1);
      expect(loadWeights(after, model, checkpoint, 1).loaded).toBe(7);
      expect(await readWeights(after, model)).toEqual(await readWeights(before, model));
      checkpoint.close();
    }
  });

  it('mixes up no integers and reals', async () => {
    const path = join(folder, 'mixed.safetensors');
    await saveCheckpoint(path, await filled(), model, METADATA);
    const { read, readIntegers, close } = openCheckpoint(path);
    expect(() => read('offset.q')).toThrow(
      `${path}, tensor "offset.q": expected a float dtype, got I8. Use toInt32, or store`,
    );
    expect(() => readIntegers('norm.mean', 'i8')).toThrow(FormatError);
    expect(() => readIntegers('norm.mean', 'i32')).toThrow('expected an integer dtype, got F32');
    expect(readIntegers('offset.q', 'i32').slice(0, 2)).toEqual(Int32Array.of(-128, -111));
    close();
  });
});

it('refuses integers that a dtype cannot hold', async () => {
  const builder = new GraphBuilder();
  builder.buffer('wide', i32(3), { kind: 'zeros' });
  const wide = { ...model, graph: builder.build({}) };
  const data: HostData = Int32Array.of(127, 128, -(2 ** 31));
  const executor = { ...(await filled()), read: () => Promise.resolve(data) };
  const path = join(folder, 'wide.safetensors');
  await saveCheckpoint(path, executor, wide, METADATA);
  const { readIntegers, close } = openCheckpoint(path);
  expect(readIntegers('wide', 'i32')).toEqual(data);
  expect(() => readIntegers('wide', 'i8')).toThrow(
    'tensor "wide": expected integers of 8 bits, got 128 at element 1.',
  );
  close();
});
