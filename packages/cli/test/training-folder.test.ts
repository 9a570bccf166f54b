/** Who may train into a folder, and what becomes of a run that lies there already. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { runFile } from '../src/run/saves.js';
import { checkFree, nextNumbered, TrainingFolder } from '../src/training/folder.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-training-'));
const outer = process.cwd();
const path = join(folder, 'run');

beforeEach(() => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
});

afterAll(() => {
  process.chdir(outer);
  rmSync(folder, { recursive: true, force: true });
});

/** Files of a run with `text` in each. */
function write(taken: TrainingFolder, text: string, ...names: string[]): void {
  for (const name of ['run.json', 'labels.txt', 'model.safetensors', ...names]) {
    writeFileSync(taken.file(name), text);
  }
  taken.commit();
}

/** What lies in the folder: names with contents. */
function contents(): Record<string, string> {
  const files = readdirSync(path).filter((name) => !/^\.thimble-(lock|writing)$/.test(name));
  return Object.fromEntries(files.map((name) => [name, readFileSync(join(path, name), 'utf8')]));
}

function earlier(): Record<string, string> {
  const taken = TrainingFolder.take(path, false);
  write(taken, 'earlier', 'best.safetensors', 'ranks.json');
  writeFileSync(join(path, 'notes.txt'), 'mine');
  taken.close();
  return contents();
}

describe('an earlier run', () => {
  it('stays whole until the new one settles, which then is there alone', () => {
    const before = earlier();
    const taken = TrainingFolder.take(path, true);
    write(taken, 'new', 'best.safetensors');
    expect(taken.keepsEarlier).toBe(true);
    for (const [name, text] of Object.entries(before)) {
      expect(readFileSync(join(path, name), 'utf8'), name).toBe(text);
    }
    taken.settle();
    expect(taken.keepsEarlier).toBe(false);
    const after = { 'run.json': 'new', 'labels.txt': 'new', 'model.safetensors': 'new' };
    expect(contents()).toEqual({ ...after, 'best.safetensors': 'new', 'notes.txt': 'mine' });
    taken.settle();
    expect(taken.saved('run.json')).toBe(join(path, 'run.json'));
    taken.close();
    expect(existsSync(join(path, '.thimble-lock'))).toBe(false);
  });

  it('loses nothing of the new one where it cannot be moved', () => {
    earlier();
    const taken = TrainingFolder.take(path, true);
    write(taken, 'new');
    rmSync(join(path, 'model.safetensors'));
    mkdirSync(join(path, 'model.safetensors')); // no file can take its place
    expect(() => {
      taken.settle();
    }).toThrow(`${path}: expected a folder in which a run can be replaced, got a folder`);
    expect(taken.keepsEarlier).toBe(false);
    taken.close();
    expect(readFileSync(join(path, '.thimble-saved/model.safetensors'), 'utf8')).toBe('new');
    expect(runFile(path, 'model.safetensors')).toBe(join(path, '.thimble-saved/model.safetensors'));
  });

  it('is all that is left when the new one never gets there', () => {
    const before = earlier();
    const taken = TrainingFolder.take(path, true);
    write(taken, 'new');
    taken.close();
    expect(contents()).toEqual(before);
    expect(readdirSync(path)).not.toContain('.thimble-lock');
  });

  it('survives a new one that was killed, of which nothing is taken up', () => {
    const before = earlier();
    const killed = TrainingFolder.take(path, true);
    write(killed, 'killed', 'best.safetensors');
    writeFileSync(join(path, 'model.safetensors.17.tmp'), 'half');
    const taken = TrainingFolder.take(path, true); // its lock is of a process that is no other
    expect(existsSync(taken.saved('best.safetensors'))).toBe(false);
    taken.close();
    expect(contents()).toEqual(before);
  });

  it('is only replaced where that is asked for', () => {
    earlier();
    expect(() => TrainingFolder.take(path, false)).toThrow(
      `--out ${path}: expected a new or empty folder, got an earlier run. ` +
        'Choose another path, or --force to replace it.',
    );
    expect(readdirSync(path)).not.toContain('.thimble-lock');
  });
});

describe('a folder of one process', () => {
  const lock = (text: string) => {
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, '.thimble-lock'), text);
  };

  it.each([
    ['another process', `${hostname()} ${String(process.ppid)}`, String(process.ppid)],
    ['a process of another machine', 'elsewhere 12', '12 of elsewhere'],
    ['one that has just made it', '', '?'],
  ])('is refused to others while %s trains into it', (_, text, got) => {
    lock(text);
    for (const force of [false, true]) {
      expect(() => TrainingFolder.take(path, force)).toThrow(
        `--out ${path}: expected a folder into which no other process trains, got process ${got}`,
      );
    }
    expect(readFileSync(join(path, '.thimble-lock'), 'utf8')).toBe(text);
  });

  it('is free again when the process was killed', () => {
    const { pid } = spawnSync(process.execPath, ['--version']);
    lock(`${hostname()} ${String(pid)}`);
    const taken = TrainingFolder.take(path, false);
    expect(readFileSync(join(path, '.thimble-lock'), 'utf8')).toBe(
      `${hostname()} ${String(process.pid)}`,
    );
    taken.close();
    expect(readdirSync(path)).toEqual([]);
  });

  it('goes with the process where nothing was written', () => {
    TrainingFolder.take(path, false).close();
    expect(existsSync(path)).toBe(false);
    const taken = TrainingFolder.take(path, false);
    write(taken, 'refused');
    taken.discard();
    taken.close();
    expect(existsSync(path)).toBe(false);
  });

  it('does not lose the lock of the next one by closing twice', () => {
    const first = TrainingFolder.take(path, false);
    first.close();
    const second = TrainingFolder.take(path, false);
    first.close();
    expect(existsSync(join(path, '.thimble-lock'))).toBe(true);
    second.close();
  });
});

