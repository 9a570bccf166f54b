/** timm's config.json: `architecture`, `pretrained_cfg` (which stood at the top before), `model_args`. */
import {
  field,
  isObject,
  object,
  optional,
  Place,
  readValue,
  text,
  whole,
  type Reader,
} from '../schema/index.js';
import { CONFIG, side, unset } from './documents.js';
import { IMAGE_SIZE } from './sizes.js';

const NAME = text({ most: 200 });
const CLASSES = unset(whole({ least: 0, most: 1_000_000 }));
const RECIPE = object({ num_classes: CLASSES, input_size: unset(side(IMAGE_SIZE)) });
const FILE = object({
  architecture: optional(NAME),
  global_pool: optional(NAME),
  num_classes: CLASSES,
  pretrained_cfg: unset(RECIPE),
});

/** What timm says of any model. */
export interface TimmFacts {
  readonly architecture: string | undefined;
  /** How tokens or pixels become one vector. */
  readonly pool: string | undefined;
  readonly imageSize: number | undefined;
  readonly classes: number | undefined;
}

/** Throws CheckpointError for values that make no sense. */
export function timmFacts(file: unknown): TimmFacts {
  const said = readValue(file, FILE, CONFIG);
  const recipe = said.pretrained_cfg ?? readValue(file, RECIPE, CONFIG);
  const classes = said.num_classes ?? recipe.num_classes;
  return {
    architecture: said.architecture,
    pool: said.global_pool,
    imageSize: recipe.input_size,
    classes: classes === 0 ? undefined : classes,
  };
}

/** The arguments with which the model is built, checked; undefined where the file has none. */
export function timmArguments<T>(file: unknown, reader: Reader<T>): T | undefined {
  return unset(reader)(field(file, 'model_args'), new Place(CONFIG).at('model_args'));
}

/** The same, as they are. */
export function bareArguments(file: unknown): Readonly<Record<string, unknown>> {
  const args = field(file, 'model_args');
  return isObject(args) ? args : {};
}
