/**
 * frozen-norms: a batch norm in front of everything that trains normalises with what it learnt before.
 *
 *   statistics(x), running_statistics, batch_norm(x, statistics)   →   batch_norm(x, running statistics)
 *
 * What it makes depends on nothing that changes, so that statistics of a batch would only add noise and move the
 * running ones away from the weights that they belong to: under `head` the features of an image are then those of
 * evaluation. The pass runs on a forward graph; a norm that trains, or that reads what trains, stays as it is.
 */
import type { Graph, Node, ValueId } from '../ir/graph.js';
import { isParameter } from '../ir/graph.js';
import { batchNorm } from '../ops/batch-norm.js';
import { batchNormStatistics } from '../ops/batch-norm-statistics.js';
import { runningStatistics } from '../ops/running-statistics.js';

/** The graph with those norms on their running statistics. */
export function freezeNorms(graph: Graph): Graph {
  const changing = changingValues(graph);
  const frozen = graph.nodes.filter(
    ({ op, outputs }) => op === batchNorm.name && !changing.has(outputs.y),
  );
  const running = new Map<ValueId, Node>();
  for (const node of graph.nodes) {
    if (node.op === runningStatistics.name) running.set(node.inputs.mean, node);
  }
  const dropped = new Set<Node>();
  const replaced = new Map<Node, Node>();
  for (const node of frozen) {
    const update = running.get(node.inputs.mean);
    if (!update) continue;
    const { runningMean: mean, runningVariance: variance } = update.inputs;
    replaced.set(node, {
      ...node,
      inputs: { ...node.inputs, mean, variance },
      params: { ...node.params, batch: false },
    });
    dropped.add(update);
    const made = graph.nodes.find(
      ({ op, outputs }) => op === batchNormStatistics.name && outputs.mean === node.inputs.mean,
    );
    if (made) dropped.add(made);
  }
  if (replaced.size === 0) return graph;
  const nodes = graph.nodes
    .filter((node) => !dropped.has(node))
    .map((node) => replaced.get(node) ?? node);
  return { ...graph, nodes };
}

/** What a parameter that trains has a part in. */
function changingValues({ values, nodes }: Graph): ReadonlySet<ValueId> {
  const changing = new Set(
    values.filter((value) => isParameter(value) && value.source.trainable).map(({ id }) => id),
  );
  for (const { inputs, outputs } of nodes) {
    if (!Object.values(inputs).some((id) => changing.has(id))) continue;
    for (const id of Object.values(outputs)) changing.add(id);
  }
  return changing;
}
