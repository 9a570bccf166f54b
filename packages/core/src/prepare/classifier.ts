/**
 * classifier: a linear classifier on the features of the calibration images, so that there is a loss to
 * differentiate before the user's classifier, which starts at zero, has learned anything.
 *
 * Multinomial logistic regression with ridge λ, in float64, by accelerated gradient descent on the dual
 * coefficients α: with centred features x̃ᵢ, s = mean ‖x̃ᵢ‖² and K = X̃X̃ᵀ/s,
 *
 *   logits = K α,   ∇ = (softmax(logits) − Y)/n + λ α,   W = αᵀ X̃ / √s
 *
 * which costs n²C per step whatever the width D is. K has trace n, so the loss is 1/2-smooth in the
 * geometry of K and 1/(1/2 + λ) is a safe step. Only W and the residuals softmax − Y are needed; a constant
 * part of the logits is left to the regression, since balanced classes need none.
 *
 * Legend: n images, D features, C classes.
 * Reference: Nesterov, Lectures on convex optimization, 2nd ed., 2.2.20 (constant step, strongly convex).
 */
const RIDGE = 1e-2;
const STEPS = 150;

/**
 * dL/dfeatures [n, D] of the summed cross-entropy under the fitted classifier.
 *
 * @param features [n, D]
 */
export function featureGradients(
  features: Float64Array,
  labels: ArrayLike<number>,
  classes: number,
): Float64Array {
  const images = labels.length;
  const width = features.length / images;
  const centred = centre(features, images, width);
  const kernel = gram(centred, images, width);
  const alpha = fit(kernel, labels, classes);
  const residual = residuals(kernel, alpha, labels, classes);
  const weight = new Float64Array(classes * width); // αᵀ X̃
  for (let i = 0; i < images; i++) {
    for (let c = 0; c < classes; c++) {
      const a = alpha[i * classes + c];
      for (let d = 0; d < width; d++) weight[c * width + d] += a * centred[i * width + d];
    }
  }
  const result = new Float64Array(images * width);
  for (let i = 0; i < images; i++) {
    for (let c = 0; c < classes; c++) {
      const r = residual[i * classes + c];
      for (let d = 0; d < width; d++) result[i * width + d] += r * weight[c * width + d];
    }
  }
  return result;
}

/** X̃ / √s. */
function centre(features: Float64Array, images: number, width: number): Float64Array {
  const mean = new Float64Array(width);
  for (let i = 0; i < images; i++) {
    for (let d = 0; d < width; d++) mean[d] += features[i * width + d] / images;
  }
  const result = features.map((value, at) => value - mean[at % width]);
  const square = result.reduce((sum, value) => sum + value * value, 0) / images;
  return square > 0 ? result.map((value) => value / Math.sqrt(square)) : result;
}

function gram(rows: Float64Array, images: number, width: number): Float64Array {
  const result = new Float64Array(images * images);
  for (let i = 0; i < images; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let d = 0; d < width; d++) sum += rows[i * width + d] * rows[j * width + d];
      result[i * images + j] = sum;
      result[j * images + i] = sum;
    }
  }
  return result;
}

/** α [n, C] */
function fit(kernel: Float64Array, labels: ArrayLike<number>, classes: number): Float64Array {
  const images = labels.length;
  const step = 1 / (0.5 + RIDGE);
  const root = Math.sqrt(RIDGE * step);
  const momentum = (1 - root) / (1 + root);
  let alpha = new Float64Array(images * classes);
  let ahead = alpha;
  for (let count = 0; count < STEPS; count++) {
    const residual = residuals(kernel, ahead, labels, classes);
    const next = ahead.map((a, at) => a - step * (residual[at] / images + RIDGE * a));
    ahead = next.map((a, at) => a + momentum * (a - alpha[at]));
    alpha = next;
  }
  return alpha;
}

/** softmax(K α) − Y */
function residuals(
  kernel: Float64Array,
  alpha: Float64Array,
  labels: ArrayLike<number>,
  classes: number,
): Float64Array {
  const images = labels.length;
  const result = new Float64Array(images * classes);
  for (let i = 0; i < images; i++) {
    const row = result.subarray(i * classes, (i + 1) * classes);
    for (let j = 0; j < images; j++) {
      const k = kernel[i * images + j];
      for (let c = 0; c < classes; c++) row[c] += k * alpha[j * classes + c];
    }
    const most = row.reduce((best, value) => Math.max(best, value), -Infinity);
    const total = row.reduce((sum, value) => sum + Math.exp(value - most), 0);
    for (let c = 0; c < classes; c++) row[c] = Math.exp(row[c] - most) / total;
    row[labels[i]] -= 1;
  }
  return result;
}
