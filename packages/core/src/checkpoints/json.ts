/**
 * Values out of JSON that somebody else wrote. Every reader takes the place for its errors and returns
 * undefined for what is absent; a value of another kind throws CheckpointError.
 */
import { CheckpointError } from '../errors.js';

/** No picture, model or file has a size beyond this; more is a damaged configuration. */
const MOST = 1_000_000;

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `value[key]`, undefined for what is no object. */
export function field(value: unknown, key: string): unknown {
  return isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

/** A whole number from 1. */
export function wholeNumber(value: unknown, where: string): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MOST) {
    return value;
  }
  throw invalid(where, 'a whole number ≥ 1', value);
}

/** A finite number > 0. */
export function positiveNumber(value: unknown, where: string): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
  throw invalid(where, 'a number > 0', value);
}

export function truth(value: unknown, where: string): boolean | undefined {
  if (value === undefined || typeof value === 'boolean') return value;
  throw invalid(where, 'true or false', value);
}

export function text(value: unknown, where: string): string | undefined {
  if (value === undefined || typeof value === 'string') return value;
  throw invalid(where, 'a text', value);
}

export function numbers(value: unknown, where: string): readonly number[] | undefined {
  if (value === undefined) return undefined;
  if (Array.isArray(value) && value.every((each) => typeof each === 'number')) return value;
  throw invalid(where, 'a list of numbers', value);
}

export function texts(value: unknown, where: string): readonly string[] | undefined {
  if (value === undefined) return undefined;
  if (Array.isArray(value) && value.every((each) => typeof each === 'string')) return value;
  throw invalid(where, 'a list of texts', value);
}

/** A whole number, or a list of two equal ones: the side of a square. */
export function side(value: unknown, where: string): number | undefined {
  if (!Array.isArray(value)) return wholeNumber(value, where);
  const [height, width] = value.slice(-2).map((each) => wholeNumber(each, where));
  if (height !== undefined && height === (width ?? height)) return height;
  throw invalid(where, 'a square', value);
}

/** The JSON text `json`. */
export function parseJson(json: string | undefined, where: string): unknown {
  if (json === undefined) return undefined;
  try {
    const parsed: unknown = JSON.parse(json);
    return parsed;
  } catch {
    throw invalid(where, 'JSON', json);
  }
}

export function invalid(where: string, expected: string, got: unknown): CheckpointError {
  const shown = JSON.stringify(got) ?? 'undefined';
  return new CheckpointError({
    where,
    expected,
    got: shown.length > 60 ? `${shown.slice(0, 60)}…` : shown,
    todo: 'Correct the file, or leave it away where the tensors say enough',
  });
}
