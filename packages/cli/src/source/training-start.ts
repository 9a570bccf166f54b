/**
 * What a training run begins with: model, weights, head and preprocessing, settled before anything
 * is compiled.
 */
import { buildModel, centredDown, defaultPreprocess, type Preprocess } from '@thimble/core';
import type { DataSet } from '../data/set.js';
import { fittedModel, type NamedModel } from '../weights/named-model.js';
import type { Origin } from '../run/origin.js';
import type { Output } from '../terminal/output.js';
import { DEFAULT_MODEL, type HubOptions, type PreprocessOptions } from '../options/shared.js';
import { preprocessFor, type Start } from './start.js';
import { chooseModel, type ModelOptions } from './choose.js';
import { chooseHead, withoutHead, type Head, type HeadChoice } from './head.js';
import { originOf } from './origin-of.js';
import { preprocessNamed, preprocessText } from '../weights/preprocessing.js';

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
  output: Output,
): Promise<TrainingStart> {
  const { revision, offline, imageSize } = options;
  const access = { output, offline, ...(revision === undefined ? {} : { revision }) };
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

/** Says where weights and preprocessing came from. */
export function sayStart(
  { start, preprocess, preprocessFrom, origin, head }: TrainingStart,
  output: Output,
): void {
  if (start) {
    const { text, description } = start;
    const said = { ...preprocess, from: preprocessFrom };
    output.event('weights', { description, ...origin, preprocess: said, headIsKept: head.isKept });
    const commit = origin?.hub ? ` at ${origin.hub.commit.slice(0, 10)}` : '';
    output.line(`Weights    ${text}${commit}: ${description}`);
  }
  output.line(`Pictures   ${preprocessText(preprocess)} (${preprocessFrom})`);
  if (!start || !head.isKept) return;
  const doubt = start.labels === null ? ': nothing says which they are' : '';
  output.line(`Head       kept with its ${String(head.classes.length)} classes${doubt}`);
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
