/** Weights are factored at ranks that are known, as prepare factors them plainly at those that it finds. */
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.js';
import { wasmExecutor } from '../src/executors/wasm/index.js';
import type { Executor } from '../src/executors/executor.js';
import { checkpointed } from '../src/ir/graph.js';
import { sgd } from '../src/optim/sgd.js';
import { emitKnown } from '../src/prepare/known.js';
import { prepare } from '../src/prepare/prepare.js';
import { BATCH, filled, optionsFor } from './prepare-models.js';

const options = optionsFor('wsi=0.6,layers=all,truncation=plain', { kind: wasmExecutor });

describe('weights at known ranks', () => {
  it('are those of plain truncation, to the last bit', async () => {
    const prepared = await prepare(options);
    const found = await filled(options, prepared);
    const known = await empty(prepared.method);
    const report = await emitKnown({ ...options, method: prepared.method }, known);
    const model = prepared.method.forward(options.model(1, 'eval'));
    const names = checkpointed(model.graph).map(({ name }) => name);
    expect(report.loaded).toBeGreaterThan(0);
    expect(names.some((name) => name.endsWith('.left'))).toBe(true);
    for (const name of names) {
      expect(await known.read(name), name).toEqual(await found.read(name));
    }
    await Promise.all([found.dispose(), known.dispose()]);
  });

  it('that do not fit the model are refused before anything is written', async () => {
    const ranks = { weights: { 'blocks.0.mlp.fc1.weight': 4 }, activations: {} };
    const method = options.method.with({ ranks });
    const executor = await empty(method);
    const source = { ...options.source, shapes: new Map() };
    await expect(emitKnown({ ...options, method, source }, executor)).rejects.toThrow(
      'a.safetensors',
    );
    await executor.dispose();
  });
});

function empty(method: typeof options.method): Promise<Executor> {
  const { model } = options;
  return wasmExecutor.load(compile({ model, method, batch: BATCH, optimizer: sgd() }));
}
