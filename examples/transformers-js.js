/**
 * Classifies photos with an exported model in transformers.js, and says where it differs from Thimble.
 *
 *   thimble export RUN --format onnx
 *   thimble predict RUN photos/*.jpg --top 1 --json > ours.jsonl
 *   node examples/transformers-js.js RUN/export photos/*.jpg --against ours.jsonl
 *
 * `--dtype q8` or `fp16` takes the files of --format onnx-int8 and onnx-fp16. Needs
 * @huggingface/transformers; everything is read from the folder, nothing is downloaded.
 */
import { env, pipeline } from '@huggingface/transformers';
import { readFileSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { against: { type: 'string' }, dtype: { type: 'string', default: 'fp32' } },
});
const [folder, ...photos] = positionals;
if (!folder || photos.length === 0) {
  console.error('usage: node examples/transformers-js.js EXPORT IMAGE... [--against FILE]');
  process.exit(2);
}

env.allowRemoteModels = false;
env.localModelPath = dirname(resolve(folder));
const classify = await pipeline('image-classification', basename(resolve(folder)), {
  dtype: values.dtype,
});

const ours = values.against ? predictions(values.against) : new Map();
let same = 0;
let compared = 0;
let largest = 0;
for (const photo of photos) {
  const [{ label, score }] = await classify(photo, { top_k: 1 });
  const other = ours.get(photo);
  if (other) {
    compared++;
    if (other.name === label) {
      same++;
      largest = Math.max(largest, Math.abs(other.probability - score));
    }
  }
  if (!other || other.name !== label) {
    const beside = other ? `   Thimble: ${other.name} ${percent(other.probability)}` : '';
    console.log(`${photo}  ${label} ${percent(score)}${beside}`);
  }
}
if (compared > 0) {
  console.log(
    `${compared} photos: the same answer for ${same}, ` +
      `there probabilities differ by at most ${percent(largest)}`,
  );
}

/** Image → the most probable class, from `thimble predict --json`. */
function predictions(file) {
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  const events = lines.map((line) => JSON.parse(line));
  return new Map(
    events.filter(({ event }) => event === 'prediction').map((e) => [e.image, e.classes[0]]),
  );
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}
