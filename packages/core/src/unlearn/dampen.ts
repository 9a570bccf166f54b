/**
 * dampen: which weights matter more for the images to forget than for the base, and how much less of them
 * stays.
 *
 *   selected   I_f > α I_base
 *   then       θ ← min(λ I_base / I_f, 1) θ
 *
 * A selected weight shrinks to less than λ/α of itself. A weight without importance for the images to forget
 * is never selected; one that matters for nothing else becomes zero. Another α selects other weights, but
 * what becomes of a selected one is the same: the selection of a smaller α includes that of a larger one.
 *
 * The automatic α is a quantile of all finite ratios I_f / I_base of the model, so that the share of weights
 * selected follows from the share f of images to forget alone: ln(1 + 100 f) percent of them. It wants the
 * retained images as base.
 *
 * References: Foster, Schoepf & Brintrup, AAAI 2024 (arXiv:2308.07707), eq. 5–6; Schoepf, Foster & Brintrup,
 * Parameter-tuning-free data entry error unlearning with adaptive selective synaptic dampening, 2024
 * (arXiv:2402.10098), for the automatic α.
 */
import { ConfigError } from '../errors.js';
import type { Numbers } from '../ir/weight-form.js';

/** Mean importance of each element of a parameter. */
export interface Importance {
  readonly forget: Numbers;
  readonly base: Numbers;
}

/** How strongly weights are dampened. */
export interface DampenSettings {
  /** α: how many times more a weight must matter for the images to forget. */
  readonly alpha: number;
  /** λ: scale of what is left of it. */
  readonly lambda: number;
}

/** The elements of a parameter that were dampened, ascending, and what they were before. */
export interface Change {
  readonly indices: Uint32Array;
  readonly before: Float32Array;
}

/** I_f > α I_base. */
export function isSelected(forget: number, base: number, alpha: number): boolean {
  return forget > alpha * base;
}

/** How many elements α selects. */
export function selectedCount({ forget, base }: Importance, alpha: number): number {
  let count = 0;
  for (let i = 0; i < forget.length; i++) if (isSelected(forget[i], base[i], alpha)) count++;
  return count;
}

/** Dampens `values` where they are; what it changed. */
export function dampen(
  values: Numbers,
  importance: Importance,
  { alpha, lambda }: DampenSettings,
): Change {
  const { forget, base } = importance;
  const count = selectedCount(importance, alpha);
  const indices = new Uint32Array(count);
  const before = new Float32Array(count);
  let next = 0;
  for (let i = 0; i < values.length; i++) {
    if (!isSelected(forget[i], base[i], alpha)) continue;
    indices[next] = i;
    before[next++] = values[i];
    values[i] *= Math.min((lambda * base[i]) / forget[i], 1);
  }
  return { indices, before };
}

/** Puts back what `dampen` changed. */
export function restore(values: Numbers, { indices, before }: Change): void {
  indices.forEach((index, at) => {
    values[index] = before[at];
  });
}

/** I_f / I_base; NaN where neither set says anything, Infinity where only the images to forget do. */
export function ratios({ forget, base }: Importance): Float64Array {
  const result = new Float64Array(forget.length);
  for (let i = 0; i < result.length; i++) result[i] = forget[i] / base[i];
  return result;
}

/**
 * The share of ratios below the automatic α: 1 − ln(1 + 100 f)/100.
 *
 * @param forget images to forget @param all images of training, those included
 */
export function automaticShare(forget: number, all: number): number {
  return 1 - Math.log1p((100 * forget) / all) / 100;
}

/**
 * The largest ratio I_f / I_base that is possible where the importance is of single images, or of passes
 * that are all of one set, and the base includes the images to forget: I_base ≥ f I_f. An α from there on
 * selects nothing.
 */
export function ratioBound(forget: number, all: number): number {
  return all / forget;
}

/** Throws ConfigError for an α or λ that is none. */
export function checkDampening({ alpha, lambda }: DampenSettings): void {
  const check = (name: string, value: number) => {
    if (value > 0 && Number.isFinite(value)) return;
    throw new ConfigError({
      where: name,
      expected: 'a finite number > 0',
      got: String(value),
      todo: 'Change the option',
    });
  };
  check('alpha', alpha);
  check('lambda', lambda);
}
