/** Listings without a disk, for what is decided from a listing alone. */
import type { Entry, FolderEntry } from '../src/data/listing.js';

/** A folder `photos` with these files; a name with a final '/' is an empty folder. */
export function listingOf(...names: readonly string[]): FolderEntry {
  return folderOf(
    'photos',
    'photos',
    names.map((name) => name.split('/')),
  );
}

function folderOf(name: string, path: string, inside: readonly string[][]): FolderEntry {
  const heads = [...new Set(inside.map(([head]) => head))].filter((head) => head !== '').sort();
  const entries = heads.map((head): Entry => {
    const below = inside.filter(([first, ...rest]) => first === head && rest.length > 0);
    const at = `${path}/${head}`;
    if (below.length === 0) return { kind: 'file', name: head, path: at, bytes: 1, target: null };
    return folderOf(
      head,
      at,
      below.map(([, ...rest]) => rest),
    );
  });
  return { kind: 'folder', name, path, real: `/${path}`, entries };
}
