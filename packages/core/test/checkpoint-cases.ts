/** The cases of reference/checkpoints_fixture.py: checkpoints of other libraries with what is to be found. */
import type { Sidecars } from '../src/checkpoints/index.js';
import type { TensorView } from '../src/formats/safetensors.js';
import type { Shape } from '../src/ir/types.js';
import type { WeightSource } from '../src/train/weights.js';
import { fixture } from './golden.js';

export interface Case {
  readonly name: string;
  readonly source: WeightSource;
  readonly sidecars: Sidecars;
  /** Fields of the configuration. */
  readonly expected: Readonly<Record<string, unknown>>;
  readonly input: Float64Array;
  /** null for a backbone without a classifier. */
  readonly logits: Float64Array | null;
}

export const LIBRARIES = ['timm', 'hugging-face', 'torchvision'] as const;

/** Of one library. */
export function casesOf(library: (typeof LIBRARIES)[number]): readonly Case[] {
  const file = fixture(`../../../reference/fixtures/checkpoints-${library}.safetensors`);
  if (!file) throw new Error(`reference/fixtures/checkpoints-${library}.safetensors is missing`);
  return [...file.metadata].map(([name, json]) => {
    const { config, expected } = JSON.parse(json) as {
      readonly config: unknown;
      readonly expected: Readonly<Record<string, unknown>>;
    };
    const tensors = new Map<string, TensorView>();
    for (const [key, view] of file.tensors) {
      if (key.startsWith(`${name}/`) && !key.startsWith(`${name}//`)) {
        tensors.set(key.slice(name.length + 1), view);
      }
    }
    const input = file.tensors.get(`${name}//input`)?.toFloat64() ?? new Float64Array();
    const logits = file.tensors.get(`${name}//logits`)?.toFloat64() ?? null;
    const sidecars = { config, preprocessor: null };
    return { name, source: sourceOf(name, tensors), sidecars, expected, input, logits };
  });
}

/** The case `name` of `library`. */
export function caseOf(library: (typeof LIBRARIES)[number], name: string): Case {
  const found = casesOf(library).find((each) => each.name === name);
  if (!found) throw new Error(`no case ${name} in checkpoints-${library}.safetensors`);
  return found;
}

export function sourceOf(name: string, tensors: ReadonlyMap<string, TensorView>): WeightSource {
  return {
    name,
    shapes: new Map([...tensors].map(([key, view]) => [key, view.shape])),
    read: (key) => {
      const view = tensors.get(key);
      if (!view) throw new Error(`no tensor ${key}`);
      return view.asFloat32();
    },
  };
}

/** `source` with other shapes: names that map to null are gone; new ones read as zeros. */
export function altered(
  source: WeightSource,
  changes: Readonly<Record<string, Shape | null>>,
): WeightSource {
  const shapes = new Map(source.shapes);
  for (const [name, shape] of Object.entries(changes)) {
    if (shape) shapes.set(name, shape);
    else shapes.delete(name);
  }
  return { ...source, shapes };
}

/** `source` with every name changed. */
export function renamed(source: WeightSource, rename: (name: string) => string): WeightSource {
  const names = new Map([...source.shapes.keys()].map((name) => [rename(name), name]));
  return {
    name: source.name,
    shapes: new Map(
      [...names].map(([now, before]) => [now, source.shapes.get(before) ?? []] as const),
    ),
    read: (name) => source.read(names.get(name) ?? name),
  };
}
