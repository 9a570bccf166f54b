/**
 * What the comparison of low-rank gradients trains. Each row has settings of which a search on
 * validation photos chooses one: learning rates, with the low-rank gradient also the factor on them
 * and the steps between two draws.
 */
import type { Searched } from '../harness/search.js';

export interface Row extends Searched {
  readonly optimizer: 'sgd' | 'adamw';
}

export const ROWS: readonly Row[] = [
  row('full, adamw', 'adamw', ['full'], ['0.00003', '0.0001']),
  row('lora, adamw', 'adamw', ['lora'], ['0.001', '0.003']),
  row('low-rank-gradient, adamw', 'adamw', [gradient(1, 50)], ['0.0001', '0.0003']),
  row('low-rank-gradient, sgd', 'sgd', [gradient(1, 50)], ['0.0005', '0.001']),
  row('wasi 0.8, sgd', 'sgd', ['wasi=0.8'], ['0.001', '0.002']),
];

function gradient(rate: number, refresh: number): string {
  return `low-rank-gradient=4,refresh=${String(refresh)},rate=${String(rate)}`;
}

/** Every method with every learning rate. */
function row(
  name: string,
  optimizer: Row['optimizer'],
  methods: readonly string[],
  rates: readonly string[],
): Row {
  const choices = methods.flatMap((method) => rates.map((rate) => ({ method, rate })));
  return { name, optimizer, choices };
}
