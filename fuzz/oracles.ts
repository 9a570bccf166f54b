/** What must hold of everything that a reader lets through; each returns in words what does not, or null. */
import {
  buildModel,
  normalizeInto,
  parameters,
  rawImage,
  type ModelConfig,
  type Preprocess,
  type Recognised,
  type WeightSource,
} from '@thimble/core';

/** Of a model that was recognised. */
export function recognisedFault(found: Recognised): string | null {
  const { config, weights, labels, preprocess, hasClassifier } = found;
  const isWanted = (name: string) => hasClassifier || !name.startsWith('head');
  return (
    modelFault(config, weights, isWanted) ??
    (labels && labelFault(labels, config)) ??
    (preprocess && preprocessFault(preprocess))
  );
}

/** Whether a configuration builds the model of which `weights` are the parameters. */
export function modelFault(
  config: ModelConfig,
  { shapes }: Pick<WeightSource, 'shapes'>,
  isWanted: (name: string) => boolean = () => true,
): string | null {
  const wanted = parameters(buildModel(config, { batch: 1 }).graph).filter(({ name }) =>
    isWanted(name),
  );
  const odd = wanted.find(
    ({ name, type }) => shapes.has(name) && shapes.get(name)?.join() !== type.shape.join(),
  );
  if (odd) return 'a configuration with a parameter of another shape than the tensor has';
  const missing = wanted.find(({ name }) => !shapes.has(name) && !shapes.has(`${name}.left`));
  return missing ? 'a configuration with a parameter that has no tensor' : null;
}

export function labelFault(labels: readonly string[], { classes }: ModelConfig): string | null {
  const areNames = labels.every((label: unknown) => typeof label === 'string');
  return areNames && labels.length === classes ? null : 'labels that are not those of the outputs';
}

/** Whether levels become finite numbers that stay apart, and a crop fits what it is cut from. */
export function preprocessFault(preprocess: Preprocess): string | null {
  const { size, edge = size, cropPercentage } = preprocess;
  const out = new Float32Array(3 * 4);
  const image = rawImage(2, 2, Uint8Array.of(0, 0, 0, 1, 1, 1, 254, 254, 254, 255, 255, 255));
  normalizeInto(image, { ...preprocess, size: 2 }, out);
  if (!out.every(Number.isFinite)) return 'preprocessing to numbers that are not finite';
  if (new Set(out.subarray(0, 4)).size < 4) return 'preprocessing that makes levels the same';
  const isCrop = size >= 1 && size <= edge && edge <= 100 * size && size <= 10_000;
  const isPart = cropPercentage > 0 && cropPercentage <= 1;
  return isCrop && isPart ? null : 'a crop that is no part of the picture';
}
