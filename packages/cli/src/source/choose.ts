/**
 * --model and --init: which architecture, and what its weights start from.
 *
 *   --model PRESET                random weights, or those that come with Thimble
 *   --model owner/name | FOLDER   the weights of that model
 *   --init X                      the weights of X, whose architecture is recognised
 *   --init random                 random weights, whatever --model is
 *
 * Both together have to agree where the tensors tell. What they do not tell (the number of heads)
 * is taken from --model unless the files say it.
 */
import { CheckpointError, familyOf, MODELS, type ModelConfig } from '@thimble/core';
import { existsSync } from 'node:fs';
import { looksLikeHubName } from '../hub/reference.js';
import { presetModel, type NamedModel } from '../weights/named-model.js';
import { openStart, type Access, type Start } from './start.js';
import { embeddedWeights } from './embedded.js';

export interface ModelOptions {
  readonly model?: string | undefined;
  readonly init?: string | undefined;
}

export interface ChosenModel {
  /** With classes and image size as published. */
  readonly model: NamedModel;
  /** null for random weights; close its checkpoint. */
  readonly start: Start | null;
}

const RANDOM = 'random';

/** @param preset when neither is given. Throws what `openStart` throws. */
export async function chooseModel(
  { model, init }: ModelOptions,
  preset: string,
  access: Access,
): Promise<ChosenModel> {
  const name = model ?? (init === undefined || init === RANDOM ? preset : undefined);
  if (init === undefined || init === RANDOM) return fromModel(name ?? preset, init, access);
  const start = await openStart(init, access);
  if (name === undefined) return { model: start.model, start };
  try {
    const { model: asked, start: other } = await fromModel(name, RANDOM, access);
    other?.checkpoint.close();
    return agreed(asked, start);
  } catch (error) {
    start.checkpoint.close();
    throw error;
  }
}

async function fromModel(
  name: string,
  init: typeof RANDOM | undefined,
  access: Access,
): Promise<ChosenModel> {
  const isPreset = Object.hasOwn(MODELS, name);
  const hasWeights = isPreset
    ? init !== RANDOM && embeddedWeights(name) !== null
    : existsSync(name) || looksLikeHubName(name);
  // An unknown name is told which presets there are.
  if (!hasWeights) return { model: presetModel(name), start: null };
  const start = await openStart(name, access);
  if (init !== RANDOM) return { model: start.model, start };
  start.checkpoint.close();
  return { model: start.model, start: null };
}

/** Fields that may differ: the head is replaced, positions are resized. */
const FREE: readonly string[] = ['classes', 'imageSize'];

/** The start, with what only --model says. Throws CheckpointError where they disagree. */
function agreed(asked: NamedModel, start: Start): ChosenModel {
  const found = start.model;
  const differs = differences(asked.config, found.config).filter((key) => !FREE.includes(key));
  const telling = start.isDescribed
    ? differs.filter((key) => key !== 'layerNormEps')
    : differs.filter((key) => !familyOf(found.config).untold.includes(key));
  if (telling.length === 0) {
    if (start.isDescribed || differs.length === 0) return { model: found, start };
    const { classes, imageSize } = found.config;
    const model = { name: asked.name, config: { ...asked.config, classes, imageSize } };
    const [said] = start.description.split('; '); // what follows are guesses
    const description = `${said}; ${differs.join(' and ')} as --model ${asked.name} says`;
    return { model, start: { ...start, model, description } };
  }
  const of = (config: ModelConfig) =>
    telling.map((key) => `${key} ${JSON.stringify(new Map(Object.entries(config)).get(key))}`);
  throw new CheckpointError({
    where: start.path,
    expected: `--model ${asked.name}, which has ${of(asked.config).join(', ')}`,
    got: `${start.description}, which has ${of(found.config).join(', ')}`,
    todo: 'Leave --model out: the architecture follows from the weights',
  });
}

function differences(a: ModelConfig, b: ModelConfig): readonly string[] {
  const [first, second] = [new Map(Object.entries(a)), new Map(Object.entries(b))];
  const text = (value: unknown) => JSON.stringify(value ?? false);
  return [...new Set([...first.keys(), ...second.keys()])].filter(
    (key) => text(first.get(key)) !== text(second.get(key)),
  );
}
