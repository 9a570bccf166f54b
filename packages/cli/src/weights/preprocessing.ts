/**
 * --preprocess: how pictures become numbers where a checkpoint does not say it, or says it wrong.
 * By default that follows from the model; the choice is kept with the run.
 */
import {
  ConfigError,
  defaultPreprocess,
  imagenetMean,
  imagenetStd,
  parsePreprocess,
  resizedEdge,
  type Preprocess,
} from '@thimble/core';
import { readJsonObject } from './json-file.js';

const { filter, resize, mean, std } = defaultPreprocess;
const SHARED = { size: 224, filter, resize } as const;

/** By the names that timm's documentation uses for the constants. */
const PREPROCESSINGS: Readonly<Record<string, Preprocess>> = {
  timm: { ...SHARED, cropPercentage: 0.9, mean, std },
  inception: { ...SHARED, cropPercentage: 0.875, mean, std },
  imagenet: { ...SHARED, cropPercentage: 0.875, mean: imagenetMean, std: imagenetStd },
};

export const PREPROCESS_HELP =
  `pictures as the weights expect them: ${Object.keys(PREPROCESSINGS).join(', ')}, or a ` +
  'preprocessor_config.json (default: as the model says)';

/** The preprocessing that a text asks for. Throws ConfigError, FormatError and CheckpointError. */
export function preprocessNamed(text: string): Preprocess {
  if (Object.hasOwn(PREPROCESSINGS, text)) return PREPROCESSINGS[text];
  const parsed = text.endsWith('.json') ? readJsonObject(text) : null;
  const isTimm = parsed !== null && ('pretrained_cfg' in parsed || 'crop_pct' in parsed);
  const found = isTimm
    ? parsePreprocess({ config: parsed, preprocessor: null })
    : parsed && parsePreprocess({ config: null, preprocessor: parsed });
  if (found) return found;
  throw new ConfigError({
    where: '--preprocess',
    expected: `${Object.keys(PREPROCESSINGS).join(', ')} or a file preprocessor_config.json`,
    got: text,
    todo: 'Check the name or the path',
  });
}

/** `224 px in the middle of 248, bicubic, mean 0.5, std 0.5`. */
export function preprocessText(preprocess: Preprocess): string {
  const { size, resize: how, filter: by } = preprocess;
  const isSquash = how === 'squash';
  const before = resizedEdge(preprocess);
  const crop = before === size ? '' : ` in the middle of ${String(before)}`;
  const levels = `mean ${triple(preprocess.mean)}, std ${triple(preprocess.std)}`;
  return `${String(size)} px${crop}${isSquash ? ', squashed' : ''}, ${by}, ${levels}`;
}

function triple(values: readonly number[]): string {
  const texts = values.map((value) => String(Number(value.toPrecision(4))));
  return texts.every((text) => text === texts[0]) ? texts[0] : texts.join(' ');
}
