/**
 * What a family of models is: one record, in a folder of its own beside this file, and one line in
 * `index.ts`. Whatever differs between families is a field of the record, so that nothing else has to
 * know which families there are.
 *
 * The fields that take a configuration are methods: TypeScript compares these loosely enough that the
 * record of one family stands for `Family<ModelConfig>` where `family` has chosen it (`familyOf`).
 */
import type { Preprocess } from '../data/preprocess.js';
import type { ModelGraph } from '../ir/graph.js';
import type { Reader } from '../schema/index.js';
import type { Configured, Evidence } from './evidence.js';
import type { Layout, NamingName, PlacedLayout, WrittenNaming } from './naming.js';
import type { BuildOptions } from './options.js';
import type { Reasons } from './reasons.js';
import type { FamilyConfig } from './sizes.js';

/** A family of models: how its configurations are read and built, and what its checkpoints look like. */
export interface Family<C extends FamilyConfig> {
  /** What people call its models: one of them, several of them. */
  readonly kinds: { readonly one: readonly string[]; readonly many: readonly string[] };
  /** Configurations of known size, by the names that people type; unique among all families. */
  readonly presets: Readonly<Record<string, C>>;
  /** A configuration that `build` can build. */
  readonly reader: Reader<C>;
  /**
   * The forward graph: inputs `images` [B, C, S, S] and `labels` [B], outputs `logits` and `loss`.
   * Throws ConfigError for a configuration that the reader refuses.
   */
  build(config: C, options: BuildOptions): ModelGraph;
  /** What the side of the images has to be where it is not; null when it fits. */
  imageSizeRule(config: C): string | null;
  /** The model in a few words, without image size and classes: `ViT-Ti/16`. */
  describe(config: C): string;
  /** Fields that neither the names nor the shapes of a model's tensors tell. */
  readonly untold: readonly string[];
  /** Where each library keeps the parameters; the first layout whose sign a file has is the file's. */
  readonly layouts: readonly Layout[];
  /** The layout in which the weights of `config` are written under names of `naming`. */
  writtenLayout(naming: WrittenNaming, config: C): PlacedLayout;
  /** What tensors tell that have no place in these models. */
  readonly reasons: Reasons;
  /** `model_type` of transformers' classifiers that are these models, and their image processor. */
  readonly transformersTypes: Readonly<Record<string, ProcessorName>>;
  /** `architecture` of timm's models that are these. */
  readonly timmArchitectures: RegExp;
  /**
   * The configuration of a checkpoint that has one of the layouts: sizes from the shapes of its tensors,
   * the rest from what is said beside them, or the defaults of the library. Throws CheckpointError where
   * the two disagree, and for what these models cannot do.
   */
  configure(evidence: Evidence<C>): Configured<C>;
  /** How pictures were prepared for weights of `naming` of which nothing says it. */
  preprocess(naming: NamingName, config: C): Preprocess;
  /**
   * config.json of transformers, which transformers.js reads too.
   *
   * @param shared what is the same for every classifier
   * @param use whether it stands beside weights, which transformers has to have a model for, or beside a
   *   graph, which runs by itself
   * Throws ConfigError for weights of a model that transformers does not have.
   */
  transformersConfig(config: C, shared: object, use: ExportUse): object;
}

/** What an exported configuration stands beside. */
export type ExportUse = 'weights' | 'graph';

/** Image processors of transformers, without ImageProcessor, FeatureExtractor, Fast. */
export type ProcessorName =
  'ViT' | 'DeiT' | 'Bit' | 'CLIP' | 'ConvNext' | 'MobileNetV2' | 'EfficientNet';
