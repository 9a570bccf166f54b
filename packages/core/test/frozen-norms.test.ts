/** Batch norms in front of everything that trains (passes/frozen-norms.ts). */
import { describe, expect, it } from 'vitest';
import { compileGraphs } from '../src/compile.js';
import type { Graph } from '../src/ir/graph.js';
import { parseMethod } from '../src/methods/index.js';
import { buildModel, modelConfig } from '../src/models/index.js';
import { sgd } from '../src/optim/sgd.js';

const config = { ...modelConfig('resnet-20'), classes: 3 };

/** The scopes of the norms in a training step that update their running statistics. */
function updatedNorms(method: string): readonly string[] {
  const graphs = compileGraphs({
    model: (batch, mode) => buildModel(config, { batch, mode, batchNorm: 'batch' }),
    method: parseMethod(method),
    optimizer: sgd(),
    batch: 2,
    evalBatch: 0,
  });
  return namesOf(graphs[0].graph, 'running_statistics');
}

function namesOf({ nodes }: Graph, op: string): readonly string[] {
  return nodes.filter((node) => node.op === op).map(({ name }) => name.replace('.running', ''));
}

describe('running statistics', () => {
  it('of every norm move in full training', () => {
    expect(updatedNorms('full')).toHaveLength(1 + 9 * 2 + 2);
  });

  it('stay where nothing in front of the classifier trains', () => {
    expect(updatedNorms('head')).toEqual([]);
  });

  it('move in the blocks that train, and in no other', () => {
    expect(updatedNorms('last-k=2')).toEqual([
      ...['layer3.1.bn1', 'layer3.1.bn2', 'layer3.2.bn1', 'layer3.2.bn2'],
    ]);
  });

  it('move where biases train', () => {
    expect(updatedNorms('bias-only')).toHaveLength(1 + 9 * 2 + 2);
  });
});
