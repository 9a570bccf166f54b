/** Places the names of points in a picture so that they cover neither points nor each other. */

export interface Dot {
  readonly name: string;
  /** Pixels. */
  readonly x: number;
  readonly y: number;
}

export interface Label extends Dot {
  readonly align: 'left' | 'center' | 'right';
}

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** Height of a line and mean width of a character at 10 px. */
const LINE = 11;
const CHARACTER = 5.4;
const RADIUS = 6;

/** For each dot the first free place around it; the one that covers least where none is free. */
export function placeLabels(dots: readonly Dot[], width: number): readonly Label[] {
  const taken: Box[] = dots.map(({ x, y }) => boxAround(x, y, RADIUS, RADIUS));
  return dots.map((dot) => {
    const choices = candidates(dot).map((label) => {
      const box = labelBox(label);
      const outside = box.right > width || box.left < 0 ? LINE * LINE : 0;
      const covered = taken.reduce((sum, other) => sum + overlap(box, other), outside);
      return { label, box, covered };
    });
    const best = choices.reduce((a, b) => (b.covered < a.covered ? b : a));
    taken.push(best.box);
    return best.label;
  });
}

function candidates({ name, x, y }: Dot): readonly Label[] {
  const near = RADIUS + 2;
  const rings = [0, 1, 2].flatMap((ring) => {
    const up = ring * LINE;
    return [
      { x: x + near, y: y - up, align: 'left' as const },
      { x: x - near, y: y - up, align: 'right' as const },
      { x: x + near, y: y + up, align: 'left' as const },
      { x: x - near, y: y + up, align: 'right' as const },
      { x, y: y - near - 4 - up, align: 'center' as const },
      { x, y: y + near + 4 + up, align: 'center' as const },
    ];
  });
  return rings.map((place) => ({ name, ...place }));
}

function labelBox({ name, x, y, align }: Label): Box {
  const half = (name.length * CHARACTER) / 2;
  const middle = align === 'left' ? x + half : align === 'right' ? x - half : x;
  return boxAround(middle, y, half, LINE / 2);
}

function boxAround(x: number, y: number, across: number, down: number): Box {
  return { left: x - across, right: x + across, top: y - down, bottom: y + down };
}

function overlap(a: Box, b: Box): number {
  const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  return across > 0 && down > 0 ? across * down : 0;
}
