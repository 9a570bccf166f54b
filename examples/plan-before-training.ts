/**
 * Finds out beforehand how a model is trained within a budget: the fewest micro-batches whose step fits.
 *
 *   node examples/dist/plan-before-training.js MODEL MEGABYTES
 */
import { plan } from '@thimble/cli';

const [model, megabytes] = process.argv.slice(2);

for (const microBatches of [1, 2, 4, 8, 16]) {
  const { peakBytes, flopsPerStep } = await plan({ model, batch: 16, microBatches, threads: 1 });
  const fits = peakBytes <= 1e6 * Number(megabytes);
  console.log(`${microBatches} micro-batches: ${peakBytes} bytes, ${flopsPerStep} operations`);
  if (fits) {
    console.log(
      `to train: train({ data, model: '${model}', batch: 16, microBatches: ${microBatches} })`,
    );
    break;
  }
}
