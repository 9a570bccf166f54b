/** onnxruntime-node as a peer of the step benchmark. */
import { env, InferenceSession, Tensor } from 'onnxruntime-node';
import type { StepConfig } from '../../harness/step-protocol.js';
import type { StepRunner } from '../../harness/serve-steps.js';
import { OnnxTrainer } from './trainer.js';

export function loadNode(config: StepConfig): Promise<StepRunner> {
  return OnnxTrainer.load(
    {
      Tensor,
      createSession: (model) =>
        InferenceSession.create(model, {
          intraOpNumThreads: config.threads,
          interOpNumThreads: 1,
          graphOptimizationLevel: 'all',
          enableCpuMemArena: true,
          enableMemPattern: true,
        }),
      version: `${env.versions.node ?? '?'}, all optimisations, arena, outputs preallocated`,
      reusesOutputs: true,
    },
    config,
  );
}
