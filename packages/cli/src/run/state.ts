/**
 * state.safetensors of a run folder: a training session as it stood, for `thimble resume`. Each tensor that lives
 * across steps is there under its own name and type; how far the session has come is JSON in the metadata, whose
 * numbers come back to the bit.
 */
import {
  bytesOf,
  FormatError,
  printProgram,
  progressReader,
  schema,
  type HostData,
  type Program,
  type Progress,
  type Session,
  type SessionTensor,
} from '@thimble/core';
import { createHash } from 'node:crypto';
import { writeAnew } from '../host/files.js';
import {
  checkFinite,
  openCheckpoint,
  stored,
  STORED,
  writeTensors,
  type StoredTensor,
} from '../weights/checkpoint.js';

const PROGRESS = 'thimble.progress';
const PROGRAM = 'thimble.program';

/** A state that was opened; close it. */
export interface OpenState {
  readonly progress: Progress;
  /** SHA-256 of the text of the program that had it. */
  readonly program: string;
  /** Throws FormatError for a tensor that is not there as `tensor` says. */
  read(tensor: SessionTensor): HostData;
  close(): void;
}

/** Writes the state into a save; returns the SHA-256 of the file. Throws FileError, and TrainingError for weights that are not finite. */
export function writeState(path: string, session: Session): Promise<string> {
  const { executor, progress, tensors } = session;
  const metadata = new Map([
    [PROGRESS, JSON.stringify(progress)],
    [PROGRAM, programHash(executor.program)],
  ]);
  const roles = new Map(tensors.map(({ name, role }) => [name, role]));
  const read = async ({ name }: StoredTensor) => {
    const data = await executor.read(name);
    if (roles.get(name) === 'parameter') checkFinite(name, data);
    return data;
  };
  return writeTensors(path, tensors.map(stored), metadata, read, writeAnew);
}

/** Bytes of the file, but for its header. */
export function stateBytes({ tensors }: Session): number {
  return tensors.reduce((sum, { type }) => sum + bytesOf(type), 0);
}

/** Throws FileError where there is none, FormatError for one that is damaged. */
export function openState(path: string): OpenState {
  const file = openCheckpoint(path);
  try {
    const said = (key: string) => {
      const text = file.metadata.get(key);
      if (text !== undefined) return text;
      throw damaged(path, `the metadata ${key}`, 'none');
    };
    const document = { file: `${path}, metadata ${PROGRESS}`, error: FormatError, todo: TODO };
    return {
      progress: schema.read(said(PROGRESS), progressReader, document),
      program: said(PROGRAM),
      read: (tensor) => readAs(path, file, tensor),
      close: () => {
        file.close();
      },
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Which program it is: of the same text are the same steps on the same bytes. */
export function programHash(program: Program): string {
  return createHash('sha256').update(printProgram(program)).digest('hex');
}

function readAs(
  path: string,
  { shapes, dtypes, read, readIntegers }: ReturnType<typeof openCheckpoint>,
  { name, type }: SessionTensor,
): HostData {
  const [shape, dtype] = [shapes.get(name), dtypes.get(name)];
  const wanted = `${name}: ${STORED[type.dtype]}[${type.shape.join(', ')}]`;
  const found = shape ? `${name}: ${String(dtype)}[${shape.join(', ')}]` : `no ${name}`;
  if (found !== wanted) throw damaged(path, wanted, found);
  return type.dtype === 'f32' ? read(name) : readIntegers(name, type.dtype);
}

function damaged(path: string, expected: string, got: string): FormatError {
  return new FormatError({ where: path, expected, got, todo: TODO });
}

const TODO = 'Use the file as thimble train wrote it, by the same version';
