/**
 * The WebAssembly executor in a real browser, from the built files as they are published. A page that
 * is cross-origin isolated shares memory between threads; one that is not gets one thread and the same
 * bits. Without a Chromium the tests are skipped, but never in continuous integration (CI=true).
 */
import { existsSync } from 'node:fs';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as core from '../src/index.js';
import { findChromium, launch } from './browser/chromium.js';
import { DIST, serve, type Site } from './browser/server.js';
import { trainSmall, type Outcome, type Responsiveness } from './browser/training.js';

const CHROMIUM = findChromium();
const INSTALL = 'install the package "chromium", or set CHROMIUM_PATH to a Chromium or Chrome';
const SKIPPED = CHROMIUM === null && process.env.CI !== 'true';

/** Asked for on both pages. */
const THREADS = 2;

/** float32 against the reference's float64, after three steps on values of size one; 2e-7 is usual. */
const TOLERANCE = 1e-5;

/** Starting a browser on a busy machine can take more than Vitest's ten seconds for a hook. */
const START_MS = 60_000;

interface Visit {
  readonly crossOriginIsolated: boolean;
  readonly outcome: Outcome;
  readonly responsiveness: Responsiveness;
}

/** Runs in the page; a string, since the page's own `import` is meant and not Vite's. */
const SCRIPT = `(async () => {
  const core = await import('/dist/index.js');
  const { trainSmall, timersDuringRun } = await import('/training.js');
  const outcome = await trainSmall(core, core.wasmExecutor, ${String(THREADS)});
  const responsiveness = await timersDuringRun(core, core.wasmExecutor, ${String(THREADS)});
  return { crossOriginIsolated, outcome, responsiveness };
})()`;

async function visit(browser: Browser, site: Site): Promise<Visit> {
  const page = await browser.newPage();
  await page.goto(site.origin);
  return page.evaluate<Visit>(SCRIPT);
}

/** The largest difference between two lists of numbers; NaN when one holds a NaN. */
function distance(left: readonly number[], right: readonly number[]): number {
  expect(left.length).toBe(right.length);
  return left.reduce((most, value, index) => Math.max(most, Math.abs(value - right[index])), 0);
}

const title = SKIPPED
  ? `a page in Chromium (skipped, none found: ${INSTALL})`
  : 'a page in Chromium';

describe.skipIf(SKIPPED)(title, () => {
  const sites: Site[] = [];
  let browser: Browser | undefined;
  let isolated: Visit;
  let plain: Visit;

  beforeAll(async () => {
    if (CHROMIUM === null) throw new Error(`No Chromium, and CI must not skip this: ${INSTALL}.`);
    const built = existsSync(`${DIST}index.js`) && existsSync(`${DIST}executors/wasm/worker.js`);
    if (!built) throw new Error('packages/core/dist is not built: run npm run build first.');
    sites.push(await serve(true), await serve(false));
    browser = await launch(CHROMIUM);
    isolated = await visit(browser, sites[0]);
    plain = await visit(browser, sites[1]);
  }, START_MS);
  afterAll(async () => {
    await browser?.close();
    await Promise.all(sites.map((site) => site.close()));
  });

  it('has the threads asked for where it is cross-origin isolated, else one', () => {
    expect([isolated.crossOriginIsolated, isolated.outcome.threads]).toEqual([true, THREADS]);
    expect([plain.crossOriginIsolated, plain.outcome.threads]).toEqual([false, 1]);
  });

  it('runs a known variant of the kernels', () => {
    expect(['relaxed-simd128', 'simd128']).toContain(isolated.outcome.detail);
    expect(plain.outcome.detail).toBe(isolated.outcome.detail);
  });

  it('trains to the same bits isolated and not', () => {
    expect(isolated.outcome.losses).toHaveLength(3);
    expect(plain.outcome.losses).toEqual(isolated.outcome.losses);
    expect(plain.outcome.parameters).toEqual(isolated.outcome.parameters);
  });

  it('trains to what the reference executor computes', async () => {
    const expected = await trainSmall(core, core.referenceExecutor, 1);
    const { losses, parameters } = isolated.outcome;
    expect(distance(losses, expected.losses)).toBeLessThan(TOLERANCE);
    expect(Object.keys(parameters)).toEqual(Object.keys(expected.parameters));
    for (const [name, values] of Object.entries(parameters)) {
      expect(distance(values, expected.parameters[name]), name).toBeLessThan(TOLERANCE);
    }
  });

  it('answers timers while a run is under way', () => {
    for (const { responsiveness } of [isolated, plain]) {
      const { runMs, turns } = responsiveness;
      // A run that blocked the page would let none through; a free page has one every 1 to 4 ms.
      expect(turns, `timers in ${runMs.toFixed(0)} ms`).toBeGreaterThanOrEqual(3);
    }
  });
});
