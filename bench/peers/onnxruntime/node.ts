/** onnxruntime-node as a peer of the step benchmark. */
import { env, InferenceSession, Tensor } from 'onnxruntime-node';
import type { StepConfig } from '../../harness/step-protocol.js';
import type { StepRunner } from '../../harness/serve-steps.js';
import { OnnxTrainer } from './trainer.js';

export function loadNode(config: StepConfig): Promise<StepRunner> {
  const { arena } = config.onnxruntime ?? { arena: true };
  return OnnxTrainer.load(
    {
      Tensor,
      createSession: (model) =>
        InferenceSession.create(model, {
          intraOpNumThreads: config.threads,
          interOpNumThreads: 1,
          graphOptimizationLevel: 'all',
          enableCpuMemArena: arena,
          enableMemPattern: arena,
        }),
      version: `${env.versions.node ?? '?'}, all optimisations, ${arena ? '' : 'no '}arena, outputs preallocated`,
      reusesOutputs: true,
    },
    config,
  );
}
