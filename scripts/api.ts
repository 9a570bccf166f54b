/**
 * The API reference, checked by `npm run api`: every public symbol is documented, and docs/api is what the sources
 * say. `npm run docs:api` writes it. Needs npm run build.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const COMMITTED = join(ROOT, 'docs/api');
const TYPEDOC = join(ROOT, 'node_modules/typedoc/bin/typedoc');

const made = mkdtempSync(join(tmpdir(), 'thimble-api-'));
try {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [TYPEDOC, '--out', made, '--logLevel', 'Warn'],
    { cwd: ROOT, encoding: 'utf8' },
  );
  const stale = status === 0 ? differences(made, COMMITTED) : [];
  if (status !== 0) console.error(`${stdout}${stderr}`);
  for (const file of stale) console.error(`docs/api/${file}: run npm run docs:api`);
  const isGood = status === 0 && stale.length === 0;
  if (isGood) console.log('api: every public symbol is documented, docs/api is up to date');
  process.exitCode = isGood ? 0 : 1;
} finally {
  rmSync(made, { recursive: true, force: true });
}

/** Files that only one of the folders has, or that differ. */
function differences(one: string, other: string): readonly string[] {
  const names = new Set([...filesIn(one), ...filesIn(other)]);
  return [...names].sort().filter((name) => {
    const [ours, theirs] = [join(one, name), join(other, name)];
    if (!existsSync(ours) || !existsSync(theirs)) return true;
    return readFileSync(ours, 'utf8') !== readFileSync(theirs, 'utf8');
  });
}

function filesIn(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}
