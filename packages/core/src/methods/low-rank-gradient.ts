/**
 * low-rank-gradient: every weight stays dense and trains; those of the blocks' linears train through
 * rank-r factors of their change (gradient-factors.ts), so that neither a gradient nor an optimiser state
 * of a weight's size exists. Biases, norms, embeddings and the classifier train as in full training.
 *
 * Reconstructed: of the publication only abstract and introduction could be had. They say that the
 * gradient, not the weight, gets a low-rank parameterisation, that the weight keeps its full rank, and
 * that Adam then takes about as much memory as sgd with momentum. How the factors move, when they are
 * drawn anew and what happens to the moments then is ours; docs/low-rank-gradient.md has it all.
 *
 * Closed form: saved as full training. Of each linear, with s state tensors of the optimiser (sgd 0,
 * with momentum 1, adamw 2):
 *
 *   factors and states   r (O + I) (1 + s)     in place of  O I s       adamw: 4 more that count steps
 *   gradient             r (O + I)             in place of  O I         also what micro-batches add to
 *
 * A refresh every `refresh` updates draws the factors anew, before the update; the optimiser's states
 * are reset, since moments along old factors mean nothing along new ones (`moments=reset`), or kept.
 *
 * No neutral point: at r = min(O, I) with orthonormal factors a step of sgd would still be −2ηG. With
 * u = 0 and orthonormal v of full rank it is −ηG, which a test holds the update to.
 *
 * Reference: Gooneratne, Sim et al., Low-rank gradient approximation for memory-efficient on-device
 * training of deep neural network, ICASSP 2020, arXiv 2001.08885.
 */
import { ConfigError } from '../errors.js';
import { denseGradient, outputValues } from '../ir/graph.js';
import type { ModelGraph, Parameter, TrainGraph } from '../ir/graph.js';
import { moveBehind } from '../ir/order.js';
import { GraphBuilder } from '../ops/builder.js';
import { drawnFactors, factorGradients, factorRule, factorsOf } from './gradient-factors.js';
import type { Moments } from './gradient-factors.js';
import { isTrained, linears, type Linear } from './linears.js';
import { notDense } from './low-rank.js';
import type { Method, OpenOption } from './method.js';
import { keyValues, layersOf, positiveOf } from './options.js';
import type { Layers } from './ranks.js';
import { besideInput } from './tucker-ranks.js';

export interface LowRankGradientConfig {
  /** r */
  readonly rank: number;
  /** The rank was not said: a budget may lower it. */
  readonly isOpen: boolean;
  /** Updates between two draws of the factors. */
  readonly refresh: number;
  readonly layers: Layers;
  /** The learning rate of the factored weights, as a factor on the schedule's. */
  readonly rate: number;
  readonly moments: Moments;
}

const NAME = 'low-rank-gradient';
const DEFAULTS = { rank: '4', refresh: '50', layers: 'all', rate: '1', moments: 'reset' } as const;
const KEYS = ['refresh', 'layers', 'rate', 'moments'] as const;

export const lowRankGradient: Method<LowRankGradientConfig> = {
  name: NAME,
  summary:
    'train everything, the linears of the blocks through low-rank factors of their change ' +
    `(default rank ${DEFAULTS.rank})`,
  usage: `${NAME}=RANK,refresh=STEPS,layers=all|mlp,rate=FACTOR,moments=reset|keep`,
  keys: KEYS,
  parse,
  print: ({ rank, refresh, layers, rate, moments }) =>
    `${NAME}=${String(rank)},refresh=${String(refresh)},layers=${layers},` +
    `rate=${String(rate)},moments=${moments}`,
  options: (config) => (config.isOpen ? [rankOption(config)] : []),
  claims: (model, config) => ({ updates: chosen(model, config).map(({ weight }) => weight) }),
  backward,
  rule: (parameter, model, config) =>
    isChosen(parameter, model, config) ? factorRule(config.rank, config.moments) : null,
  rate: (parameter, model, config) =>
    isChosen(parameter, model, config) ? { name: NAME, factor: config.rate } : null,
  entries: (model, config, optimizer) => {
    const all = chosen(model, config).map((linear) => ({ ...linear, rank: config.rank }));
    if (all.length === 0) return [];
    const graph = drawnFactors(all, optimizer, config.moments);
    return [{ name: 'draw-factors', graph, cue: { at: 'steps', every: config.refresh } }];
  },
  neutral: () => null,
};

