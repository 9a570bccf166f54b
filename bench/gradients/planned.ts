/** What the programs of the comparison are planned to take, which needs no run. */
import {
  adamw,
  compile,
  memoryReport,
  parseMethod,
  sgd,
  vit,
  VIT_PRESETS,
  type MemoryReport,
  type SavedForm,
} from '@thimble/core';

export interface Planned {
  readonly name: string;
  readonly method: string;
  readonly batch: number;
  readonly saved: SavedForm;
  readonly report: MemoryReport;
}

const THREADS = 2;
const CLASSES = 5;
const IMAGE_SIZE = 128;

const METHODS = [
  { name: 'full, adamw', method: 'full', optimizer: adamw() },
  { name: 'full, sgd with momentum', method: 'full', optimizer: sgd({ momentum: 0.9 }) },
  { name: 'full, sgd without momentum', method: 'full', optimizer: sgd() },
  { name: 'lora, adamw', method: 'lora', optimizer: adamw() },
  { name: 'low-rank-gradient, adamw', method: 'low-rank-gradient', optimizer: adamw() },
  {
    name: 'low-rank-gradient, sgd with momentum',
    method: 'low-rank-gradient',
    optimizer: sgd({ momentum: 0.9 }),
  },
] as const;

const SETTINGS = [
  { batch: 16, saved: 'exact' },
  { batch: 16, saved: 'smallest' },
  { batch: 1, saved: 'smallest' },
] as const;

/** ViT-Ti/16 at 128 pixels with every method, batch and form of saved tensors. */
export function plans(): readonly Planned[] {
  const config = { ...VIT_PRESETS['vit-tiny-16'], imageSize: IMAGE_SIZE, classes: CLASSES };
  return SETTINGS.flatMap(({ batch, saved }) =>
    METHODS.map(({ name, method, optimizer }) => {
      const model = (images: number) => vit(config, { batch: images });
      const bound = parseMethod(method);
      const program = compile({ model, method: bound, optimizer, batch, evalBatch: 0, saved });
      return { name, method: bound.text, batch, saved, report: memoryReport(program, THREADS) };
    }),
  );
}
