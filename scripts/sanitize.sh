#!/bin/sh
# The C sources under AddressSanitizer and UndefinedBehaviorSanitizer: the kernels' own checks, with
# guards between their operands (kernels/test/guards.h), then the native addon in Node, with fences
# behind arena and scratch (packages/native/src/engine.c): its tests, the contract tests of executors
# and ops, damaged programs and damaged words. All of it in a copy of the built tree, so that the
# addon of this one stays as it is. Takes some fifteen minutes.
#
#   npm run check:sanitize             builds, says what is missing and fails
#   scripts/sanitize.sh --install      as root on Debian: installs what is missing first
set -eu
cd "$(dirname "$0")/.."

# The sanitizers' libraries come with Debian's compiler; dash cannot ask for them before it is there.
library() { gcc -print-file-name="$1" 2>/dev/null; }
present() { case $(library "$1") in /*) return 0 ;; *) return 1 ;; esac; }
packages=''
command -v gcc >/dev/null || packages="$packages gcc libc6-dev"
command -v make >/dev/null || packages="$packages make"
if command -v gcc >/dev/null && ! { present libasan.so && present libubsan.so; }; then
  packages="$packages libgcc-$(gcc -dumpversion | cut -d. -f1)-dev"
fi
if [ -n "$packages" ] && [ "${1-}" = --install ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "sanitize: --install needs root; missing Debian packages:$packages" >&2
    exit 1
  fi
  apt-get update -q
  # shellcheck disable=SC2086 # one word for each package
  apt-get install -q -y --no-install-recommends $packages
elif [ -n "$packages" ]; then
  echo "sanitize: missing Debian packages:$packages (install them, or run with --install as root)" >&2
  exit 1
fi
if [ ! -e packages/native/dist/index.js ]; then
  echo 'sanitize: the packages are not built: npm run build' >&2
  exit 1
fi

gcc --version | head -n 1
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
trap 'exit 1' HUP INT TERM
root=$PWD
# Those of scripts/build/native.ts, but for -O1: what a compiler may assume is still visible there.
sanitized='gcc -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all'
common='-O1 -fPIC -fvisibility=hidden -Wall -Wextra -Werror'
kernel="$common -std=c11 -ffreestanding -fno-math-errno -ffp-contract=fast"

# A report goes to a file: processes of the tests have no terminal. Node frees little at its end.
export ASAN_OPTIONS="detect_leaks=0:log_path=$build/report"
export UBSAN_OPTIONS="print_stacktrace=1:log_path=$build/report"

# step WORDS... runs a command; what the sanitizers said decides as well as its status
step() {
  status=0
  "$@" || status=$?
  for report in "$build"/report.*; do
    [ -e "$report" ] || continue
    cat "$report" >&2
    status=1
  done
  if [ "$status" != 0 ]; then
    echo "sanitize: failed: $*" >&2
    exit 1
  fi
}

echo 'kernels pass their checks'
step make -C kernels/test check CC="$sanitized" FLAGS="$kernel" OUT="$build/kernels"

echo 'the addon in Node'
copy="$build/copy"
mkdir -p "$copy/node_modules" "$build/addon"
cp -R package.json vitest.config.ts tsconfig.base.json fuzz kernels packages scripts "$copy"
ln -s "$root"/node_modules/* "$copy/node_modules"
# The workspace's own packages are those of the copy.
rm "$copy/node_modules/@thimble"
cp -RP node_modules/@thimble "$copy/node_modules"
cd "$build/addon"
# shellcheck disable=SC2086 # flags are words
$sanitized $common -std=gnu11 -pthread -I"$root/node_modules/node-api-headers/include" \
  -iquote "$root/kernels" -c "$root"/packages/native/src/*.c
addon="$copy/packages/native/build/thimble.node"
rm -f "$addon"
$sanitized -shared -pthread -o "$addon" "$build"/kernels/*/*.o ./*.o

cd "$copy"
LD_PRELOAD="$(library libasan.so) $(library libubsan.so)"
export LD_PRELOAD
# A kernel that reads 64 bytes beyond the arena, which is a page of the process: it has to be seen.
if node --input-type=module >/dev/null 2>&1 <<'END'
import { createRequire } from 'node:module';
import { opcodeOf } from '@thimble/core';
const require = createRequire(`${process.cwd()}/`);
const { Engine } = require('./packages/native/build/thimble.node');
const engine = new Engine(64, 0, 1, 'base');
engine.addEntry(Int32Array.of(opcodeOf('add'), 5, 0, 0, 0, 32, 32, 0));
await engine.run(0);
END
then
  echo 'sanitize: failed: a read beyond the arena was not seen' >&2
  exit 1
fi
grep -q use-after-poison "$build"/report.* || step false
rm "$build"/report.*

# Left out: glibc's settings, which the sanitizer's malloc does not have, and WebAssembly.
step node node_modules/vitest/vitest.mjs run -t '^(?!.*(makes glibc give back|wasm))' \
  packages/native/test packages/core/test/executors packages/core/test/ops-kernels.test.ts
step node scripts/dist/fuzz.js --cases 1500 --target programs
step node scripts/dist/fuzz.js --cases 20000 --target words
unset LD_PRELOAD
cd "$root"
echo 'sanitize: all checks pass'
