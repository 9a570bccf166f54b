/** What may be said of the weights that work starts from, and of how pictures become its input. */

/** How weights are had from the hub. */
export interface HubOptions {
  /** Branch, tag or commit of a model on the hub; default `main`. */
  readonly revision?: string;
  /** Asks nothing of the network: what was downloaded before. */
  readonly offline?: boolean;
}

/** How pictures become numbers. */
export interface PreprocessOptions {
  /** A name that `thimble train --help` lists, or a preprocessor_config.json; default: as the model says. */
  readonly preprocess?: string;
}

/** Small, and its weights come with Thimble. */
export const DEFAULT_MODEL = 'vit-micro';
