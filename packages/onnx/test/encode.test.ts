/** The file: what another reader finds in it, its size before it is written, and its limit. */
import { PbfReader } from 'pbf';
import { InferenceSession } from 'onnxruntime-node';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { encodeOnnx } from '../src/encode.js';
import { GRAPH, MODEL, STRING_PAIR } from '../src/fields.js';
import { ONNX_FORMATS } from '../src/formats.js';
import type { Initializer, OnnxGraph } from '../src/graph.js';
import { lower } from '../src/lower.js';
import {
  maxDifference,
  modelFile,
  modelOf,
  ourLogits,
  pixels,
  reader,
  TEST_MODELS,
  weightsOf,
} from './models.js';

const [model] = TEST_MODELS;
const graph = lower(modelOf(model), reader(weightsOf(model)));

/** Fields of a message by number; each as often as it is there. */
function fields(bytes: Uint8Array): ReadonlyMap<number, readonly Uint8Array[]> {
  const found = new Map<number, Uint8Array[]>();
  new PbfReader(bytes).readFields((field, _, pbf) => {
    const value = pbf.type === 2 ? pbf.readBytes() : Uint8Array.of(pbf.readVarint());
    found.set(field, [...(found.get(field) ?? []), value]);
  }, null);
  return found;
}

const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

function withTensors(initializers: readonly Initializer[]): OnnxGraph {
  return { ...graph, initializers };
}

describe('encodeOnnx', () => {
  it('has version, operator set, producer, metadata and one graph', () => {
    const metadata = new Map([
      ['labels', '["Gänseblümchen"]'],
      ['method', 'full'],
    ]);
    const found = fields(modelFile(graph, { metadata, producerVersion: '1.2.3' }));
    expect(found.get(MODEL.irVersion)).toEqual([Uint8Array.of(8)]);
    expect(text(found.get(MODEL.producerName)?.[0])).toBe('thimble');
    expect(text(found.get(MODEL.producerVersion)?.[0])).toBe('1.2.3');
    const pairs = (found.get(MODEL.metadataProps) ?? []).map((pair) => {
      const { key, value } = STRING_PAIR;
      return [text(fields(pair).get(key)?.[0]), text(fields(pair).get(value)?.[0])];
    });
    expect(new Map(pairs as [string, string][])).toEqual(metadata);
    const [inside] = found.get(MODEL.graph) ?? [];
    const parts = fields(inside);
    expect(parts.get(GRAPH.node)).toHaveLength(graph.nodes.length);
    expect(parts.get(GRAPH.initializer)).toHaveLength(graph.initializers.length);
  });

  it('loads in onnxruntime with the names and shapes that it announces', async () => {
    const session = await InferenceSession.create(modelFile(graph));
    expect(session.inputMetadata).toEqual([
      { name: 'pixel_values', isTensor: true, type: 'float32', shape: ['batch', 3, 12, 12] },
    ]);
    expect(session.outputMetadata).toEqual([
      { name: 'logits', isTensor: true, type: 'float32', shape: ['batch', 5] },
    ]);
    await session.release();
  });

  it.each([
    ['onnx', 1e-4],
    ['onnx-fp16', 0.02],
    ['onnx-int8', 0.1],
  ] as const)('loads in onnxruntime-web as %s', async (format, tolerance) => {
    const expected = await ourLogits(model, 2);
    const file = modelFile(ONNX_FORMATS[format].transform(graph));
    const { data, dims } = await runInWeb(file, pixels(model, 2), [2, 3, 12, 12]);
    expect(dims).toEqual([2, 5]);
    expect(maxDifference(data, expected)).toBeLessThanOrEqual(tolerance);
  });

  it('reads a tensor when its turn comes, and knows its size before', () => {
    const read: string[] = [];
    const watched = graph.initializers.map((tensor) => ({
      ...tensor,
      read: () => {
        read.push(tensor.name);
        return tensor.read();
      },
    }));
    const file = encodeOnnx({
      name: 'test',
      producerVersion: '1',
      metadata: new Map(),
      graph: withTensors(watched),
    });
    expect(read).toEqual([]);
    let written = 0;
    let most = 0;
    for (const part of file.parts()) {
      written += part.byteLength;
      most = Math.max(most, read.length);
      if (written < file.bytes) expect(read.length).toBeLessThanOrEqual(graph.initializers.length);
    }
    expect(written).toBe(file.bytes);
    expect(read).toEqual(graph.initializers.map(({ name }) => name));
  });

  it('refuses a file that protocol buffers cannot hold, before anything is read', () => {
    const huge: Initializer = {
      name: 'huge',
      type: 'float32',
      shape: [2 ** 15, 2 ** 14],
      read: () => {
        throw new Error('read');
      },
    };
    const parts = { name: 'vit-giant', producerVersion: '1', metadata: new Map<string, string>() };
    expect(() => encodeOnnx({ ...parts, graph: withTensors([huge]) })).toThrow(
      /^ONNX file of vit-giant: expected at most 2147483647 bytes, where protocol buffers end, got 21474\d{5} bytes\. Export as onnx-fp16 or onnx-int8, which are smaller, or as safetensors\.$/,
    );
    const smaller = { ...huge, type: 'float16' } as const;
    expect(encodeOnnx({ ...parts, graph: withTensors([smaller]) }).bytes).toBeGreaterThan(2 ** 30);
  });

  it('refuses data that do not fill the shape', () => {
    const short: Initializer = {
      name: 'short',
      type: 'float32',
      shape: [2, 3],
      read: () => new Float32Array(5),
    };
    expect(() => modelFile(withTensors([short]))).toThrow(
      'tensor short: expected float32[2,3], 24 bytes, got 20 bytes. Pass as many values as the shape has.',
    );
  });
});

/** onnxruntime-web as transformers.js brings it, with its WebAssembly on one thread. */
async function runInWeb(file: Uint8Array, data: Float32Array, shape: readonly number[]) {
  const ort = await import('onnxruntime-web');
  const folder = dirname(createRequire(import.meta.url).resolve('onnxruntime-web'));
  ort.env.wasm.wasmPaths = pathToFileURL(join(folder, '/')).href;
  ort.env.wasm.numThreads = 1;
  const options = { executionProviders: ['wasm'], logSeverityLevel: 3 } as const;
  const session = await ort.InferenceSession.create(file, options);
  const { logits } = await session.run({ pixel_values: new ort.Tensor('float32', data, shape) });
  await session.release();
  if (!(logits.data instanceof Float32Array)) throw new Error('float32 expected');
  return { data: logits.data, dims: logits.dims };
}
