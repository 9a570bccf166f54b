/**
 * The worked example of ARCHITECTURE.md: a two-layer perceptron, small enough to print after every pass.
 */
import { compile, type CompileOptions, type Stage } from '../src/compile.js';
import type { Graph, ModelGraph } from '../src/ir/graph.js';
import { printGraph } from '../src/ir/print.js';
import { f32, i32 } from '../src/ir/types.js';
import { parseMethod } from '../src/methods/index.js';
import { linear } from '../src/nn/layers.js';
import { sgd } from '../src/optim/sgd.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { gelu } from '../src/ops/gelu.js';
import { softmaxCrossEntropy } from '../src/ops/softmax-cross-entropy.js';
import { printProgram } from '../src/program.js';

/** images [B, 4] → fc 3 → GELU → head 2 → cross-entropy. */
function perceptron(batch: number): ModelGraph {
  const builder = new GraphBuilder();
  const images = builder.input('images', f32(batch, 4));
  const labels = builder.input('labels', i32(batch));
  const hidden = linear(builder, 'fc', images, 3);
  const { y } = builder.emit(gelu, { x: hidden }, {}, 'act');
  const logits = linear(builder, 'head', y, 2);
  const { loss } = builder.emit(softmaxCrossEntropy, { logits, labels }, { smoothing: 0 }, 'loss');
  return { graph: builder.build({ logits, loss }), blocks: [], tail: [], head: 'head.' };
}

/** Printed text of every stage of the training entry, and of the program. */
export function workedExample(method: string): Readonly<Record<Stage | 'program', string>> {
  const printed: Partial<Record<Stage | 'program', string>> = {};
  const options: CompileOptions = {
    model: perceptron,
    method: parseMethod(method),
    optimizer: sgd(),
    batch: 2,
    evalBatch: 0,
    trace: (stage: Stage, _entry: string, graph: Graph) => {
      printed[stage] = printGraph(graph);
    },
  };
  printed.program = printProgram(compile(options));
  const { model = '', method: methodText = '', gradient = '', saved = '', update = '' } = printed;
  const { fold = '', fuse = '', prune = '', program } = printed;
  return { model, method: methodText, gradient, saved, update, fold, fuse, prune, program };
}
