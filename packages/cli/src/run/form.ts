/**
 * In what form the weights of a run live: the text of its method with what was found for it. It is written with the
 * weights, in the record of the run and in ranks.json, always as `method`, `pass` and what was found by kind.
 *
 * A run that starts from weights in such a form continues with it: factors have their sizes, and the text of its
 * method, if it says anything, has to agree.
 */
import {
  buildModel,
  checkFound,
  ConfigError,
  FormatError,
  foundRanks,
  linears,
  methodReader,
  parseMethod,
  PLAIN_METHOD,
  ranksReader,
  schema,
  type BoundMethod,
  type Found,
  type ModelConfig,
  type ModelGraph,
} from '@thimble/core';

/** A method and what it was compiled with. */
export interface Form {
  /** As `parseMethod` reads it. */
  readonly method: string;
  readonly found: Found;
  /** Images that go through the model at a time, a slice of a micro-batch: Tucker ranks belong to them. */
  readonly pass: number;
}

/** A form as files have it. */
export type WrittenForm = Omit<Form, 'found'> & Found;

export function writtenForm({ method, found, pass }: Form): WrittenForm {
  return { method, ranks: foundRanks(found), pass };
}

/** What continues: a start, as far as the form of its weights is concerned. */
export interface FormedStart {
  readonly path: string;
  /** null for dense weights. */
  readonly form: Form | null;
  readonly model: { readonly config: ModelConfig };
}

/** What Tucker ranks belong to, beside the model. */
export interface Inputs {
  /** Images of a slice of a micro-batch. */
  readonly pass: number;
  /** Their side, in pixels. */
  readonly imageSize: number;
}

/** Key of the checkpoint's metadata. */
export const FORM_KEY = 'thimble.factors';

/**
 * What a checkpoint says of itself: nothing for plain training.
 *
 * @param model what the method's `forward` returned
 */
export function formMetadata(
  method: BoundMethod,
  model: ModelGraph,
  found: Found,
  pass: number,
): ReadonlyMap<string, string> {
  const { weights, activations } = method.probe ?? {};
  const forms = linears(model, 'all').flatMap(({ weight, form }) => {
    if (form.kind === 'dense') return [];
    const { kind, left } = form;
    return [[weight, { form: kind, rank: left.type.shape[1] }] as const];
  });
  if (!method.probe && forms.length === 0) return new Map();
  const written = writtenForm({ method: method.text, found, pass });
  const epsilon = { weights: weights?.epsilon ?? null, activations: activations?.epsilon ?? null };
  return new Map([
    [FORM_KEY, JSON.stringify({ ...written, epsilon, forms: Object.fromEntries(forms) })],
  ]);
}

/**
 * What a checkpoint says of its form; null for dense weights. Throws FormatError, also where `config` cannot
 * have it.
 */
export function storedForm(
  path: string,
  metadata: ReadonlyMap<string, string>,
  config: ModelConfig,
): Form | null {
  const text = metadata.get(FORM_KEY);
  if (text === undefined) return null;
  const file = `${path}, metadata ${FORM_KEY}`;
  const todo = 'Use the file as thimble train saved it';
  const form = schema.read(text, formReader, { file, error: FormatError, todo });
  builtForm(file, config, form);
  return form;
}

const writtenReader = schema.objectOf<WrittenForm>({
  method: methodReader,
  ranks: ranksReader, // always written, where there are none as well
  pass: schema.whole({ most: Number.MAX_SAFE_INTEGER }),
});

const formReader: schema.Reader<Form> = (value, place) => {
  const { method, pass, ...found } = writtenReader(value, place);
  return { method, pass, found };
};

/** How weights live: a method with what was found, and the forward graph for one image. */
export interface BuiltForm {
  readonly method: BoundMethod;
  readonly model: ModelGraph;
}

/** Throws FormatError where the model cannot have what was found, or take the method. @param file for errors */
export function builtForm(file: string, config: ModelConfig, form: Form): BuiltForm {
  const { method: text, found, pass } = form;
  try {
    checkFound(buildModel(config, { batch: pass }), found);
    const method = parseMethod(text).with(found);
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
  start: FormedStart | null,
): BoundMethod {
  const stored = start?.form ?? null;
  if (!stored || !start) return parseMethod(text ?? PLAIN_METHOD, given);
  const before = parseMethod(stored.method);
  const bare = text === undefined || (text === before.name && Object.keys(given).length === 0);
  const method = bare ? before : parseMethod(text ?? before.name, given);
  const [weights, earlier] = [method.probe?.weights, before.probe?.weights];
  const changed = JSON.stringify(weights) !== JSON.stringify(earlier);
  if (weights && earlier && changed) throw changedRanks(method, before, start.path);
  return method;
}

/**
 * With what a run continues: with what was found for its start where that was trained with the same
 * needs, and slices of as many images of the same size; null where there is something to find.
 */
export function startedFound(
  method: BoundMethod,
  { pass, imageSize }: Inputs,
  start: FormedStart | null,
): Found | null {
  if (!method.probe) return {};
  const stored = start?.form;
  if (!stored) return null;
  const before = parseMethod(stored.method).probe;
  const isSame = JSON.stringify(before) === JSON.stringify(method.probe);
  const isForInputs = stored.pass === pass && start.model.config.imageSize === imageSize;
  return isSame && (method.probe.activations === null || isForInputs) ? stored.found : null;
}

function changedRanks(method: BoundMethod, before: BoundMethod, path: string): ConfigError {
  return new ConfigError({
    where: `--method ${method.text}`,
    expected: `the ranks with which ${path} was trained (${before.text})`,
    got: 'a value that changes them',
    todo: `Write --method ${before.text}, or start from dense weights: thimble merge makes them`,
  });
}
