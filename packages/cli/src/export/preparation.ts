/**
 * Whether an exported preprocessor_config.json prepares pictures as the model was trained: the file is read back,
 * and test pictures go both ways.
 *
 * The file has no word for how a crop is centred. Its readers round half a pixel down, and so do runs; models that
 * round it to the even side (pretrained ones of timm, runs from before) come out a pixel aside on some pictures,
 * which is said. Any other difference is a fault.
 */
import {
  cutOf,
  InternalError,
  parsePreprocess,
  preprocessInto,
  type Cut,
  type Preprocess,
  type RawImage,
} from '@thimble/core';
import { readJsonObject } from '../weights/json-file.js';
import { testPictures } from './pictures.js';

/** The test pictures as the model reads them. */
export interface ExportedPreprocessing {
  readonly count: number;
  /** [count, 3, S, S], as the model was trained. */
  readonly own: Float32Array;
  /** The same as the exported file says; null without one. */
  readonly exported: Float32Array | null;
  /** Pictures that the exported file cuts a pixel aside. */
  readonly aside: number;
}

/** @param file the exported preprocessor_config.json; null without one. Throws InternalError. */
export async function preparationOf(
  preprocess: Preprocess,
  file: string | null,
): Promise<ExportedPreprocessing> {
  const pictures = await testPictures(preprocess);
  const own = prepared(pictures, preprocess);
  const shared = { count: pictures.length, own };
  if (file === null) return { ...shared, exported: null, aside: 0 };
  const said = parsePreprocess({ config: null, preprocessor: readJsonObject(file) });
  if (said?.size !== preprocess.size) throw another(file, preprocess, said);
  const exported = prepared(pictures, said);
  const cuts = pictures.map((picture) => isAside(cutOf(picture, preprocess), cutOf(picture, said)));
  const length = own.length / pictures.length;
  for (const [index, aside] of cuts.entries()) {
    const part = [index * length, (index + 1) * length] as const;
    const [a, b] = [own.subarray(...part), exported.subarray(...part)];
    if (aside === null || (!aside && a.some((value, at) => value !== b[at]))) {
      throw another(file, preprocess, said);
    }
  }
  return { ...shared, exported, aside: cuts.filter((aside) => aside).length };
}

/** Whether `b` is a pixel above or to the left of `a`; null where it differs otherwise. */
function isAside(a: Cut, b: Cut): boolean | null {
  if (a.width !== b.width || a.height !== b.height) return null;
  const steps = [a.x - b.x, a.y - b.y];
  if (!steps.every((step) => step === 0 || step === 1)) return null;
  return steps.includes(1);
}

function prepared(pictures: readonly RawImage[], preprocess: Preprocess): Float32Array {
  const length = 3 * preprocess.size ** 2;
  const out = new Float32Array(pictures.length * length);
  pictures.forEach((picture, index) => {
    preprocessInto(picture, preprocess, out.subarray(index * length, (index + 1) * length));
  });
  return out;
}

function another(file: string, preprocess: Preprocess, said: Preprocess | null): InternalError {
  return new InternalError({
    where: file,
    expected: `the preparation of the model, ${JSON.stringify(preprocess)}`,
    got: JSON.stringify(said),
    todo: 'Please report this; nothing was kept',
  });
}
