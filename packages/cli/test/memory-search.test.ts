/** The search for a plan within a budget, on made-up needs and on real plans. */
import { buildModel, parseMethod, plannedBytes, type SavedForm } from '@thimble/core';
import { describe, expect, it } from 'vitest';
import {
  passesOf,
  searchPlans,
  type Candidate,
  type SearchSpace,
  type Worded,
} from '../src/budget/search.js';
import { methodLadder } from '../src/budget/method-ladder.js';
import { presetModel } from '../src/weights/named-model.js';
import { defaultSlices, dividing } from '../src/step/slices.js';
import { checkStep, compileStep } from '../src/step/step.js';

const worded = (...texts: readonly string[]): readonly Worded[] => texts.map((text) => ({ text }));

const SPACE: SearchSpace<Worded> = {
  methods: [worded('w9 a9', 'w9 a5'), worded('w5 a9', 'w5 a5', 'w5 a1')],
  saved: ['exact', 'compact', 'smallest'],
  passes: [32, 16, 8, 4, 2, 1],
  slicesOf: (pass) => dividing(pass, 768),
};

const FORM = { all: 8, exact: 4, compact: 2, smallest: 1 } as const;

/**
 * Weights by the first ε, with sums of gradients once the batch is cut; inputs by the second; a third of what
 * is saved is of one slice.
 */
function bytes({ method, saved, pass, slices }: Candidate<Worded>): number {
  const [weight, input] = [...method.text.matchAll(/\d/g)].map(([digit]) => Number(digit));
  return weight * (pass < 32 ? 20 : 10) + (input * FORM[saved] * pass * (2 + 1 / slices)) / 12;
}

/** Every candidate in the order that the search promises. */
function inOrder<M extends Worded>({
  methods,
  saved,
  passes,
  slicesOf: cuts,
}: SearchSpace<M>): readonly Candidate<M>[] {
  return methods
    .flat()
    .flatMap((method) =>
      passes.flatMap((pass) =>
        saved.flatMap((form) =>
          cuts(pass).map((slices) => ({ method, saved: form, pass, slices })),
        ),
      ),
    );
}

describe('searchPlans', () => {
  it('finds what trying everything in order finds, with far fewer plans', () => {
    const all = inOrder(SPACE);
    for (let budget = 0; budget < 500; budget += 3) {
      const { chosen, tried } = searchPlans(SPACE, bytes, budget);
      expect(chosen).toEqual(all.find((candidate) => bytes(candidate) <= budget) ?? null);
      expect(tried).toBeLessThan(all.length / 4);
    }
  });

  it('names the least that there is when nothing fits', () => {
    const { chosen, least } = searchPlans(SPACE, bytes, 10);
    expect(chosen).toBeNull();
    const smallest = Math.min(...inOrder(SPACE).map(bytes));
    expect(least.bytes).toBe(smallest);
    expect(bytes(least.candidate)).toBe(smallest);
  });

  it('takes what is fixed as it is', () => {
    const [method] = worded('w5 a5');
    const fixed: SearchSpace<Worded> = {
      ...{ methods: [[method]], saved: ['exact'], passes: [16] },
      slicesOf: () => [1],
    };
    const only = { method, saved: 'exact', pass: 16, slices: 1 } as const;
    const least = { candidate: only, bytes: bytes(only) };
    expect(searchPlans(fixed, bytes, 1000)).toEqual({ chosen: only, least, tried: 1 });
    expect(searchPlans(fixed, bytes, 100).chosen).toBeNull();
  });

  it('finds the same on real plans', () => {
    const space: SearchSpace = {
      methods: [
        ['wasi=0.8,activations=0.8', 'wasi=0.8,activations=0.5'],
        ['wasi=0.5,activations=0.5'],
      ].map((row) => row.map((text) => parseMethod(text))),
      saved: ['exact', 'smallest'],
      passes: [8, 2, 1],
      slicesOf: (pass) => dividing(pass, 192),
    };
    const planned = new Map<string, number>();
    const planOf = (candidate: Candidate) => {
      const key = JSON.stringify({ ...candidate, method: candidate.method.text });
      const known = planned.get(key) ?? vitPlan(candidate);
      planned.set(key, known);
      return known;
    };
    const all = inOrder(space);
    const sizes = all.map(planOf);
    const [least, most] = [Math.min(...sizes), Math.max(...sizes)];
    for (let step = -1; step <= 20; step++) {
      const budget = least + ((most - least) * step) / 20;
      const { chosen } = searchPlans(space, planOf, budget);
      expect(chosen).toEqual(all.find((candidate) => planOf(candidate) <= budget) ?? null);
    }
  });
});

