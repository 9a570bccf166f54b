/** The process of onnxruntime-node in the step benchmark. Speaks steps/protocol.ts. */
import '../../harness/small-process.js';
import { env, InferenceSession, Tensor } from 'onnxruntime-node';
import type { StepConfig } from '../../steps/protocol.js';
import { serveSteps } from '../shared/serve.js';
import { OnnxTrainer, type Runtime } from './trainer.js';

await serveSteps((config) => OnnxTrainer.load(runtime(config), config));

function runtime({ threads }: StepConfig): Runtime {
  const settings: InferenceSession.SessionOptions = JSON.parse(process.env['ORT'] ?? '{}');
  return {
    Tensor,
    createSession: (model) =>
      InferenceSession.create(model, {
        intraOpNumThreads: threads,
        interOpNumThreads: 1,
        graphOptimizationLevel: 'all',
        ...settings,
      }),
    version: env.versions.node ?? '',
    reusesOutputs: process.env['REUSE'] === '1',
  };
}
