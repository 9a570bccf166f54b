/**
 * Data on raw pixels: pictures, resizing, normalisation, augmentation, splits, batches, drawn
 * shapes.
 */
export { cropped, rawImage, type RawImage } from './image.js';
export { levelsInto, type Images, type Normalisation } from './levels.js';
export { resize, type Rectangle, type ResampleFilter, type ResizeOptions } from './resample.js';
export {
  centreCrop,
  centredDown,
  checkPreprocess,
  cutOf,
  defaultPreprocess,
  imagenetMean,
  imagenetStd,
  normalizeInto,
  preprocessInto,
  preprocessReader,
  resizedEdge,
  withSize,
  type Cut,
  type Preprocess,
  type Triple,
} from './preprocess.js';
export {
  augmented,
  augmentInto,
  augmentNamed,
  augmentRandom,
  augments,
  leastSide,
  varied,
  type Augment,
  type AugmentName,
  type Interval,
} from './augment.js';
export { stratifiedSplit, type Split } from './split.js';
export {
  epochOrder,
  evaluationBatchCount,
  evaluationBatches,
  trainingBatchCount,
  trainingBatches,
  type EvaluationBatch,
} from './batches.js';
export { shapesSource, type ImageSource } from './source.js';
export { shapesClasses, shapesImage, shapesSize } from './shapes.js';