/** Bytes of a step of vit-micro in batches of eight. */
function vitPlan({ method, saved, pass, slices }: Candidate): number {
  const model = presetModel('vit-micro', { classes: 3 });
  const step = { model, optimizer: 'sgd', smoothing: 0, batch: 8 };
  const cut = { microBatches: 8 / pass, slices };
  const { program } = compileStep(checkStep({ ...step, ...cut, saved }, method));
  return plannedBytes(program, 1);
}

it('cuts a batch into passes of equal size', () => {
  expect(passesOf(12)).toEqual([12, 6, 4, 3, 2, 1]);
  expect(passesOf(1)).toEqual([1]);
});

it('cuts a pass into at most sixteen slices of equal size and 768 rows', () => {
  expect(dividing(12, 768)).toEqual([1, 2, 3, 4, 6, 12]);
  expect(dividing(96, 1000)).toEqual([1, 2, 3, 4, 6, 8, 12, 16]);
  expect(dividing(17, 768)).toEqual([1]);
  expect(dividing(16, 197)).toEqual([1, 2, 4]);
  expect(dividing(3, 10)).toEqual([1]);
});

/** ε of weights and of activations of every rung; null where a method has none. */
function rungs(text: string, given = {}) {
  return methodLadder(parseMethod(text, given)).map((row) =>
    row.map(({ probe }) => {
      const { weights, activations } = probe ?? {};
      return [weights?.epsilon ?? null, activations?.epsilon ?? null];
    }),
  );
}

function texts(text: string, given = {}) {
  return methodLadder(parseMethod(text, given)).map((row) => row.map((rung) => rung.text));
}

describe('methodLadder', () => {
  it.each([
    'full',
    'last-k=4+lora=4',
    'wsi=0.8,layers=all',
    'wasi=0.7,activations=0.5',
    'wasi=0.3,activations=0.3',
  ])('leaves %s as it is', (text) => {
    expect(texts(text)).toEqual([[parseMethod(text).text]]);
  });

  it('lowers activations first, then weights, from the defaults', () => {
    const { weights, activations } = parseMethod('wasi').probe ?? {};
    const below = (epsilon = 0) => [
      epsilon,
      ...[0.9, 0.8, 0.7, 0.6, 0.5, 0.4].filter((other) => other < epsilon),
    ];
    const expected = below(weights?.epsilon).map((weight) =>
      below(activations?.epsilon).map((activation) => [weight, activation]),
    );
    expect(rungs('wasi')).toEqual(expected);
    expect(texts('wasi')[0][0]).toBe(parseMethod('wasi').text);
  });

  it.each(['wasi=0.6', 'wasi=epsilon=0.6'])('keeps the weights of %s', (text) => {
    const [row, ...others] = rungs(text);
    expect(others).toEqual([]);
    expect(row.length).toBeGreaterThan(1);
    expect(new Set(row.map(([weight]) => weight))).toEqual(new Set([0.6]));
    expect(row.at(-1)).toEqual([0.6, 0.4]);
  });

  it('keeps the activations that were said, and other options', () => {
    const ladder = texts('last-4+wasi=activations=0.5', { layers: 'all' });
    expect(ladder.every((row) => row.length === 1)).toBe(true);
    expect(ladder.at(-1)).toEqual(['last-k=4+wasi=0.4,layers=all,truncation=data,activations=0.5']);
  });

  it('lowers the only ε of a method', () => {
    expect(rungs('asi').flat().at(-1)).toEqual([null, 0.4]);
    expect(rungs('asi')).toHaveLength(1);
    expect(rungs('wsi').flat().at(-1)).toEqual([0.4, null]);
    expect(rungs('wsi')[0]).toHaveLength(1);
    expect(rungs('asi=0.7+lora=4')).toEqual([[[null, 0.7]]]);
  });
});

describe('slices where none are asked for', () => {
  const model = presetModel('vit-base-32', { classes: 3 }).config;
  const slices = (text: string, saved: SavedForm, pass: number) =>
    defaultSlices(parseMethod(text), saved, buildModel(model, { batch: 1 }), pass);

  it('are as many as leave large products, where blocks are recomputed', () => {
    expect(slices('full', 'smallest', 128)).toBe(8);
    expect(slices('wsi', 'smallest', 16)).toBe(1);
    expect(slices('full', 'exact', 128)).toBe(1);
  });

  it('leave inputs in Tucker form as many images as their ranks are measured on', () => {
    const large = presetModel('vit-base-16', { classes: 3 }).config;
    const at = (text: string, pass: number) =>
      defaultSlices(parseMethod(text), 'smallest', buildModel(large, { batch: 1 }), pass);
    expect(at('wsi', 32)).toBe(8); // of 4 images, 788 rows
    expect(at('wasi', 32)).toBe(2);
    expect(at('wasi', 16)).toBe(1);
  });
});
