/** What the import and export of checkpoints speak of. */
import type { Preprocess } from '../data/preprocess.js';
import type { ModelConfig } from '../models/index.js';
import type { NamingName } from '../models/naming.js';
import type { WeightSource } from '../train/weights.js';

/** Files beside the weights, parsed JSON or null. */
export interface Sidecars {
  /** config.json, of Hugging Face or of timm. */
  readonly config: unknown;
  /** preprocessor_config.json. */
  readonly preprocessor: unknown;
  /** arch.json, of models whose tensors do not tell their strides and activations. */
  readonly architecture?: unknown;
}

/** What a checkpoint was found to be. */
export interface Recognised {
  readonly naming: NamingName;
  /** One line for people: `ViT-Ti/16, 224 px, 1000 classes, Hugging Face names`. */
  readonly description: string;
  /** The preset with this configuration, whatever its image size and classes; null without one. */
  readonly modelName: string | null;
  /** Complete; without a classifier in the file, `classes` is a placeholder. */
  readonly config: ModelConfig;
  /** False where the file holds a backbone only. */
  readonly hasClassifier: boolean;
  /** Under Thimble's names, q k v fused; factors (`.left`, `.right`) as they are. */
  readonly weights: WeightSource;
  /** In the order of the classifier's outputs; null where nothing says them. */
  readonly labels: readonly string[] | null;
  /** null: nothing said; then `familyPreprocess(config)` is what the family was trained with. */
  readonly preprocess: Preprocess | null;
  /** Tensors with no place in the model: buffers, poolers, classifiers that are not used. */
  readonly ignored: readonly string[];
}