/** The trained linears of the chosen layers. Throws ConfigError for one that is not dense. */
function chosen(model: ModelGraph, { layers, rank }: LowRankGradientConfig): readonly Linear[] {
  const all = linears(model, layers).filter(isTrained);
  for (const { weight, form, outputs, inputs } of all) {
    if (form.kind !== 'dense') throw notDense(weight, form.kind);
    checkRank(weight, rank, Math.min(outputs, inputs));
  }
  return all;
}

function isChosen(parameter: Parameter, model: ModelGraph, config: LowRankGradientConfig): boolean {
  return chosen(model, config).some(({ weight }) => weight === parameter.name);
}

/** The train graph with the gradients of the chosen linears in parts. */
function backward(train: TrainGraph, model: ModelGraph, config: LowRankGradientConfig): TrainGraph {
  const gradients = new Map(train.gradients);
  let { graph } = train;
  for (const linear of chosen(model, config)) {
    const { weight, x } = linear;
    const dy = besideInput(train, weight, x.id);
    const whole = denseGradient(train, weight);
    const at = graph.nodes.findIndex(({ outputs }) => outputs.y === whole);
    const builder = new GraphBuilder(graph);
    const parts = builder.scope(`grad.${weight}.factors`, () =>
      factorGradients(builder, factorsOf(builder, { ...linear, rank: config.rank }), x, dy),
    );
    // In the place of the whole gradient, which nothing reads any more.
    const extended = builder.build(outputValues(graph));
    graph = moveBehind(extended, graph.nodes.length, at);
    gradients.set(weight, { kind: 'parts', parts: { u: parts.u.id, v: parts.v.id } });
  }
  return { graph, gradients };
}

function rankOption(config: LowRankGradientConfig): OpenOption<LowRankGradientConfig> {
  const lower = [8, 4, 2, 1].filter((rank) => rank < config.rank);
  const choose = (rank: number): LowRankGradientConfig => ({ ...config, rank, isOpen: false });
  return { axis: 'updates', values: [config.rank, ...lower], choose };
}

function parse(text: string | undefined): LowRankGradientConfig {
  const given = keyValues(NAME, text, 'rank', KEYS);
  const { rank, refresh, layers, rate, moments } = { ...DEFAULTS, ...given };
  return {
    rank: positiveOf(NAME, 'a whole rank', rank, /^\d+$/),
    isOpen: given.rank === undefined,
    refresh: positiveOf(NAME, 'a whole number of steps', refresh, /^\d+$/),
    layers: layersOf(NAME, layers),
    rate: positiveOf(NAME, 'a factor', rate, /^\d*\.?\d+$/),
    moments: momentsOf(moments),
  };
}

function momentsOf(text: string): Moments {
  if (text === 'reset' || text === 'keep') return text;
  throw new ConfigError({
    where: `method ${NAME}`,
    expected: 'moments=reset or moments=keep',
    got: `"${text}"`,
    todo: 'reset starts the optimiser’s states anew with each draw, keep carries them over',
  });
}

function checkRank(weight: string, rank: number, most: number): void {
  if (rank <= most) return;
  throw new ConfigError({
    where: `method ${NAME}, weight ${weight}`,
    expected: `a rank of at most ${String(most)}, the smaller side of the weight`,
    got: String(rank),
    todo: 'Lower the rank',
  });
}
