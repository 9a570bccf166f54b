/**
 * The demo's own data set: twelve classes of figures and textures, drawn on demand, no download.
 *
 * Every picture is 32 × 32 RGB: a background that shades from one colour to another, the subject of the
 * class in a random pose (place, size, turn, for textures also the period), a few distractors, noise.
 * Colours say nothing about the class: subject and background are drawn from the same distribution, so a
 * linear classifier on the pixels finds little (the test measures it), while the outline decides.
 *
 * Picture `index` of a seed depends on (seed, index) only and has label index mod 12, so any range of
 * indices is balanced, and two seeds share no picture: a validation set is another seed.
 *
 * Terms: a mask says for a point in the subject's own coordinates whether the subject covers it. Figures
 * live in the unit disc; textures cover the plane with period 1. Edges are antialiased by taking
 * SAMPLES × SAMPLES points per pixel. Masks use Math.sin and the like, so an engine with other roundings
 * may differ by a few levels in a pixel that lies on an edge.
 */
import { Random } from '../random.js';
import type { RawImage } from './image.js';

/** Width and height of the pictures. */
export const shapesSize = 32;

const SAMPLES = 3;

/** Whether the subject covers the point (u, v) of its own coordinates. */
type Mask = (u: number, v: number) => boolean;

interface SubjectClass {
  readonly name: string;
  /** Figures are placed in the picture; textures fill it. */
  readonly kind: 'figure' | 'texture';
  /** A mask with the details that may vary within the class. */
  readonly mask: (random: Random) => Mask;
}

type Colour = readonly [red: number, green: number, blue: number]; // 0..255

