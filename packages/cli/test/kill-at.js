/**
 * Loaded before a command (node --import): ends its process by SIGKILL just before a change that it makes to the disk.
 * THIMBLE_TEST_KILL is `<log>` to write down every change, or `<log>:<n>` to end before number n (from 1).
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const [log, at] = (process.env.THIMBLE_TEST_KILL ?? '').split(':');
const append = fs.appendFileSync;
let count = 0;

for (const name of ['fsyncSync', 'linkSync', 'mkdirSync', 'renameSync', 'rmSync', 'rmdirSync']) {
  const real = fs[name];
  fs[name] = (...args) => {
    if (log) {
      count++;
      append(log, `${name} ${args.filter((arg) => typeof arg !== 'object').join(' ')}\n`);
      if (count === Number(at)) process.kill(process.pid, 'SIGKILL');
    }
    return real(...args);
  };
}
syncBuiltinESMExports();
