/** thimble ranks: the ranks of a factored run and what they were chosen from. */
import type { Command } from 'commander';
import { ranks } from '../library/info.js';
import { ranksLines } from '../say/ranks.js';
import { Output } from '../terminal/output.js';
import { addJson, type CommonOptions } from '../options/shared.js';

const HELP = `
Weights: W [outputs, inputs] is L R with an inner extent of K; "By ε" is the K at which W itself keeps
the share ε of its energy, "Lost" the energy that the outputs lose. A weight without a K stays dense.
Inputs: a linear's input is saved for the backward pass as a core of these sizes and a factor for each
axis; "Error" is the share of the weight's gradient that it loses. --json has all options that were
tried.

Examples:
  thimble ranks runs/photos-1
  thimble ranks runs/photos-1 --json
`;

export function addRanks(program: Command): void {
  const command = program
    .command('ranks')
    .summary('show the ranks of a factored run')
    .description('Shows the ranks of a run with a factored method, and what they were chosen from.')
    .argument('<RUN>', 'run folder of thimble train');
  addJson(command)
    .addHelpText('after', HELP)
    .action(async (run: string, options: CommonOptions) => {
      const output = new Output(options.json);
      const file = await ranks({ run });
      output.event('ranks', { ...file });
      for (const line of ranksLines(file)) output.line(line);
    });
}
