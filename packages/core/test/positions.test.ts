/**
 * Position embeddings at another image size, against timm's way of doing it in PyTorch: the fixture
 * is written by reference/positions_fixture.py.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CheckpointError } from '../src/errors.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { readSafetensors } from '../src/formats/safetensors.js';
import { compile } from '../src/compile.js';
import { canResizePositions, resizePositions } from '../src/train/positions.js';
import { fitPositions, loadWeights, type WeightSource } from '../src/train/weights.js';
import { parameters } from '../src/ir/graph.js';
import { elements } from '../src/ir/types.js';
import { modelOf, SMALL } from './tiny-vit.js';

const path = new URL('../../../reference/fixtures/positions.safetensors', import.meta.url);
const fixture = readSafetensors(readFileSync(path));
const tensor = (name: string) => fixture.tensors.get(name)?.toFloat32() ?? new Float32Array();

it.each([
  ['to_8', 65],
  ['to_16', 257],
] as const)('equals PyTorch: %s', (name, rows) => {
  const got = resizePositions(tensor('from'), [1, 197, 8], rows, 1);
  const want = tensor(name);
  expect(got.length).toBe(want.length);
  want.forEach((value, i) => expect(Math.abs(got[i] - value)).toBeLessThanOrEqual(1e-6));
});

it('keeps an embedding of the same size', () => {
  const from = tensor('from');
  expect(resizePositions(from, [1, 197, 8], 197, 1)).toEqual(from);
});

it.each([
  ['another width', [1, 197, 8], [1, 65, 12], false],
  ['no square', [1, 190, 8], [1, 65, 8], false],
  ['another rank', [197, 8], [65, 8], false],
  ['two squares', [1, 197, 8], [1, 65, 8], true],
] as const)('knows what can be resized: %s', (_, from, to, want) => {
  expect(canResizePositions(from, to, 1)).toBe(want);
});

describe('loadWeights', () => {
  const small = modelOf(SMALL)(1);
  const large = modelOf({ ...SMALL, imageSize: 2 * SMALL.imageSize })(1);
  const sourceOf = (shapes: WeightSource['shapes']): WeightSource => ({
    name: 'file',
    shapes,
    read: (name) => new Float32Array(elements(shapes.get(name) ?? [])).fill(0.5),
  });
  const shapesOf = (model: typeof small) =>
    new Map(parameters(model.graph).map(({ name, type }) => [name, type.shape]));

  it('resizes and says so', async () => {
    const program = compile({ model: modelOf(SMALL), batch: 1 });
    const executor = await referenceExecutor.load(program);
    const report = loadWeights(executor, small, sourceOf(shapesOf(large)), 0);
    expect(report.resized).toEqual(['pos_embed']);
    // A constant stays the constant: the weights of every point sum to 1.
    for (const value of await executor.read('pos_embed')) expect(value).toBeCloseTo(0.5, 6);
    await executor.dispose();
  });

  it('resizes what the model says, and nothing that has such a shape', () => {
    const file = sourceOf(shapesOf(large));
    expect(fitPositions(small, file).resized).toEqual(['pos_embed']);
    expect(fitPositions({ ...small, positions: [] }, file).resized).toEqual([]);
  });

  it('leaves a source that fits alone', () => {
    const source = sourceOf(shapesOf(small));
    expect(fitPositions(small, source)).toEqual({ source, resized: [] });
  });

  it('still refuses another width', async () => {
    const program = compile({ model: modelOf(SMALL), batch: 1 });
    const executor = await referenceExecutor.load(program);
    const wide = modelOf({ ...SMALL, width: 24 })(1);
    expect(() => loadWeights(executor, small, sourceOf(shapesOf(wide)), 0)).toThrow(
      CheckpointError,
    );
    await executor.dispose();
  });
});
