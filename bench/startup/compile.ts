/**
 * A process that compiles once, with nothing warm: node compile.js PRESET BATCH. Prints one line of
 * JSON {ms, cpuMs, steps}: time of compile and plan, and what all threads computed in it.
 */
import { buildModel, compile, modelConfig, sgd } from '@thimble/core';

const [preset, batch] = [process.argv[2] ?? '', Number(process.argv[3])];
const config = modelConfig(preset);
const cpu = process.cpuUsage();
const started = performance.now();
const program = compile({
  model: (images) => buildModel(config, { batch: images }),
  optimizer: sgd({ momentum: 0.9 }),
  batch,
});
const ms = performance.now() - started;
const { user, system } = process.cpuUsage(cpu);
const steps = program.entries.reduce((sum, entry) => sum + entry.steps.length, 0);
console.log(JSON.stringify({ ms, cpuMs: (user + system) / 1000, steps }));
