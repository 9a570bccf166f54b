/**
 * What is in a file of weights, or in the folder of a run: for `thimble info`.
 *
 * Every safetensors file can be inspected: where its architecture is not one of Thimble's models, the
 * reason takes the place of the model.
 */
import {
  elements,
  firstNotFinite,
  familyPreprocess,
  recognise,
  storedRanks,
  ThimbleError,
  withSize,
  type Preprocess,
  type Recognised,
  type SafetensorsDtype,
  type Shape,
} from '@thimble/core';
import { readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { storedForm } from '../run/form.js';
import { inNumericOrder } from '../terminal/format.js';
import { openRun, type OpenRun } from '../run/open.js';
import { isRun } from '../run/saves.js';
import type { RunRecord } from '../run/record.js';
import { locateWeights, type Access } from './start.js';
import { openWeightFiles, type WeightFiles } from '../weights/files.js';
import { hashedFiles } from '../weights/hashes.js';

export interface Inspection {
  readonly path: string;
  readonly files: readonly InspectedFile[];
  readonly tensors: readonly InspectedTensor[];
  readonly metadata: ReadonlyMap<string, string>;
  readonly model: InspectedModel | null;
  /** Why there is no model; null where there is one. */
  readonly reason: string | null;
  readonly factors: readonly InspectedFactor[];
  /** Tensors with values that are NaN or infinite: with these, nothing can be computed. */
  readonly notFinite: readonly NotFinite[];
  readonly run: InspectedRun | null;
}

export interface InspectedFile {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface InspectedTensor {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: SafetensorsDtype;
  readonly elements: number;
  readonly bytes: number;
}

export interface InspectedModel extends Recognised {
  /** Elements of the tensors that have a place in the model. */
  readonly parameters: number;
  readonly pictures: Preprocess;
  /** False where nothing says the preprocessing and the family's habit counts. */
  readonly isPreprocessSaid: boolean;
}

/** The first value of a tensor that is no number. */
export interface NotFinite {
  readonly tensor: string;
  readonly element: number;
  /** `NaN`, `Infinity` or `-Infinity`, which JSON has no numbers for. */
  readonly value: string;
}

/** A weight W [outputs, inputs] that is there as L [outputs, K] and R [K, inputs]. */
export interface InspectedFactor {
  readonly weight: string;
  readonly outputs: number;
  readonly inputs: number;
  readonly rank: number;
  /** Whether W is there too: L R is then added to it. */
  readonly isAdapter: boolean;
}

export interface InspectedRun {
  readonly folder: string;
  readonly record: RunRecord;
  /** What is in the folder, with bytes. */
  readonly contents: readonly { readonly file: string; readonly bytes: number }[];
}

/** @param what a file, a folder in hub layout, a run, a preset with weights, or a model on the hub */
export async function inspect(what: string, access: Access): Promise<Inspection> {
  const opened = isRun(what) ? openRun(what, access.best === true) : null;
  const files = opened
    ? {
        ...opened,
        sidecars: { config: null, preprocessor: null, architecture: null },
        hashes: () => hashedFiles(opened.path),
      }
    : openWeightFiles((await locateWeights(what, access)).where);
  const { path, checkpoint } = files;
  try {
    return {
      path,
      files: files.hashes().map((hashed) => ({
        ...hashed,
        bytes: statSync(join(dirname(path), hashed.file)).size,
      })),
      tensors: tensorsOf(files),
      metadata: checkpoint.metadata,
      factors: factorsOf(checkpoint.shapes),
      notFinite: notFinite(files),
      ...modelOf(files),
      run: opened && inspectRun(what, opened),
    };
  } finally {
    checkpoint.close();
  }
}

function inspectRun(folder: string, { record }: OpenRun): InspectedRun {
  const contents = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => ({ file: name, bytes: statSync(join(folder, name)).size }))
    .sort((a, b) => (a.file < b.file ? -1 : 1));
  return { folder, record, contents };
}

function tensorsOf({ checkpoint }: WeightFiles): readonly InspectedTensor[] {
  const { shapes, dtypes } = checkpoint;
  const names = [...shapes.keys()].sort(inNumericOrder);
  return names.map((name) => {
    const shape = shapes.get(name) ?? [];
    const dtype = dtypes.get(name) ?? 'F32';
    const count = elements(shape);
    return { name, shape, dtype, elements: count, bytes: count * BYTES[dtype] };
  });
}

/** Of an element. */
const BYTES: { readonly [D in SafetensorsDtype]: number } = {
  ...{ I64: 8, F64: 8, F32: 4, I32: 4, BF16: 2, F16: 2, I16: 2, I8: 1, U8: 1, BOOL: 1 },
};

const FLOATS: readonly SafetensorsDtype[] = ['F64', 'F32', 'BF16', 'F16'];

function notFinite({ checkpoint }: WeightFiles): readonly NotFinite[] {
  const floats = [...checkpoint.dtypes].filter(([, dtype]) => FLOATS.includes(dtype));
  return floats.flatMap(([tensor]) => {
    const data = checkpoint.read(tensor);
    const element = firstNotFinite(data);
    return element < 0 ? [] : [{ tensor, element, value: String(data[element]) }];
  });
}

function modelOf(files: WeightFiles): Pick<Inspection, 'model' | 'reason'> {
  const { checkpoint, sidecars } = files;
  try {
    const found = recognise(checkpoint, checkpoint.metadata, sidecars);
    const { config, naming, weights, preprocess } = found;
    storedForm(checkpoint.name, checkpoint.metadata, config);
    const pictures = withSize(preprocess ?? familyPreprocess(naming, config), config.imageSize);
    const parameters = [...weights.shapes.values()].reduce(
      (sum, shape) => sum + elements(shape),
      0,
    );
    const isPreprocessSaid = preprocess !== null;
    return { model: { ...found, parameters, pictures, isPreprocessSaid }, reason: null };
  } catch (error) {
    if (!(error instanceof ThimbleError)) throw error;
    const { where, expected, got } = error.parts;
    const place = where === checkpoint.name ? '' : `${where}: `;
    return { model: null, reason: `unknown; ${place}expected ${expected}, got ${got}` };
  }
}

function factorsOf(shapes: ReadonlyMap<string, Shape>): readonly InspectedFactor[] {
  return [...storedRanks(shapes)].map(([weight, rank]) => ({
    weight,
    outputs: shapes.get(`${weight}.left`)?.[0] ?? 0,
    inputs: shapes.get(`${weight}.right`)?.[1] ?? 0,
    rank,
    isAdapter: shapes.has(weight),
  }));
}
