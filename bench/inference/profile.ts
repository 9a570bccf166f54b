/** Where the time of a forward pass goes, in our native executor. */
import { readSafetensors } from '@thimble/core';
import { native } from '@thimble/native';
import { readFileSync } from 'node:fs';
import { ownExecutor, readModel } from '../export/contestants.js';
import { profileText } from '../harness/profile.js';
import { BATCHES } from './protocol.js';
import type { InferenceFiles } from './workload.js';

/** Medians of `repeats` profiled passes over the smaller batch, dense and factored, as text. */
export async function profileInference(
  files: InferenceFiles,
  options: { readonly threads: number; readonly repeats: number },
): Promise<string> {
  const pixels = readSafetensors(readFileSync(files.data)).tensors.get('images')?.toFloat32();
  if (!pixels) throw new Error(`${files.data}: no images`);
  const [batch, most] = BATCHES;
  const images = pixels.subarray(0, (pixels.length / most) * batch);
  const parts: string[] = [];
  for (const form of ['dense', 'factored'] as const) {
    const model = readModel(files[form]);
    const source = {
      load: async (threads: number) => {
        const executor = await ownExecutor(model, batch, threads);
        return {
          executor,
          entry: 'eval',
          writeInputs: () => {
            executor.write('eval.images', images);
          },
          dispose: () => executor.dispose(),
        };
      },
      peaks: (threads: number) => native.peaks({ threads }),
    };
    parts.push(`## ${form}, batch ${String(batch)}, ${String(options.threads)} threads\n`);
    parts.push(await profileText(source, options));
  }
  return parts.join('\n');
}
