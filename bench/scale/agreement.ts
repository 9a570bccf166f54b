/**
 * Whether contestants compute the same: those that start from the same weights have the same losses on the
 * same images. A benchmark of something else than it says is not saved.
 */

export interface Checked {
  readonly name: string;
  /** What it starts from: the same text for the same function of the images. */
  readonly start: string;
  /** Its forward pass is computed in bfloat16. */
  readonly isRounded: boolean;
  /** Its gradients are those of the others of its start, so that losses agree beyond the first. */
  readonly isExact: boolean;
}

/** Relative; sums of float32 in another order, and 8 bits of mantissa. */
const TOLERANCE = 1e-4;
const ROUNDED_TOLERANCE = 2e-2;

/** Somebody computes something else. */
export class DisagreementError extends Error {}

export class Agreement {
  private readonly first = new Map<string, { readonly name: string; losses: readonly number[] }>();

  /** Throws DisagreementError unless `losses` are finite and those of whoever came first with this start. */
  check({ name, start, isRounded, isExact }: Checked, losses: readonly number[]): void {
    if (losses.length === 0 || !losses.every(Number.isFinite)) {
      throw new DisagreementError(
        `${name}: expected finite losses, got ${losses.join(', ') || 'none'}`,
      );
    }
    const known = this.first.get(start);
    if (!known) {
      if (!isRounded) this.first.set(start, { name, losses });
      return;
    }
    const tolerance = isRounded ? ROUNDED_TOLERANCE : TOLERANCE;
    for (let step = 0; step < (isExact ? losses.length : 1); step++) {
      const [got, expected] = [losses[step], known.losses[step]];
      if (Math.abs(got - expected) <= tolerance * Math.abs(expected)) continue;
      throw new DisagreementError(
        `${name}: expected the loss of ${known.name} at step ${step + 1}, ${expected}, got ${got}`,
      );
    }
  }
}
