/**
 * What names of files and folders say by themselves: which are pictures, which are the system's own, which mean a
 * part of a split, which cannot name a class. Names are compared in Unicode's composed form (NFC): a disk may
 * have taken `é` apart.
 */

/** `read`: JPEG, PNG or WebP; `unread`: a picture in another format; `other`: no picture. */
export type FileType = 'read' | 'unread' | 'other';

/** Part of a split that a folder's name stands for. */
export type Part = 'train' | 'validation' | 'test';

const READ = new Set('jpg jpeg jpe jfif pjpeg pjp png webp'.split(' '));

/** Formats of pictures that are not decoded: of phones, the web, scanners, editors and cameras. */
const UNREAD = new Set(
  (
    'heic heif hif avif jxl tif tiff bmp dib gif apng jp2 j2k jpf jpx jxr svg ico psd xcf tga ppm pgm pbm pnm ' +
    'pcx exr hdr raw dng cr2 cr3 crw nef nrw arw srf sr2 orf rw2 raf pef srw x3f 3fr erf kdc mrw rwl iiq'
  ).split(' '),
);

/** What a file is, by its extension in any case. */
export function fileType(name: string): FileType {
  const extension = extensionOf(name);
  return READ.has(extension) ? 'read' : UNREAD.has(extension) ? 'unread' : 'other';
}

/** `heic` of `IMG_1.HEIC`; '' without one. */
export function extensionOf(name: string): string {
  return /[^.]\.([^.]+)$/.exec(name)?.[1].toLowerCase() ?? '';
}

/** What systems and programs leave in folders beside what people put there; in lower case. */
const SYSTEM = new Set([
  'thumbs.db', // Windows
  'ehthumbs.db',
  'desktop.ini',
  '$recycle.bin',
  'system volume information',
  '__macosx', // macOS
  'icon\r',
  'network trash folder',
  'temporary items',
  'lost+found', // Linux
  '@eadir', // Synology
  '#recycle',
  '#snapshot',
  '@tmp',
  '@recycle', // QNAP
  '@recently-snapshot',
  '__pycache__', // Python
]);

/** Whether a name is hidden (starts with a dot) or one of the system's own. */
export function isSystemName(name: string): boolean {
  const lower = name.toLowerCase();
  return name.startsWith('.') || SYSTEM.has(lower) || /^found\.\d{3}$/.test(lower);
}

const PARTS: Readonly<Record<string, Part>> = {
  train: 'train',
  training: 'train',
  trainval: 'train',
  val: 'validation',
  valid: 'validation',
  validation: 'validation',
  dev: 'validation',
  test: 'test',
  testing: 'test',
  eval: 'test',
  evaluation: 'test',
  holdout: 'test',
};

/** What a word for a part may be written together with: training_set, test1, train-images. */
const FILLERS = new Set(['set', 'data', 'dataset', 'split', 'images', 'image', 'imgs', 'photos']);

/**
 * The part of a split that a folder's name stands for: by the habits of ImageFolder, Kaggle, Roboflow and the
 * Hugging Face hub, in any case; null for none. `isWhole` says that the name means nothing else (Training,
 * test_set, val2), unlike names with the word in them (seg_train, steam train).
 */
export function partOf(name: string): { readonly part: Part; readonly isWhole: boolean } | null {
  const words = name
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^\p{L}]+/u)
    .filter((word) => word !== '')
    .map((word) => word.replace(/(?<=^(?:train|training|val|validation|test))(?:set|data)$/, ''));
  const own = words.filter((word) => !FILLERS.has(word));
  const found = own.find((word) => Object.hasOwn(PARTS, word));
  return found === undefined ? null : { part: PARTS[found], isWhole: own.length === 1 };
}

/** The name in composed form: how classes are called, whatever the disk made of it. */
export function composed(name: string): string {
  return name.normalize('NFC');
}

/** The same for names that differ in case or in composition only. */
export function folded(name: string): string {
  return composed(composed(name).toLowerCase());
}

/**
 * Where each name is among the names of classes, −1 where nowhere: the same name, else the only one that differs
 * in case.
 */
export function placesIn(names: readonly string[], classes: readonly string[]): readonly number[] {
  const exact = new Map(classes.map((name, place) => [composed(name), place]));
  const loose = new Map<string, number>();
  for (const [place, name] of classes.map(folded).entries()) {
    loose.set(name, loose.has(name) ? -1 : place);
  }
  return names.map((name) => exact.get(composed(name)) ?? loose.get(folded(name)) ?? -1);
}
