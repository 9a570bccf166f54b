/**
 * The WASI paper's own counts of memory and work, for the linears that a method acts on.
 *
 * Legend of one linear y = x Wᵀ: x [D₁ … D_d] with D_d = I inputs (ViT: B, N, I; Swin: B, H, W, I),
 * M = D₁ ⋯ D_{d−1} rows, O outputs; K rank of W, r₁ … r_d Tucker ranks of x, a rank of an adapter.
 *
 *   training memory    weights + input: OI or K(O+I), + a(O+I) · ΠD or Πr + Σ D_m r_m      elements
 *   inference memory   weights alone
 *   dense              forward MO(2I−1), dX MI(2O−1), dW OI(2M−1)                          FLOP
 *   low rank           forward, dX and inference MK(2I−1) + MO(2K−1) each
 *   refreshing         SI(a, b, r) = ar(2b−1) + br(2a−1) + 2 max(a,r) min(a,r)² for each mode of x
 *                      (a = D_m, b = ΠD / D_m) and for W (a = O, b = I); with a new HOSVD at every
 *                      step 4 max min² + 8 min³ of each unfolding instead
 *   dW from factors    B·N·O·r₁ + r₁r₂r₃·N + r₁r₃·I·N + I·O·N·r₁ and, with four modes,
 *                      BHWO·r₁ + r₁r₂r₃r₄·H + r₁HWO·r₃ + r₁r₃r₄·H·I + O·I·H·r₁r₃
 *
 * These are the formulas of the authors' code, with their habits: the dW of factors counts a
 * multiply-add once where everything else counts it twice, the low-rank dX is written with O and I
 * exchanged, forming the core is not counted, and the input that q, k and v of a ViT share is counted
 * three times, in both forms. Layer norm, GELU, attention, optimiser,
 * transient memory, other weights and the first decomposition are left out: see `breakdown.ts`.
 * The four-mode dW and the adapter's work are not in the paper; they follow its order and habits.
 *
 * Reference: WASI, ICLR 2026, arXiv 2510.09160, appendix A as its code computes it.
 */
import { isTrained, linears } from '../methods/linears.js';
import type { Layers, Ranks, Refresh } from '../methods/ranks.js';
import type { ModelGraph } from '../ir/graph.js';
import { elements, type Shape } from '../ir/types.js';

/** A linear with the form in which its weight and its saved input live. */
export interface PaperLayer {
  /** Name of W in the dense model. */
  readonly weight: string;
  readonly outputs: number;
  /** D₁ … D_d, the shape of x. */
  readonly input: Shape;
  /** How often the paper counts x: three times where W is that of q, k and v together. */
  readonly copies: number;
  /** K; null where W is dense. */
  readonly rank: number | null;
  /** Rank of the adapter beside W; null where there is none. */
  readonly adapter: number | null;
  /** r₁ … r_d; null where x is kept as it is. */
  readonly tucker: readonly number[] | null;
}

/** What the paper counts; memory in elements of four bytes. */
export interface PaperCosts {
  readonly weightElements: number;
  /** The input that is saved for dW, as it is or as core and factors. */
  readonly inputElements: number;
  readonly forwardFlops: number;
  readonly backwardFlops: number;
  readonly inferenceFlops: number;
}

/** Costs of all counted layers as the WASI paper counts them. */
export interface PaperReport {
  readonly layers: number;
  readonly dense: PaperCosts;
  readonly factored: PaperCosts;
  /** Dense / factored: C and S of the paper. */
  readonly ratios: {
    readonly trainingMemory: number;
    readonly trainingFlops: number;
    readonly inferenceMemory: number;
    readonly inferenceFlops: number;
  };
}

/** Sums over layers and the paper's ratios C and S. */
export function paperReport(layers: readonly PaperLayer[], refresh: Refresh): PaperReport {
  const plain = { rank: null, adapter: null, tucker: null };
  const dense = total(layers.map((layer) => paperCosts({ ...layer, ...plain }, refresh)));
  const factored = total(layers.map((layer) => paperCosts(layer, refresh)));
  const memory = (costs: PaperCosts) => costs.weightElements + costs.inputElements;
  const flops = (costs: PaperCosts) => costs.forwardFlops + costs.backwardFlops;
  return {
    layers: layers.length,
    dense,
    factored,
    ratios: {
      trainingMemory: memory(dense) / memory(factored),
      trainingFlops: flops(dense) / flops(factored),
      inferenceMemory: dense.weightElements / factored.weightElements,
      inferenceFlops: dense.inferenceFlops / factored.inferenceFlops,
    },
  };
}

