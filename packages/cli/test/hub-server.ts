/**
 * A server on this machine that answers as the hub does: revisions, listings, small files in place,
 * large files by a redirect to another host, ranges. Faults are asked for one by one.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Asked {
  readonly host: 'hub' | 'storage';
  readonly path: string;
  readonly range: string | null;
  readonly authorization: string | null;
}

/** What goes wrong with the next requests whose path matches. */
export interface Fault {
  readonly path: RegExp;
  times: number;
  /** Answers with a status and, if any, the hub's code for the reason. */
  readonly status?: number;
  readonly code?: string;
  /** Breaks the connection after so many bytes of the body. */
  readonly cutAfter?: number;
  /** Changes a byte. */
  readonly spoil?: boolean;
  /** Announces and sends so many bytes less. */
  readonly less?: number;
  /** Says nothing. */
  readonly silent?: boolean;
  /** Sends the whole file whatever range was asked for. */
  readonly whole?: boolean;
  /** Answers in a way of its own. */
  readonly answer?: (response: ServerResponse, request: IncomingMessage) => void;
}

/** Above this size a file is kept outside of git, as the hub does by its type. */
const LARGE = 1000;

export class HubServer {
  readonly asked: Asked[] = [];
  private readonly models = new Map<string, Map<string, ReadonlyMap<string, Buffer>>>();
  private readonly faults: Fault[] = [];
  private readonly hub: Server;
  private readonly storage: Server;
  /** Answers that offer the hub's other protocol beside HTTP. */
  offersXet = false;

  private constructor() {
    this.hub = createServer((request, response) => {
      this.answer('hub', request, response);
    });
    this.storage = createServer((request, response) => {
      this.answer('storage', request, response);
    });
  }

  static async start(): Promise<HubServer> {
    const server = new HubServer();
    for (const one of [server.hub, server.storage]) {
      await new Promise<void>((resolve) => one.listen(0, '127.0.0.1', resolve));
    }
    return server;
  }

  get endpoint(): string {
    return addressOf(this.hub);
  }

  /** Puts files at a commit of a model; `main` points at it. */
  add(name: string, commit: string, files: Readonly<Record<string, Buffer | string>>): void {
    const revisions = this.models.get(name) ?? new Map<string, ReadonlyMap<string, Buffer>>();
    const contents = new Map(
      Object.entries(files).map(([path, data]) => [path, Buffer.from(data)]),
    );
    revisions.set(commit, contents).set('main', contents);
    this.models.set(name, revisions);
    this.commits.set(contents, commit);
  }

  private readonly commits = new Map<ReadonlyMap<string, Buffer>, string>();

  fail(fault: Omit<Fault, 'times'>, times = 1): void {
    this.faults.push({ ...fault, times });
  }

  /** Forgets faults and what was asked. */
  reset(): void {
    this.faults.length = 0;
    this.asked.length = 0;
    this.offersXet = false;
  }

  /** Paths asked for on the storage host, with their ranges. */
  transfers(): readonly string[] {
    return this.asked
      .filter(({ host, range }) => host === 'storage' && range !== 'bytes=0-0')
      .map(({ range }) => range ?? 'all');
  }

  async stop(): Promise<void> {
    for (const one of [this.hub, this.storage]) {
      one.closeAllConnections();
      await new Promise((resolve) => one.close(resolve));
    }
  }

  private answer(host: Asked['host'], request: IncomingMessage, response: ServerResponse): void {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    const { range = null, authorization = null } = request.headers;
    this.asked.push({ host, path: pathname, range, authorization });
    const fault = this.faults.find(({ path, times }) => times > 0 && path.test(pathname));
    if (fault && range !== 'bytes=0-0') fault.times--;
    const active = range === 'bytes=0-0' && fault?.status === undefined ? undefined : fault;
    if (active?.silent) return;
    if (active?.answer) {
      active.answer(response, request);
      return;
    }
    if (active?.status !== undefined) {
      response
        .writeHead(active.status, { 'x-error-code': active.code ?? '' })
        .end('{"error":"no"}');
      return;
    }
    const parts = pathname.slice(1).split('/');
    if (host === 'storage') this.sendStored(parts[1], request, response, active);
    else if (parts[0] === 'api') this.sendListing(parts.slice(2), response);
    else this.sendFile(parts, request, response, active);
  }

