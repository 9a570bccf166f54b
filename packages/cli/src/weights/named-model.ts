/** A model as the commands pass it around: its configuration, complete, and what to call it. */
import { ConfigError, imageSizeRule, modelConfig, type ModelConfig } from '@thimble/core';

export interface NamedModel {
  /** Of a preset, of a model on the hub, or of a folder. */
  readonly name: string;
  readonly config: ModelConfig;
}

/** What follows from the data and the options; undefined leaves it as the model has it. */
export interface Fit {
  readonly classes?: number | undefined;
  readonly imageSize?: number | undefined;
}

/** The preset called `name`. Throws UnknownNameError. */
export function presetModel(name: string, fit: Fit = {}): NamedModel {
  return fittedModel({ name, config: modelConfig(name) }, fit);
}

/** `model` with these classes and this image size. Throws ConfigError for a size it cannot have. */
export function fittedModel({ name, config: published }: NamedModel, fit: Fit): NamedModel {
  const { classes = published.classes, imageSize = published.imageSize } = fit;
  const config = { ...published, classes, imageSize };
  const rule = imageSizeRule(config);
  if (rule === null) return { name, config };
  throw new ConfigError({
    where: '--image-size',
    expected: `for ${name} ${rule}`,
    got: String(imageSize),
    todo: 'Change the size',
  });
}