/**
 * The trained linears of `layers` as the paper sees them.
 *
 * @param model what the method's `forward` returned, for one micro-batch
 * @param tucker ranks of each compressed input by the name of its linear's weight
 */
export function paperLayers(
  model: ModelGraph,
  layers: Layers,
  tucker: Ranks['activations'],
): readonly PaperLayer[] {
  return linears(model, layers)
    .filter(isTrained)
    .map(({ weight, outputs, x, form }) => {
      const side = form.kind === 'dense' ? null : form.left.type.shape[1];
      return {
        weight,
        outputs,
        input: x.type.shape,
        copies: weight.includes('.qkv.') && x.type.shape.length === 3 ? 3 : 1,
        rank: form.kind === 'low-rank' ? side : null,
        adapter: form.kind === 'adapter' ? side : null,
        tucker: Object.hasOwn(tucker, weight) ? tucker[weight] : null,
      };
    });
}

/** One linear. */
export function paperCosts(layer: PaperLayer, refresh: Refresh): PaperCosts {
  const { outputs: O, input, rank: K, adapter, tucker } = layer;
  const I = input[input.length - 1];
  const M = elements(input) / I;
  const through = (inner: number) => M * inner * (2 * I - 1) + M * O * (2 * inner - 1);
  const beside = adapter === null ? 0 : through(adapter);
  const applied = (K === null ? M * O * (2 * I - 1) : through(K)) + beside;
  const dX = (K === null ? M * I * (2 * O - 1) : through(K)) + beside;
  const followed = K === null ? 0 : iteration(O, I, K);
  return {
    weightElements: (K === null ? O * I : K * (O + I)) + (adapter ?? 0) * (O + I),
    inputElements:
      layer.copies * (tucker === null ? elements(input) : tuckerElements(input, tucker)),
    forwardFlops: applied + followed + refreshFlops(input, tucker, refresh),
    backwardFlops: dX + gradientFlops(layer, M, I),
    inferenceFlops: applied,
  };
}

/** Πr + Σ D_m r_m: core and factors. */
export function tuckerElements(input: Shape, ranks: readonly number[]): number {
  return ranks.reduce((sum, rank, mode) => sum + rank * input[mode], elements(ranks));
}

/** dW, or the gradients of the adapter beside a frozen W. */
function gradientFlops({ outputs: O, input, adapter, tucker }: PaperLayer, M: number, I: number) {
  if (adapter !== null) return adapter * (O + I) * (2 * M - 1);
  if (tucker === null) return O * I * (2 * M - 1);
  const [r1, r2, r3, r4] = tucker;
  if (input.length === 3) {
    const [B, N] = input;
    return B * N * O * r1 + r1 * r2 * r3 * N + r1 * r3 * I * N + I * O * N * r1;
  }
  const [B, H, W] = input;
  const inner = r1 * r2 * r3 * r4 * H + r1 * r3 * r4 * H * I;
  return B * H * W * O * r1 + r1 * H * W * O * r3 + inner + O * I * H * r1 * r3;
}

function refreshFlops(input: Shape, tucker: readonly number[] | null, refresh: Refresh): number {
  return (tucker ?? []).reduce((sum, rank, mode) => {
    const rows = input[mode];
    const columns = elements(input) / rows;
    const step = refresh === 'decompose' ? svd(rows, columns) : iteration(rows, columns, rank);
    return sum + step;
  }, 0);
}

/** SI: one warm subspace iteration for r directions of a matrix [a, b]. */
function iteration(a: number, b: number, r: number): number {
  return a * r * (2 * b - 1) + b * r * (2 * a - 1) + 2 * Math.max(a, r) * Math.min(a, r) ** 2;
}

function svd(a: number, b: number): number {
  const least = Math.min(a, b);
  return 4 * Math.max(a, b) * least ** 2 + 8 * least ** 3;
}

function total(costs: readonly PaperCosts[]): PaperCosts {
  const sum = (key: keyof PaperCosts) => costs.reduce((all, cost) => all + cost[key], 0);
  return {
    weightElements: sum('weightElements'),
    inputElements: sum('inputElements'),
    forwardFlops: sum('forwardFlops'),
    backwardFlops: sum('backwardFlops'),
    inferenceFlops: sum('inferenceFlops'),
  };
}
