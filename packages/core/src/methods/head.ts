/**
 * head: a linear probe; only the classifier trains.
 *
 * Closed form: gradients and optimiser state for (D+1)·C parameters; saved for the backward pass: the
 * classifier's input B·D and the logits B·C, 4 bytes each. Everything below the classifier runs forward
 * only.
 */
import { noConfig } from './options.js';
import { trainOnly, type Method } from './method.js';

export const head: Method<null> = {
  name: 'head',
  summary: 'train the classifier only (linear probe)',
  usage: 'head',
  parse: (text) => noConfig('head', text),
  print: () => 'head',
  forward: (model) => trainOnly(model, (name) => name.startsWith(model.head)),
  neutral: () => null,
};
