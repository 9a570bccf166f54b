/**
 * Models of other families than ViT through the thimble command. Needs the compiled command
 * (npm run build).
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lastLine, thimble, writeClasses } from './cli-command.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-models-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const WHERE = ['--threads', '1', '--workers', '0', '--json'];

beforeAll(async () => {
  await writeClasses(join(folder, 'photos'), ['blue', 'green', 'red'], 12);
  await writeClasses(join(folder, 'held'), ['blue', 'green', 'red'], 4);
});

it('trains a Swin transformer, which eval builds again from the record', async () => {
  const model = ['--model', 'swin-micro', '--image-size', '16', '--method', 'last-k=3'];
  const step = ['--batch', '8', '--optimizer', 'adamw', '--lr', '0.001', '--augment', 'none'];
  const options = ['--val', 'held', '--epochs', '2', '--out', 'run'];
  const args = ['train', 'photos', ...model, ...step, ...options, ...WHERE];
  const trained = lastLine(await thimble(args, folder));
  expect(trained).toMatchObject({ event: 'done', epochs: 2 });
  const record: unknown = JSON.parse(readFileSync(join(folder, 'run/run.json'), 'utf8'));
  expect(record).toMatchObject({ model: { name: 'swin-micro', config: { family: 'swin' } } });
  const ended = await thimble(['eval', 'run', 'held', ...WHERE], folder);
  expect(ended.code).toBe(0);
  expect(lastLine(ended)['loss']).toBeCloseTo(Number(trained['loss']), 4);
});

describe('convolutional networks', () => {
  const LIMIT = { timeout: 240_000 };
  const STEP = ['--val', 'held', '--lr', '0.01', '--augment', 'none', '--epochs', '2'];
  const train = (model: string, run: string, ...more: string[]) => {
    const args = ['train', 'photos', '--model', model, '--image-size', '32', ...STEP, ...more];
    return thimble([...args, '--out', run, ...WHERE], folder);
  };
  const recordOf = (run: string): unknown =>
    JSON.parse(readFileSync(join(folder, run, 'run.json'), 'utf8'));
  const weightsOf = (run: string) => readFileSync(join(folder, run, 'model.safetensors'));

  it.each([
    ['mobilenet-v3-small', 'full', 16, 'batch'],
    ['resnet-20', 'last-k=2', 8, 'frozen'],
    ['mobilenet-v2', 'lora=4', 16, 'batch'],
    ['mobilenet-v2', 'wasi=0.9', 8, 'frozen'],
    ['efficientnet-lite0', 'low-rank-gradient=2', 8, 'frozen'],
  ])(
    '%s trains with %s, and eval says the same of it',
    LIMIT,
    async (model, method, batch, how) => {
      const run = `${model}-${method}`;
      const ended = await train(model, run, '--method', method, '--batch', String(batch));
      const trained = lastLine(ended);
      expect(trained, ended.stderr).toMatchObject({ event: 'done', epochs: 2 });
      expect(recordOf(run)).toMatchObject({ model: { name: model }, batchNorm: how });
      const again = await thimble(['eval', run, 'held', ...WHERE], folder);
      expect(lastLine(again)['loss']).toBeCloseTo(Number(trained['loss']), 4);
    },
  );

  it('goes on to the same bits with statistics of the batch, after Ctrl-C', LIMIT, async () => {
    const options = ['--batch', '12', '--batch-norm', 'batch'];
    expect((await train('resnet-20', 'whole', ...options)).code).toBe(0);
    const args = ['--image-size', '32', ...STEP, ...options, '--out', 'parted', ...WHERE];
    let steps = 0;
    await thimble(['train', 'photos', '--model', 'resnet-20', ...args], folder, (line, stop) => {
      if (line.includes('"event":"step"') && ++steps === 2) stop();
    });
    expect(recordOf('parted')).toMatchObject({ status: 'interrupted' });
    const resumed = await thimble(['resume', 'parted', '--threads', '1', '--json'], folder);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(weightsOf('parted').equals(weightsOf('whole'))).toBe(true);
  });

  it('says what --batch-norm is for', async () => {
    const ended = await thimble(['plan', 'vit-micro', '--batch-norm', 'frozen'], folder);
    expect(ended.code).toBe(2);
    expect(ended.stderr).toContain('--batch-norm: expected a model with batch norm');
    const planned = await thimble(['plan', 'resnet-20', '--batch', '4'], folder);
    expect(planned.stdout).toContain('Batch norm: frozen statistics');
  });

  it('is exported with its norms folded, and gives the same answers', LIMIT, async () => {
    await train('resnet-20', 'exported', '--batch', '16');
    const args = ['export', 'exported', '--format', 'onnx,onnx-int8', '--out', 'files'];
    const ended = await thimble([...args, '--json'], folder);
    expect(ended.code, ended.stderr).toBe(0);
  });
});
