/**
 * The demo's own data set: twelve classes of figures and textures, drawn on demand, no download.
 *
 * Every picture is 32 × 32 RGB: a dark background that shades from one colour to another, a light
 * subject in a random pose (place, size, turn, stretch), distractors in front and behind, noise.
 * Hues are random and the pose moves every edge, so no pixel says much by itself: a linear
 * classifier on the pixels stays near one half (the test measures it), while the pattern of the
 * patches decides.
 *
 * Picture `index` of a seed depends on (seed, index) only and has label index mod 12, so any run of
 * indices is balanced, and another seed is another set: validation takes a seed of its own.
 *
 * Terms: a mask says for a point in the subject's own coordinates whether the subject covers it.
 * Figures are drawn around their centre with the unit circle as their size; textures have period
 * 1. Edges are antialiased by SAMPLES × SAMPLES points per pixel. Turns use Math.sin, Math.cos and
 * Math.atan2, so an engine with other roundings may differ in a pixel that an edge just touches.
 */
import { Random } from '../random.js';
import type { RawImage } from './image.js';

/** Width and height of the pictures. */
export const shapesSize = 32;

const SAMPLES = 3;
const TAU = 2 * Math.PI;

/** Whether the subject covers the point (u, v) of its own coordinates. */
type Mask = (u: number, v: number) => boolean;

interface SubjectClass {
  readonly name: string;
  /** Figures are placed in the picture; patterns fill it, from a centre or everywhere alike. */
  readonly kind: 'figure' | 'radial' | 'texture';
  /** A mask with the details that may vary within the class. */
  readonly mask: (random: Random) => Mask;
}

const subjects: readonly SubjectClass[] = [
  { name: 'circle', kind: 'figure', mask: () => (u, v) => radius(u, v) < 0.9 },
  { name: 'triangle', kind: 'figure', mask: () => insideTriangle },
  { name: 'ring', kind: 'figure', mask: ring },
  { name: 'cross', kind: 'figure', mask: cross },
  { name: 'spiral', kind: 'figure', mask: spiral },
  { name: 'target', kind: 'radial', mask: () => (u, v) => fraction(1.6 * radius(u, v)) < 0.5 },
  { name: 'rays', kind: 'radial', mask: rays },
  { name: 'stripes', kind: 'texture', mask: () => (u) => fraction(u) < 0.5 },
  {
    name: 'checkerboard',
    kind: 'texture',
    mask: () => (u, v) => fraction(u) < 0.5 !== fraction(v) < 0.5,
  },
  { name: 'dots', kind: 'texture', mask: dots },
  {
    name: 'zigzag',
    kind: 'texture',
    mask: () => (u, v) => fraction(v + 1.6 * Math.abs(fraction(0.6 * u) - 0.5)) < 0.5,
  },
  { name: 'blobs', kind: 'texture', mask: blobs },
];

/** The names of the classes; a label is an index into this list. */
export const shapesClasses: readonly string[] = subjects.map((subject) => subject.name);

/**
 * Draws one picture.
 *
 * @param seed names the data set; @param index which picture, a non-negative integer.
 */
export function shapesImage(seed: number, index: number): { image: RawImage; label: number } {
  const random = Random.of(seed, 'shapes', index);
  const label = index % subjects.length;
  const canvas = new Float32Array(shapesSize * shapesSize * 3); // levels, clipped at the end
  const front = shaded(random, toned(random, random.between(160, 215)));
  const back = shaded(random, toned(random, random.between(35, 90)));
  paint(canvas, back, () => true);
  scatter(canvas, random, random.below(2));
  paint(canvas, front, posed(subjects[label], random));
  scatter(canvas, random, random.below(2));
  const noise = random.between(2, 8);
  for (let i = 0; i < canvas.length; i++) canvas[i] += noise * random.normal();
  const data = Uint8ClampedArray.from(canvas);
  return { image: { width: shapesSize, height: shapesSize, channels: 3, data }, label };
}

/** The subject's mask in picture coordinates. */
function posed(subject: SubjectClass, random: Random): Mask {
  const mask = subject.mask(random);
  const { kind } = subject;
  const angle = random.between(-0.3, 0.3);
  const texture = kind === 'texture';
  const scale = shapesSize * (texture ? random.between(0.2, 0.29) : random.between(0.32, 0.42));
  // How far the centre may be from the middle: figures stay inside but for a corner.
  const reach = kind === 'figure' ? 0.46 * shapesSize - 0.8 * scale : 0.28 * shapesSize;
  const x0 = shapesSize / 2 + random.between(-reach, reach);
  const y0 = shapesSize / 2 + random.between(-reach, reach);
  const stretch = random.between(0.9, 1.1);
  const cosine = Math.cos(angle) / scale;
  const sine = Math.sin(angle) / scale;
  return (x, y) => {
    const dx = (x - x0) * stretch;
    const dy = (y - y0) / stretch;
    return mask(cosine * dx + sine * dy, cosine * dy - sine * dx);
  };
}