  private files(name: string, revision: string): ReadonlyMap<string, Buffer> | undefined {
    return this.models.get(name)?.get(decodeURIComponent(revision));
  }

  private sendListing(parts: readonly string[], response: ServerResponse): void {
    const [owner, own, kind, revision] = parts;
    const name = `${owner}/${own}`;
    const files = this.files(name, revision);
    if (!files) {
      const code = this.models.has(name) ? 'RevisionNotFound' : 'RepoNotFound';
      response.writeHead(code === 'RepoNotFound' ? 401 : 404, { 'x-error-code': code });
      response.end(JSON.stringify({ error: 'not found' }));
      return;
    }
    const sha = this.commits.get(files);
    const info = { _id: '1', id: name, sha, private: false, gated: false, downloads: 1, likes: 0 };
    const listing = [...files].map(([path, data]) => ({
      type: 'file',
      path,
      size: data.byteLength,
      oid: gitChecksum(data),
      ...(data.byteLength > LARGE && {
        lfs: { oid: sha256(data), size: data.byteLength, pointerSize: 134 },
      }),
    }));
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify(kind === 'tree' ? listing : { ...info, lastModified: '2024-01-01' }),
    );
  }

  private sendFile(
    parts: readonly string[],
    request: IncomingMessage,
    response: ServerResponse,
    fault: Fault | undefined,
  ): void {
    const [owner, own, , revision, path] = parts;
    const data = this.files(`${owner}/${own}`, revision)?.get(path);
    if (!data) {
      response.writeHead(404, { 'x-error-code': 'EntryNotFound' }).end();
      return;
    }
    if (data.byteLength <= LARGE) {
      send(data, `"${gitChecksum(data)}"`, request, response, fault);
      return;
    }
    const linked = { 'x-linked-etag': `"${sha256(data)}"`, 'x-linked-size': data.byteLength };
    if (this.offersXet && request.headers.accept?.includes('xet-fileinfo')) {
      const link = `<${this.endpoint}/xet>; rel="xet-auth", <${this.endpoint}/xet>; rel="xet-reconstruction-info"`;
      const type = 'application/vnd.xet-fileinfo+json';
      response
        .writeHead(200, { ...linked, 'content-type': type, 'x-xet-hash': 'a', link })
        .end('{}');
      return;
    }
    const location = `${addressOf(this.storage)}/stored/${sha256(data)}?signature=secret`;
    response.writeHead(302, { ...linked, location, 'x-repo-commit': revision }).end();
  }

  private sendStored(
    checksum: string,
    request: IncomingMessage,
    response: ServerResponse,
    fault: Fault | undefined,
  ): void {
    const all = [...this.models.values()].flatMap((revisions) => [...revisions.values()]);
    const data = all
      .flatMap((files) => [...files.values()])
      .find((one) => sha256(one) === checksum);
    if (data) send(data, '"stored"', request, response, fault);
    else response.writeHead(404).end();
  }
}

function send(
  data: Buffer,
  etag: string,
  request: IncomingMessage,
  response: ServerResponse,
  fault: Fault | undefined,
): void {
  const range = fault?.whole ? null : /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const from = range ? Number(range[1]) : 0;
  const to = range?.[2] ? Number(range[2]) + 1 : data.byteLength;
  let body = Buffer.from(data.subarray(from, to - (fault?.less ?? 0)));
  if (fault?.spoil) body[body.byteLength >> 1] ^= 1;
  response.writeHead(range ? 206 : 200, {
    etag,
    'content-length': body.byteLength,
    ...(range && {
      'content-range': `bytes ${String(from)}-${String(to - 1)}/${String(data.byteLength)}`,
    }),
  });
  if (fault?.cutAfter === undefined) {
    response.end(body);
    return;
  }
  body = body.subarray(0, fault.cutAfter);
  response.write(body, () => setTimeout(() => response.destroy(), 20));
}

export function sha256(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}

export function gitChecksum(data: Buffer): string {
  return createHash('sha1')
    .update(`blob ${String(data.byteLength)}\0`)
    .update(data)
    .digest('hex');
}

function addressOf(server: Server): string {
  return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
}
