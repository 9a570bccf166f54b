/**
 * Factored runs that continue: what a checkpoint says of its method and ranks (`FactorMetadata`).
 *
 * A run that starts from it continues with them: its factors have their sizes, and the text of its
 * method, if it says anything, has to agree.
 */
import {
  buildModel,
  checkFound,
  ConfigError,
  FormatError,
  linears,
  methodReader,
  NO_RANKS,
  parseMethod,
  ranksReader,
  schema,
  type BoundMethod,
  type ModelConfig,
  type ModelGraph,
  type Ranks,
} from '@thimble/core';

/** Method and ranks of the run that saved a checkpoint. */
export interface StoredFactors {
  /** As `parseMethod` reads it. */
  readonly method: string;
  readonly ranks: Ranks;
  /** Images of one pass, to which Tucker ranks belong. */
  readonly pass: number;
}

/** What continues: a start, as far as its factors are concerned. */
export interface FactoredStart {
  readonly path: string;
  /** null for dense weights. */
  readonly factors: StoredFactors | null;
  readonly model: { readonly config: ModelConfig };
}

/** What Tucker ranks belong to, beside the model. */
export interface Inputs {
  /** Images of one pass. */
  readonly pass: number;
  /** Their side, in pixels. */
  readonly imageSize: number;
}

/** Key of the checkpoint's metadata. */
export const FACTORS = 'thimble.factors';

/**
 * What a checkpoint says of itself: nothing for plain training.
 *
 * @param model what the method's `forward` returned
 */
export function factorMetadata(
  method: BoundMethod,
  model: ModelGraph,
  ranks: Ranks,
  pass: number,
): ReadonlyMap<string, string> {
  const { weights, activations } = method.probe ?? {};
  const forms = linears(model, 'all').flatMap(({ weight, form }) => {
    if (form.kind === 'dense') return [];
    const { kind, left } = form;
    return [[weight, { form: kind, rank: left.type.shape[1] }] as const];
  });
  if (!method.probe && forms.length === 0) return new Map();
  const stored: StoredFactors = { method: method.text, ranks, pass };
  const epsilon = { weights: weights?.epsilon ?? null, activations: activations?.epsilon ?? null };
  return new Map([
    [FACTORS, JSON.stringify({ ...stored, epsilon, forms: Object.fromEntries(forms) })],
  ]);
}

/**
 * What a checkpoint says of its factors; null for dense weights. Throws FormatError, also where `config` cannot
 * have them.
 */
export function storedFactors(
  path: string,
  metadata: ReadonlyMap<string, string>,
  config: ModelConfig,
): StoredFactors | null {
  const text = metadata.get(FACTORS);
  if (text === undefined) return null;
  const file = `${path}, metadata ${FACTORS}`;
  const todo = 'Use the file as thimble train saved it';
  const stored = schema.read(text, factorsReader, { file, error: FormatError, todo });
  formOf(file, config, stored);
  return stored;
}

const factorsReader: schema.Reader<StoredFactors> = schema.objectOf<StoredFactors>({
  method: methodReader,
  ranks: ranksReader,
  pass: schema.whole({ most: Number.MAX_SAFE_INTEGER }),
});

/** How weights live: a method with its ranks, and the forward graph for one image. */
export interface Form {
  readonly method: BoundMethod;
  readonly model: ModelGraph;
}

/** Throws FormatError where the model cannot have the ranks, or take the method. @param file for errors */
export function formOf(file: string, config: ModelConfig, stored: StoredFactors): Form {
  const { method: text, ranks, pass } = stored;
  try {
    checkFound(buildModel(config, { batch: pass }), { ranks });
    const method = parseMethod(text).with({ ranks });
    return { method, model: method.forward(buildModel(config, { batch: 1 })) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const { where, expected, got } = error.parts;
    const todo = 'Use the file as thimble train wrote it';
    throw new FormatError({ where: `${file}, ${where}`, expected, got, todo });
  }
}

/**
 * The method to train with, and what of its ranks is known before any measurement. `text` is
 * --method, undefined where it was left out: then that of the start, or `full`. A text of the
 * start's method without any values takes those of the start.
 *
 * @param given options beside the text, as `parseMethod` takes them
 * Throws ConfigError when the method would change the ranks of weights that came factored.
 */
export function startedMethod(
  text: string | undefined,
  given: Readonly<Record<string, string>>,
  start: FactoredStart | null,
): BoundMethod {
  const stored = start?.factors ?? null;
  if (!stored || !start) return parseMethod(text ?? 'full', given);
  const before = parseMethod(stored.method);
  const bare = text === undefined || (text === before.name && Object.keys(given).length === 0);
  const method = bare ? before : parseMethod(text ?? before.name, given);
  const [weights, earlier] = [method.probe?.weights, before.probe?.weights];
  const changed = JSON.stringify(weights) !== JSON.stringify(earlier);
  if (weights && earlier && changed) throw changedRanks(method, before, start.path);
  return method;
}

/**
 * The ranks with which a run continues: those of the start where it was trained with the same
 * needs, and passes of as many images of the same size; null where ranks are to be found.
 */
export function startedRanks(
  method: BoundMethod,
  { pass, imageSize }: Inputs,
  start: FactoredStart | null,
): Ranks | null {
  if (!method.probe) return NO_RANKS;
  const stored = start?.factors;
  if (!stored) return null;
  const before = parseMethod(stored.method).probe;
  const isSame = JSON.stringify(before) === JSON.stringify(method.probe);
  const isForInputs = stored.pass === pass && start.model.config.imageSize === imageSize;
  return isSame && (method.probe.activations === null || isForInputs) ? stored.ranks : null;
}

function changedRanks(method: BoundMethod, before: BoundMethod, path: string): ConfigError {
  return new ConfigError({
    where: `--method ${method.text}`,
    expected: `the ranks with which ${path} was trained (${before.text})`,
    got: 'a value that changes them',
    todo: `Write --method ${before.text}, or start from dense weights: thimble merge makes them`,
  });
}