describe('runs without a name', () => {
  it('are numbered, and no two of them get the same folder', () => {
    process.chdir(folder);
    const taken = [1, 2, 3].map(() => TrainingFolder.takeNumbered('photos'));
    expect(taken.map((one) => one.path)).toEqual([
      'runs/photos-1',
      'runs/photos-2',
      'runs/photos-3',
    ]);
    taken[1].close();
    expect(TrainingFolder.takeNumbered('photos').path).toBe('runs/photos-2');
  });

  it('are called after the data', () => {
    process.chdir(folder);
    mkdirSync('runs/flowers-1', { recursive: true });
    expect(nextNumbered('/data/flowers/train')).toBe(join('runs', 'flowers-2'));
    expect(nextNumbered('/data/list.csv')).toBe(join('runs', 'list-1'));
    expect(nextNumbered('/')).toBe(join('runs', 'run-1'));
  });
});

describe('a place for a run', () => {
  it.each([
    ['', 'an empty name'],
    ['file', 'a file'],
    ['file/run', 'a file where a folder should be'],
    ['link', 'a link that leads nowhere'],
    ['full', '2 files'],
    ['x'.repeat(300), 'a name that is too long'],
    ['circle/run', 'links that lead in a circle'],
  ])('is refused before anything is written: "%s"', (name, got) => {
    process.chdir(folder);
    writeFileSync('file', '');
    symlinkSync('nowhere', 'link');
    symlinkSync('circle', 'circle');
    mkdirSync('full/b', { recursive: true });
    writeFileSync('full/a', '');
    const before = readdirSync('.', { recursive: true });
    for (const refuse of [checkFree, TrainingFolder.take.bind(TrainingFolder)]) {
      expect(() => refuse(name, false)).toThrow(`--out ${name}: expected a `);
      expect(() => refuse(name, false)).toThrow(`got ${got}`);
    }
    expect(readdirSync('.', { recursive: true })).toEqual(before);
  });

  it.runIf(existsSync('/proc/self'))('is refused where the system takes no folders', () => {
    expect(() => TrainingFolder.take('/proc/thimble', false)).toThrow(
      '--out /proc/thimble: expected a folder that can be written to, got ',
    );
  });

  it('may be the present folder', () => {
    process.chdir(folder);
    const taken = TrainingFolder.take('.', false);
    write(taken, 'new');
    taken.close();
    expect(readdirSync('.').sort()).toEqual(['labels.txt', 'model.safetensors', 'run.json']);
  });
});

describe('a save', () => {
  it('counts as a whole, and not before it is committed', () => {
    const taken = TrainingFolder.take(path, false);
    write(taken, 'first');
    for (const name of ['run.json', 'model.safetensors']) writeFileSync(taken.file(name), 'half');
    expect(contents()).toMatchObject({ 'run.json': 'first', 'model.safetensors': 'first' });
    taken.commit();
    expect(contents()).toEqual({
      'run.json': 'half',
      'labels.txt': 'first',
      'model.safetensors': 'half',
    });
    taken.close();
  });

  it('that a killed process was making is dropped, and one that was whole is finished', () => {
    const killed = TrainingFolder.take(path, false);
    write(killed, 'first');
    mkdirSync(join(path, '.thimble-saved'));
    writeFileSync(join(path, '.thimble-saved/run.json'), 'whole');
    writeFileSync(killed.file('model.safetensors'), 'half');
    expect(readFileSync(runFile(path, 'run.json'), 'utf8')).toBe('whole');
    const resumed = TrainingFolder.resume(path);
    expect(contents()).toEqual({
      'run.json': 'whole',
      'labels.txt': 'first',
      'model.safetensors': 'first',
    });
    resumed.close();
    expect(readdirSync(path)).not.toContain('.thimble-lock');
  });

  it('of a run that replaces another is finished from either half', () => {
    for (const left of ['.thimble-replacing', '.thimble-saved']) {
      rmSync(path, { recursive: true, force: true });
      earlier();
      mkdirSync(join(path, left));
      for (const name of ['run.json', 'model.safetensors']) {
        writeFileSync(join(path, left, name), 'new');
      }
      expect(readFileSync(runFile(path, 'run.json'), 'utf8')).toBe('new');
      expect(existsSync(runFile(path, 'ranks.json'))).toBe(left === '.thimble-saved');
      TrainingFolder.resume(path).close();
      expect(contents()).toMatchObject({ 'run.json': 'new', 'notes.txt': 'mine' });
      expect(existsSync(join(path, 'ranks.json'))).toBe(left === '.thimble-saved');
    }
  });
});
