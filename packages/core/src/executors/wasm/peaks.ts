/** The peaks of WebAssembly here: kernels/peak.c on worker threads like those of the executor. */
import { ALIGNMENT, type Program } from '../../program.js';
import type { PeakMeter } from '../executor.js';
import { peakMeter, type PeakRate } from '../peaks.js';
import { endAll, startCrew, type Crew } from './crew.js';
import type { WasmVariant } from './module.js';
import type { Thread } from './thread.js';

export async function wasmPeaks(threads: number, variant?: WasmVariant): Promise<PeakMeter> {
  let { crew, layout } = await crewFor(0, threads, variant);
  let room = 0;
  const rate: PeakRate = async (floats, repeats) => {
    if (floats > room) {
      // A memory does not grow: another one takes its place.
      await endAll(crew);
      ({ crew, layout } = await crewFor(floats, threads, variant));
      room = floats;
    }
    const loops = crew.map((thread, index) => {
      const to = layout.scratches[index];
      const from = to + floats * Float32Array.BYTES_PER_ELEMENT;
      return loopOn(thread, { kind: 'peak', to, from, count: floats, repeats });
    });
    const done = await Promise.all(loops);
    const work = done.reduce((sum, one) => sum + one.work, 0);
    return (1000 * work) / Math.max(...done.map((one) => one.milliseconds));
  };
  return peakMeter(crew.length, rate, () => endAll(crew));
}

async function loopOn(
  thread: Thread,
  request: Parameters<Thread['request']>[0],
): Promise<{ readonly work: number; readonly milliseconds: number }> {
  const reply = await thread.request(request);
  return reply.kind === 'peaked' ? reply : { work: 0, milliseconds: 0 };
}

/** Threads whose scratch holds `floats` floats and their copy. */
function crewFor(floats: number, threads: number, variant?: WasmVariant): Promise<Crew> {
  const scratchBytes = 2 * floats * Float32Array.BYTES_PER_ELEMENT + ALIGNMENT;
  const program: Program = {
    slots: [],
    entries: [],
    training: null,
    persistentBytes: 0,
    arenaBytes: 0,
    scratchBytes,
  };
  return startCrew(program, threads, variant);
}