/** A colour that may change over the picture: writes three levels. */
type Paint = (x: number, y: number, out: Float32Array) => void;

/** Blends the paint into the canvas by the share of each pixel that the mask covers. */
function paint(canvas: Float32Array, colour: Paint, mask: Mask): void {
  const level = new Float32Array(3);
  for (let y = 0, at = 0; y < shapesSize; y++) {
    for (let x = 0; x < shapesSize; x++, at += 3) {
      let covered = 0;
      for (let i = 0.5; i < SAMPLES; i++) {
        for (let j = 0.5; j < SAMPLES; j++) if (mask(x + j / SAMPLES, y + i / SAMPLES)) covered++;
      }
      if (covered === 0) continue;
      const share = covered / (SAMPLES * SAMPLES);
      colour(x, y, level);
      for (let c = 0; c < 3; c++) canvas[at + c] += share * (level[c] - canvas[at + c]);
    }
  }
}

/** A colour of this brightness (0..255) and any hue. */
function toned(random: Random, brightness: number): number[] {
  const tint = [0, 1, 2].map(() => random.between(-60, 60));
  const excess = 0.299 * tint[0] + 0.587 * tint[1] + 0.114 * tint[2];
  return tint.map((level) => brightness + level - excess);
}

/** Paint that shades from the colour along a random direction. */
function shaded(random: Random, colour: readonly number[]): Paint {
  const angle = random.uniform() * TAU;
  const dx = Math.cos(angle) / shapesSize;
  const dy = Math.sin(angle) / shapesSize;
  const slope = colour.map(() => random.between(-50, 50));
  return (x, y, out) => {
    const along = (x - shapesSize / 2) * dx + (y - shapesSize / 2) * dy;
    for (let c = 0; c < 3; c++) out[c] = colour[c] + slope[c] * along;
  };
}

/** Distractors: small spots and strokes of any colour. */
function scatter(canvas: Float32Array, random: Random, count: number): void {
  for (let i = 0; i < count; i++) {
    const x0 = random.between(0, shapesSize);
    const y0 = random.between(0, shapesSize);
    const angle = random.uniform() * Math.PI;
    const length = random.between(0, 4);
    const width = random.between(0.7, 1.5);
    const cosine = Math.cos(angle);
    const sine = Math.sin(angle);
    const colour = [0, 1, 2].map(() => random.below(256));
    paint(canvas, shaded(random, colour), (x, y) => {
      const along = Math.abs((x - x0) * cosine + (y - y0) * sine);
      const beside = (y - y0) * cosine - (x - x0) * sine;
      return radius(Math.max(0, along - length), beside) < width;
    });
  }
}

function insideTriangle(u: number, v: number): boolean {
  const lean = (Math.sqrt(3) / 2) * v;
  return u < 0.5 && lean - 0.5 * u < 0.5 && -lean - 0.5 * u < 0.5;
}

function ring(random: Random): Mask {
  const hole = random.between(0.5, 0.62);
  return (u, v) => {
    const r = radius(u, v);
    return r < 1 && r > hole;
  };
}

function cross(random: Random): Mask {
  const arm = random.between(0.16, 0.22);
  return (u, v) => {
    const [a, b] = [Math.abs(u), Math.abs(v)];
    return Math.min(a, b) < arm && Math.max(a, b) < 1.5;
  };
}

/** An Archimedean spiral, as wide as its gaps, turning either way. */
function spiral(random: Random): Mask {
  const turns = random.between(1.6, 1.9) * (random.below(2) === 0 ? 1 : -1);
  return (u, v) => {
    const r = radius(u, v);
    return r < 1 && fraction(Math.atan2(v, u) / TAU + r * turns) < 0.5;
  };
}

function rays(random: Random): Mask {
  const count = 6 + random.below(3);
  return (u, v) => fraction((Math.atan2(v, u) / TAU) * count) < 0.5;
}

function dots(random: Random): Mask {
  const size = random.between(0.27, 0.33);
  return (u, v) => radius(fraction(u) - 0.5, fraction(v) - 0.5) < size;
}

/** Spots without direction: where a sum of six waves is positive. */
function blobs(random: Random): Mask {
  const waves = Array.from({ length: 6 }, () => {
    const angle = random.uniform() * TAU;
    const frequency = random.between(0.3, 0.55) * TAU;
    const phase = random.uniform() * TAU;
    return [frequency * Math.cos(angle), frequency * Math.sin(angle), phase] as const;
  });
  return (u, v) => {
    let sum = 0;
    for (const [a, b, phase] of waves) sum += Math.sin(a * u + b * v + phase);
    return sum > 0;
  };
}

function radius(u: number, v: number): number {
  return Math.sqrt(u * u + v * v);
}

function fraction(x: number): number {
  return x - Math.floor(x);
}
