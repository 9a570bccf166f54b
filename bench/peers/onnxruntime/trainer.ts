/**
 * The training step of training-graph.ts in a session of onnxruntime: the parameters go in, and
 * come out for the next step.
 */
import { encodeOnnx } from '@thimble/onnx';
import type { InferenceSession, Tensor, TensorConstructor } from 'onnxruntime-node';
import type { StepConfig } from '../../harness/step-protocol.js';
import { elements, readStepData, type HostTensor, type StepData } from '../shared/data.js';
import type { StepRunner } from '../../harness/serve-steps.js';
import { trainingGraph, type TrainingGraph } from './training-graph.js';

/** onnxruntime-node or onnxruntime-web. */
export interface Runtime {
  readonly Tensor: TensorConstructor;
  createSession(model: Uint8Array): Promise<InferenceSession>;
  /** Version and settings. */
  readonly version: string;
  /**
   * Whether results are written into tensors that are there already: two sets take turns. Else each
   * step's results are new tensors.
   */
  readonly reusesOutputs: boolean;
}

type Tensors = Record<string, Tensor>;

export class OnnxTrainer implements StepRunner {
  readonly ready: StepRunner['ready'];
  private readonly session: InferenceSession;
  private readonly graph: TrainingGraph;
  private readonly batch: Tensors;
  /** Parameters and velocities by name. */
  private current: Tensors;
  /** Where the next step's parameters are written; null: into new tensors. */
  private spare: Tensors | null;

  private constructor(
    runtime: Runtime,
    session: InferenceSession,
    graph: TrainingGraph,
    config: StepConfig,
  ) {
    const { Tensor } = runtime;
    const { weights, images, labels } = readStepData(config);
    this.session = session;
    this.graph = graph;
    this.batch = {
      images: new Tensor('float32', images.data, images.shape),
      labels: new Tensor('int64', BigInt64Array.from(labels, BigInt), [labels.length]),
      lr: new Tensor('float32', Float32Array.of(config.lr), [1]),
    };
    const tensors = (read: (name: string, shape: readonly number[]) => Float32Array) =>
      Object.fromEntries(
        [...graph.parameters, ...graph.velocities].map(([name, shape]) => [
          name,
          new Tensor('float32', read(name, shape), shape),
        ]),
      );
    this.current = tensors((name, shape) =>
      graph.velocities.has(name)
        ? new Float32Array(elements(shape))
        : weightNamed(weights, name).data,
    );
    this.spare = runtime.reusesOutputs
      ? tensors((_, shape) => new Float32Array(elements(shape)))
      : null;
    this.ready = {
      version: runtime.version,
      threads: config.threads,
      parameters: [...graph.parameters.values()].reduce((sum, shape) => sum + elements(shape), 0),
    };
  }

  static async load(runtime: Runtime, config: StepConfig): Promise<OnnxTrainer> {
    const graph = trainingGraph(config);
    const session = await runtime.createSession(fileOf(graph));
    return new OnnxTrainer(runtime, session, graph, config);
  }

  async step(): Promise<readonly [ms: number, loss: number]> {
    const { session, graph, batch, current, spare } = this;
    const started = performance.now();
    const feeds = { ...batch, ...current };
    const results = spare
      ? await session.run(feeds, { [graph.loss]: null, ...this.outputs(spare) })
      : await session.run(feeds);
    const next = spare ?? parametersOf(results, graph);
    if (spare) this.spare = current;
    else for (const tensor of Object.values(current)) tensor.dispose();
    this.current = next;
    const loss = Number(results[graph.loss].data[0]);
    return [performance.now() - started, loss];
  }

  close(): Promise<void> {
    return this.session.release();
  }

  /** Parameters under the names of the outputs that write them. */
  private outputs(parameters: Tensors): Tensors {
    return Object.fromEntries(
      [...this.graph.updates].map(([name, output]) => [output, parameters[name]]),
    );
  }
}

function parametersOf(results: Tensors, { updates }: TrainingGraph): Tensors {
  return Object.fromEntries([...updates].map(([name, output]) => [name, results[output]]));
}

function fileOf({ model }: TrainingGraph): Uint8Array {
  const file = encodeOnnx(model);
  const bytes = new Uint8Array(file.bytes);
  let at = 0;
  for (const part of file.parts()) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}

function weightNamed(weights: StepData['weights'], name: string): HostTensor {
  const found = weights.get(name);
  if (found) return found;
  throw new Error(`no weight ${name}`);
}
