/**
 * Readers of what somebody else wrote, on damaged inputs: a few here, many by
 * `npm run fuzz -- --cases 100000`.
 */
import { afterAll, describe, expect, inject, it } from 'vitest';
import { campaign, findingsText, type Campaign } from './campaign.js';
import { TARGETS } from './targets/index.js';

const { cases, seed, target } = inject('fuzz');
const chosen = TARGETS.filter(({ name }) => target === null || name === target);
/** Of a case of the largest kind, with room for a slow machine. */
const MS_PER_CASE = 20;

describe('what comes from outside', () => {
  const done: Campaign[] = [];
  it.each(chosen.map((each) => [each.name, each] as const))(
    '%s: read or refused, soon',
    async (_, each) => {
      const count = cases ?? each.testCases ?? 400;
      const result = await campaign(each, count, seed);
      done.push(result);
      expect(findingsText(result)).toBe('');
      expect(result.accepted).toBeGreaterThan(0);
      expect(result.refused).toBeGreaterThan(0);
    },
    60_000 + MS_PER_CASE * (cases ?? 0),
  );

  afterAll(() => {
    if (cases === null) return;
    for (const { target: name, cases: count, accepted, refused, findings, seconds } of done) {
      const found = findings.reduce((sum, finding) => sum + finding.count, 0);
      console.log(
        `${name}: ${String(count)} cases, ${String(accepted)} accepted, ${String(refused)} refused, ` +
          `${String(found)} findings, ${seconds.toFixed(0)} s`,
      );
    }
  });

  it('knows the target', () => {
    expect(chosen.length, `one of ${TARGETS.map(({ name }) => name).join(', ')}`).toBeGreaterThan(
      0,
    );
  });
});
