/**
 * The web server of the browser test: the built files of core as they are, unbundled, under /dist/,
 * an empty page at /, and training.ts beside this file as /training.js with its types stripped.
 */
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

/** packages/core/dist, with a slash at the end. */
export const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));

const TRAINING = fileURLToPath(new URL('./training.ts', import.meta.url));

/** Headers that make a page cross-origin isolated: only then may it share memory with workers. */
const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

export interface Site {
  /** `http://127.0.0.1:<port>`. */
  readonly origin: string;
  close(): Promise<void>;
}

/** Serves on a free port of this machine, with the headers of cross-origin isolation or without. */
export async function serve(isolated: boolean): Promise<Site> {
  const server = createServer(({ url = '/' }, response) => {
    content(new URL(url, 'http://localhost').pathname).then(
      ({ type, body }) => {
        const isolation = isolated ? ISOLATION : {};
        response.writeHead(200, { 'Content-Type': type, ...isolation }).end(body);
      },
      () => response.writeHead(404).end(),
    );
  });
  const port = await listen(server);
  return {
    origin: `http://127.0.0.1:${String(port)}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

/** Rejects for a path that is not served. */
async function content(path: string): Promise<{ type: string; body: string }> {
  if (path === '/') {
    const icon = '<link rel="icon" href="data:,">';
    return { type: 'text/html', body: `<!doctype html>${icon}<title>Thimble</title>` };
  }
  if (path === '/training.js') return { type: 'text/javascript', body: await trainingScript() };
  // URL has resolved every `..`, so what follows /dist/ stays below it.
  const file = /^\/dist\/([\w./-]+\.js)$/.exec(path)?.[1];
  if (file === undefined) throw new Error(`${path} is not served`);
  return { type: 'text/javascript', body: await readFile(DIST + file, 'utf8') };
}

async function trainingScript(): Promise<string> {
  const { ESNext: module } = ts.ModuleKind;
  const { ES2022: target } = ts.ScriptTarget;
  const compilerOptions = { module, target, verbatimModuleSyntax: true };
  return ts.transpileModule(await readFile(TRAINING, 'utf8'), { compilerOptions }).outputText;
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      if (address !== null && typeof address === 'object') resolve(address.port);
      else reject(new Error('a server without a port'));
    });
  });
}
