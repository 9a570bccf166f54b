/** Checkpoints of other libraries: what they are, their weights in, ours out, and the files beside them. */
export { checkedClassNames, classNameFault } from './class-names.js';
export { recognise } from './recognise.js';
export { describeConfig } from './describe.js';
export { foreignWeights, huggingFaceConfig } from './foreign.js';
export { familyPreprocess, parsePreprocess, preprocessorConfig } from './preprocess.js';
export type { NamingName } from '../models/naming.js';
export type { Recognised, Sidecars } from './types.js';
