/** Sound programs, from which damaged ones are made. */
import {
  adamw,
  compile,
  elements,
  GraphBuilder,
  OPS,
  parseMethod,
  plan,
  sgd,
  vit,
  type Op,
  type Program,
} from '@thimble/core';
import { centred } from '../packages/core/test/centred.js';
import { mapRecord, typesOf } from '../packages/core/test/ops-evaluate.js';
import { TINY } from '../packages/core/test/tiny-vit.js';

/** Elements of all inputs of a sample that is small enough. */
const SMALL = 1500;

/** A program for every op's samples that are small. */
export const SINGLE: readonly Program[] = Object.values<Op>(OPS).flatMap((op) =>
  op.samples.flatMap((sample) => {
    const types = typesOf(sample);
    const count = Object.values(types).reduce((sum, { shape }) => sum + elements(shape), 0);
    if (op.view || count > SMALL) return [];
    const builder = new GraphBuilder();
    const inputs = mapRecord(types, (type, key) => builder.input(key, type));
    const graph = builder.build(builder.emit(op, inputs, sample.params));
    return [plan([{ name: 'op', graph }])];
  }),
);

const model = (batch: number) => vit({ ...TINY, depth: 1 }, { batch, smoothing: 0.1 });
/** Training steps, each with more than one entry or with states of a method; one with buffers and a table. */
export const STEPS: readonly Program[] = [
  compile({ model, optimizer: sgd({ momentum: 0.9 }), batch: 2, clipNorm: 1 }),
  compile({ model, optimizer: adamw(), batch: 2, microBatches: 2, saved: 'compact' }),
  compile({ model, method: parseMethod('asi=0.5,layers=all'), optimizer: sgd(), batch: 2 }),
  compile({ model, method: parseMethod('wsi=0.5'), optimizer: sgd(), batch: 2, evalBatch: 0 }),
  compile({ model: centred, optimizer: sgd(), batch: 2, microBatches: 2 }),
];
