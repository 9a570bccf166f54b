/** full: every parameter trains. Saving: none; it is the yardstick of the other methods. */
import { noConfig } from './options.js';
import { trainOnly, type Method } from './method.js';

export const full: Method<null> = {
  name: 'full',
  summary: 'train every parameter',
  usage: 'full',
  parse: (text) => noConfig('full', text),
  print: () => 'full',
  forward: (model) => trainOnly(model, () => true),
  neutral: () => null,
};
