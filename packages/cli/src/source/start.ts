/**
 * The one door for weights: what a run, an evaluation or a plan starts from.
 *
 *   a file           safetensors, or the index of a sharded checkpoint
 *   a folder         in hub layout, or of a run
 *   owner/name       a model on the hub, downloaded into the shared cache
 *   vit-micro        a preset whose weights come with Thimble
 *
 * Whatever it was, what comes out is the same: the model's configuration, its tensors under
 * Thimble's names, labels, preprocessing, and where it all came from.
 */
import {
  familyPreprocess,
  FormatError,
  recognise,
  withSize,
  type ModelConfig,
  type Preprocess,
  type Recognised,
} from '@thimble/core';
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import type { Caller } from '../events/caller.js';
import type { OpenCheckpoint } from '../weights/checkpoint.js';
import { storedForm, type Form } from '../run/form.js';
import { hubModel, type HubModel } from '../hub/model.js';
import type { DownloadEvent } from '../hub/progress.js';
import { hubReference, looksLikeHubName, referenceText } from '../hub/reference.js';
import { hubSettings } from '../hub/settings.js';
import type { NamedModel } from '../weights/named-model.js';
import { openRun } from '../run/open.js';
import { isRun } from '../run/saves.js';
import type { RunRecord } from '../run/record.js';
import { embeddedWeights } from './embedded.js';
import type { HubOptions } from './options.js';
import { once, openWeightFiles } from '../weights/files.js';
import { hashedFiles, type HashedFile } from '../weights/hashes.js';

export interface Start {
  /** What was asked for. */
  readonly text: string;
  /** The file, for errors. */
  readonly path: string;
  /** One line for people. */
  readonly description: string;
  /** With the image size and the classes of the file. */
  readonly model: NamedModel;
  /** Whether the file or its neighbours say what the tensors alone cannot: heads, ε. */
  readonly isDescribed: boolean;
  readonly hasClassifier: boolean;
  /** In the order of the classifier's outputs; null where nothing says them. */
  readonly labels: readonly string[] | null;
  /** As the model was trained. */
  readonly preprocess: Preprocess;
  /** False where nothing says it and the family's habit counts. */
  readonly isPreprocessSaid: boolean;
  /** Under Thimble's names. */
  readonly checkpoint: OpenCheckpoint;
  /** Of the files that the weights are in. */
  readonly hashes: () => readonly HashedFile[];
  /** Tensors of the file that the model has no place for. */
  readonly ignored: readonly string[];
  /** What --memory chose for the run; null without a run or its budget. */
  readonly chosen: ChosenStep | null;
  /** null for dense weights. */
  readonly form: Form | null;
  /** Of a run folder. */
  readonly record: RunRecord | null;
  readonly hub: HubModel | null;
}

/** Options with which a run fitted into --memory. */
export type ChosenStep = Required<Pick<RunRecord, 'saved' | 'batch' | 'microBatches' | 'slices'>>;

/** How weights may be had. */
export interface Access {
  readonly caller: Caller<DownloadEvent>;
  /** Branch, tag or commit of a model on the hub. */
  readonly revision?: string;
  readonly offline?: boolean;
  /** Of a run: the weights of its best epoch instead of the last. */
  readonly best?: boolean;
}

/** How weights may be had for options of the hub. */
export function accessOf(
  { revision, offline }: HubOptions,
  caller: Caller<DownloadEvent>,
  best = false,
): Access {
  return {
    ...{ caller, best },
    ...(revision === undefined ? {} : { revision }),
    ...(offline === undefined ? {} : { offline }),
  };
}

/**
 * Opens what was asked for; close its checkpoint. Throws FormatError, CheckpointError and
 * DownloadError.
 */
export async function openStart(text: string, access: Access): Promise<Start> {
  if (isRun(text)) return startOfRun(text, access);
  const { where, hub } = await locateWeights(text, access);
  return openWeights(text, where, hub);
}

/** The file or folder in hub layout that is meant, downloaded where it is on the hub. */
export async function locateWeights(
  text: string,
  access: Access,
): Promise<{ readonly where: string; readonly hub: HubModel | null }> {
  if (existsSync(text)) return { where: text, hub: null };
  const embedded = embeddedWeights(text);
  if (embedded !== null) return { where: embedded, hub: null };
  if (!looksLikeHubName(text)) throw nothingThere(text);
  const settings = hubSettings(process.env, access.offline === true);
  const hub = await hubModel(hubReference(text, access.revision), settings, access.caller);
  return { where: hub.folder, hub };
}

/** Names of the classes a start tells apart: its labels, or else numbers. */
export function classesOf({ labels, model }: Start): readonly string[] {
  return labels ?? Array.from({ length: model.config.classes }, (_, index) => String(index));
}

function startOfRun(folder: string, { best = false }: Access): Start {
  const { record, path, checkpoint, form } = openRun(folder, best);
  const { model, classes: labels, preprocess } = record;
  const description = `${model.name}, ${String(model.config.imageSize)} px, of a run`;
  return {
    ...{ text: folder, path, description, model, labels, preprocess, checkpoint, record, form },
    ...{ isDescribed: true, hasClassifier: true, isPreprocessSaid: true, ignored: [], hub: null },
    chosen: chosenStep(record),
    hashes: once(() => hashedFiles(path)),
  };
}

function chosenStep(record: RunRecord): ChosenStep | null {
  const { memory, saved, batch, microBatches, slices = 1 } = record;
  return memory && saved ? { saved, batch, microBatches, slices } : null;
}

/** @param where a file or a folder in hub layout */
function openWeights(text: string, where: string, hub: HubModel | null): Start {
  const { path, checkpoint: file, sidecars, hashes } = openWeightFiles(where);
  return closingOnError(file, () => {
    const found = recognise(file, file.metadata, sidecars);
    const name = nameOf(found, file, hub, text);
    const said = found.preprocess;
    const checkpoint = { ...file, ...found.weights };
    return {
      ...{ text, path, checkpoint, hashes, hub, record: null, chosen: null },
      description: found.description,
      model: { name, config: found.config },
      isDescribed:
        [sidecars.config, sidecars.architecture].some(Boolean) || file.metadata.has('model'),
      hasClassifier: found.hasClassifier,
      labels: found.labels,
      preprocess: preprocessFor(found.config, said ?? familyPreprocess(found.naming, found.config)),
      isPreprocessSaid: said !== null,
      ignored: found.ignored,
      form: storedForm(path, file.metadata, found.config),
    };
  });
}

/** The preset, or what the file, the hub or the path calls it. */
function nameOf(
  found: Recognised,
  file: OpenCheckpoint,
  hub: HubModel | null,
  text: string,
): string {
  const stored = file.metadata.get('model');
  const path = basename(text).replace(/\.(safetensors|json)$/, '');
  return found.modelName ?? stored ?? (hub ? referenceText(hub.reference) : path);
}

/** The same part of the picture at the size that the model reads. */
export function preprocessFor({ imageSize }: ModelConfig, preprocess: Preprocess): Preprocess {
  return withSize(preprocess, imageSize);
}

function closingOnError(
  checkpoint: OpenCheckpoint,
  start: (checkpoint: OpenCheckpoint) => Start,
): Start {
  try {
    return start(checkpoint);
  } catch (error) {
    checkpoint.close();
    throw error;
  }
}

function nothingThere(text: string): FormatError {
  return new FormatError({
    where: text,
    expected: 'a file, a folder, or a model on the hub as owner/name',
    got: 'nothing at this path',
    todo: 'Check the path',
  });
}
