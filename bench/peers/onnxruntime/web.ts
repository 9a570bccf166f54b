/** onnxruntime-web's WebAssembly (CPU) build as a peer of the step benchmark, in Node. */
import { env, InferenceSession, Tensor } from 'onnxruntime-web';
import type { StepConfig } from '../../harness/step-protocol.js';
import type { StepRunner } from '../../harness/serve-steps.js';
import { OnnxTrainer } from './trainer.js';

export function loadWeb(config: StepConfig): Promise<StepRunner> {
  env.wasm.numThreads = config.threads;
  return OnnxTrainer.load(
    {
      Tensor,
      createSession: (model) =>
        InferenceSession.create(model, {
          executionProviders: ['wasm'],
          graphOptimizationLevel: 'all',
          enableCpuMemArena: true,
          enableMemPattern: true,
        }),
      version: `${env.versions.web ?? '?'}, SIMD, all optimisations, arena`,
      reusesOutputs: false,
    },
    config,
  );
}