const subjects: readonly SubjectClass[] = [
  { name: 'circle', kind: 'figure', mask: () => (u, v) => u * u + v * v < 0.81 },
  {
    name: 'square',
    kind: 'figure',
    mask: () => (u, v) => Math.max(Math.abs(u), Math.abs(v)) < 0.78,
  },
  { name: 'triangle', kind: 'figure', mask: () => (u, v) => insidePolygon(u, v, 3, 0.5) },
  { name: 'star', kind: 'figure', mask: () => insideStar },
  {
    name: 'ring',
    kind: 'figure',
    mask: (random) => {
      const hole = random.between(0.5, 0.62);
      return (u, v) => u * u + v * v < 1 && u * u + v * v > hole * hole;
    },
  },
  {
    name: 'cross',
    kind: 'figure',
    mask: (random) => {
      const arm = random.between(0.2, 0.3);
      return (u, v) =>
        Math.min(Math.abs(u), Math.abs(v)) < arm && Math.max(Math.abs(u), Math.abs(v)) < 1;
    },
  },
  { name: 'stripes', kind: 'texture', mask: () => (u) => fraction(u) < 0.5 },
  {
    name: 'checkerboard',
    kind: 'texture',
    mask: () => (u, v) => fraction(u) < 0.5 !== fraction(v) < 0.5,
  },
  {
    name: 'dots',
    kind: 'texture',
    mask: (random) => {
      const radius = random.between(0.27, 0.33);
      return (u, v) => Math.hypot(fraction(u) - 0.5, fraction(v) - 0.5) < radius;
    },
  },
  {
    name: 'zigzag',
    kind: 'texture',
    mask: () => (u, v) => fraction(v + Math.abs(fraction(u * 0.6) - 0.5) * 1.6) < 0.5,
  },
  {
    name: 'spiral',
    kind: 'figure',
    mask: (random) => {
      const turns = random.between(1.6, 1.9) * (random.below(2) === 0 ? 1 : -1);
      return (u, v) => {
        const radius = Math.hypot(u, v);
        return radius < 1 && fraction(Math.atan2(v, u) / (2 * Math.PI) + radius * turns) < 0.5;
      };
    },
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
  const subject = subjects[label];
  const size = shapesSize;
  const canvas = new Float32Array(size * size * 3); // levels, clipped at the end

  const [front, back] = contrastingColours(random);
  paint(canvas, shading(random, back), () => true);
  scatter(canvas, random, random.below(3));
  paint(canvas, shading(random, front), posed(subject, random));
  scatter(canvas, random, random.below(2));
  addNoise(canvas, random, random.between(2, 14));
  return {
    image: { width: size, height: size, channels: 3, data: Uint8ClampedArray.from(canvas) },
    label,
  };
}

/** The subject's mask in picture coordinates. */
function posed(subject: SubjectClass, random: Random): Mask {
  const mask = subject.mask(random);
  const size = shapesSize;
  const angle = random.uniform() * 2 * Math.PI;
  const figure = subject.kind === 'figure';
  const scale = figure ? random.between(0.29, 0.42) * size : random.between(0.16, 0.24) * size;
  const reach = figure ? 0.46 * size - scale * 0.8 : size / 2; // how far from the centre it may be
  const x0 = size / 2 + random.between(-reach, reach);
  const y0 = size / 2 + random.between(-reach, reach);
  const stretch = random.between(0.9, 1.1);
  const cosine = Math.cos(angle) / scale;
  const sine = Math.sin(angle) / scale;
  return (x, y) => {
    const dx = (x - x0) * stretch;
    const dy = (y - y0) / stretch;
    return mask(cosine * dx + sine * dy, cosine * dy - sine * dx);
  };
}

/** Blends a colour field into the canvas where the mask covers the pixel. */
function paint(
  canvas: Float32Array,
  colour: (x: number, y: number, out: Float32Array) => void,
  mask: Mask,
) {
  const level = new Float32Array(3);
  for (let y = 0, at = 0; y < shapesSize; y++) {
    for (let x = 0; x < shapesSize; x++, at += 3) {
      let covered = 0;
      for (let sample = 0; sample < SAMPLES * SAMPLES; sample++) {
        const u = x + ((sample % SAMPLES) + 0.5) / SAMPLES;
        const v = y + (Math.floor(sample / SAMPLES) + 0.5) / SAMPLES;
        if (mask(u, v)) covered++;
      }
      if (covered === 0) continue;
      const share = covered / (SAMPLES * SAMPLES);
      colour(x, y, level);
      for (let c = 0; c < 3; c++) canvas[at + c] += share * (level[c] - canvas[at + c]);
    }
  }
}

/** A colour that shades along a random direction. */
function shading(random: Random, base: Colour) {
  const angle = random.uniform() * 2 * Math.PI;
  const dx = Math.cos(angle) / shapesSize;
  const dy = Math.sin(angle) / shapesSize;
  const slope = [0, 1, 2].map(() => random.between(-50, 50));
  return (x: number, y: number, out: Float32Array) => {
    const along = (x - shapesSize / 2) * dx + (y - shapesSize / 2) * dy;
    for (let c = 0; c < 3; c++) out[c] = base[c] + slope[c] * along;
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
    paint(canvas, shading(random, anyColour(random)), (x, y) => {
      const along = (x - x0) * cosine + (y - y0) * sine;
      const beside = (y - y0) * cosine - (x - x0) * sine;
      return Math.hypot(Math.max(0, Math.abs(along) - length), beside) < width;
    });
  }
}

function addNoise(canvas: Float32Array, random: Random, std: number): void {
  for (let i = 0; i < canvas.length; i++) canvas[i] += std * random.normal();
}

function anyColour(random: Random): Colour {
  return [random.below(256), random.below(256), random.below(256)];
}

/** A dark and a light colour of any hue. */
function contrastingColours(random: Random): [Colour, Colour] {
  const toned = (low: number, high: number): Colour => {
    for (;;) {
      const colour = anyColour(random);
      const l = luma(colour);
      if (l > low && l < high) return colour;
    }
  };
  return [toned(150, 235), toned(20, 90)];
}

function fraction(x: number): number {
  return x - Math.floor(x);
}

/** A regular polygon around the origin; `apothem` is the distance of its sides. */
function insidePolygon(u: number, v: number, sides: number, apothem: number): boolean {
  for (let side = 0; side < sides; side++) {
    const angle = (2 * Math.PI * side) / sides;
    if (u * Math.cos(angle) + v * Math.sin(angle) > apothem) return false;
  }
  return true;
}

/** The five-pointed star with its tips on the unit circle: inside at least four of five half-planes. */
function insideStar(u: number, v: number): boolean {
  let outside = 0;
  for (let side = 0; side < 5; side++) {
    const angle = (2 * Math.PI * side) / 5;
    if (u * Math.cos(angle) + v * Math.sin(angle) > 0.309) outside++; // cos 72°
  }
  return outside <= 1;
}

/** Smooth spots without direction: a sum of waves in random directions above its mean. */
function blobs(random: Random): Mask {
  const waves = Array.from({ length: 6 }, () => {
    const angle = random.uniform() * 2 * Math.PI;
    const frequency = random.between(0.25, 0.6) * 2 * Math.PI;
    return [
      frequency * Math.cos(angle),
      frequency * Math.sin(angle),
      random.uniform() * 2 * Math.PI,
    ] as const;
  });
  return (u, v) =>
    waves.reduce((sum, [a, b, phase]) => sum + Math.sin(a * u + b * v + phase), 0) > 0;
}
function luma([red, green, blue]: Colour): number {
  return 0.299 * red + 0.587 * green + 0.114 * blue;
}
