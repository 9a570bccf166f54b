/** What every model is built with besides its configuration. */
export interface BuildOptions {
  readonly batch: number;
  /** Label smoothing of the loss, in [0, 1). */
  readonly smoothing?: number;
}
