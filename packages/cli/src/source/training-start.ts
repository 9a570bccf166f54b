/**
 * What a training run begins with: model, weights, head and preprocessing, settled before anything
 * is compiled.
 */
import { buildModel, centredDown, defaultPreprocess, type Preprocess } from '@thimble/core';
import type { DataSet } from '../data/set.js';
import { fittedModel, type NamedModel } from '../weights/named-model.js';
import type { Origin } from '../run/origin.js';
import type { Caller } from '../events/caller.js';
import type { DownloadEvent } from '../hub/progress.js';
import { DEFAULT_MODEL, type HubOptions, type PreprocessOptions } from './options.js';
import { accessOf, preprocessFor, type Start } from './start.js';
import { chooseModel, type ModelOptions } from './choose.js';
import { chooseHead, withoutHead, type Head, type HeadChoice } from './head.js';
import { originOf } from './origin-of.js';
import { preprocessNamed } from '../weights/preprocessing.js';

export interface TrainingStartOptions extends ModelOptions, HubOptions, PreprocessOptions {
  readonly imageSize?: number;
  readonly head: Head;
}

export interface TrainingStart {
  /** With the classes and the image size to train with. */
  readonly model: NamedModel;
  /** null for random weights; without its classifier where that starts anew. */
  readonly start: Start | null;
  readonly origin: Origin | null;
  readonly head: HeadChoice;
  /** The photos, with labels as the model counts its classes. */
  readonly data: DataSet;
  readonly preprocess: Preprocess;
  /** Whose word the preprocessing is. */
  readonly preprocessFrom: string;
}

/** Close the start's checkpoint afterwards. Throws what `openStart` and `chooseHead` throw. */
export async function startFrom(
  options: TrainingStartOptions,
  photos: DataSet,
  caller: Caller<DownloadEvent>,
): Promise<TrainingStart> {
  const { imageSize } = options;
  const access = accessOf(options, caller);
  const { model: found, start } = await chooseModel(options, DEFAULT_MODEL, access);
  try {
    const head = chooseHead(options.head, start, photos.classes);
    const model = fittedModel(found, { classes: head.classes.length, imageSize });
    const { preprocess, from: preprocessFrom } = preprocessOf(options, start);
    const origin = start && originOf(start);
    return {
      ...{ model, head, origin, preprocessFrom },
      start: start && !head.isKept ? headless(start, model) : start,
      data: relabelled(photos, head),
      // An export can say no other centre, and a pretrained model is fine-tuned to either.
      preprocess: centredDown(preprocessFor(model.config, preprocess)),
    };
  } catch (error) {
    start?.checkpoint.close();
    throw error;
  }
}

/** Where weights and preprocessing come from. */
export interface WeightsEvent {
  readonly event: 'weights';
  /** As asked for; null for random weights. */
  readonly from: string | null;
  /** One line on what they are; null for random weights. */
  readonly description: string | null;
  readonly origin: Origin | null;
  /** How pictures are prepared, and whose word that is. */
  readonly preprocess: Preprocess & { readonly from: string };
  readonly head: {
    /** Whether the classifier of the weights is kept. */
    readonly isKept: boolean;
    readonly classes: number;
    /** Whether the weights say which classes they are. */
    readonly isNamed: boolean;
  };
}

export function weightsEvent({
  start,
  preprocess,
  preprocessFrom,
  origin,
  head,
}: TrainingStart): WeightsEvent {
  return {
    event: 'weights',
    from: start?.text ?? null,
    description: start?.description ?? null,
    origin,
    preprocess: { ...preprocess, from: preprocessFrom },
    head: {
      isKept: start !== null && head.isKept,
      classes: head.classes.length,
      isNamed: start !== null && start.labels !== null,
    },
  };
}

function preprocessOf(
  { preprocess }: PreprocessOptions,
  start: Start | null,
): { readonly preprocess: Preprocess; readonly from: string } {
  if (preprocess !== undefined) {
    return { preprocess: preprocessNamed(preprocess), from: `--preprocess ${preprocess}` };
  }
  if (!start) return { preprocess: defaultPreprocess, from: 'default' };
  const from = start.isPreprocessSaid ? 'as the model says' : 'usual for the family';
  return { preprocess: start.preprocess, from };
}

function headless(start: Start, { config }: NamedModel): Start {
  const { head } = buildModel(config, { batch: 1 });
  return { ...start, checkpoint: withoutHead(start.checkpoint, head) };
}

function relabelled(photos: DataSet, { classes, places }: HeadChoice): DataSet {
  const moved = (files: DataSet['train']) =>
    files.map((file) => ({ ...file, label: places[file.label] }));
  return {
    ...photos,
    classes,
    train: moved(photos.train),
    validation: moved(photos.validation),
  };
}
