#!/bin/sh
# The C sources for 64-bit Arm on a machine that is none: the kernels compile (with and without the
# dot-product extension) and pass their checks under QEMU, and the native addon compiles and links.
# Does not run the addon: that takes a Node for arm64.
#
#   scripts/arm64.sh             says what is missing and fails
#   scripts/arm64.sh --install   as root on Debian: installs what is missing first
set -eu
cd "$(dirname "$0")/.."

packages=''
command -v aarch64-linux-gnu-gcc >/dev/null || packages="$packages gcc-aarch64-linux-gnu"
[ -e /usr/aarch64-linux-gnu/include/stdio.h ] || packages="$packages libc6-dev-arm64-cross"
command -v qemu-aarch64-static >/dev/null || packages="$packages qemu-user-static"
command -v make >/dev/null || packages="$packages make"
if [ -n "$packages" ] && [ "${1-}" = --install ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "arm64: --install needs root; missing Debian packages:$packages" >&2
    exit 1
  fi
  apt-get update -q
  # shellcheck disable=SC2086 # one word for each package
  apt-get install -q -y --no-install-recommends $packages
elif [ -n "$packages" ]; then
  echo "arm64: missing Debian packages:$packages (install them, or run with --install as root)" >&2
  exit 1
fi

aarch64-linux-gnu-gcc --version | head -n 1
qemu-aarch64-static --version | head -n 1

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
root=$PWD
# The flags of scripts/build/native.ts.
common='-O3 -fPIC -fvisibility=hidden -Wall -Wextra -Werror'
kernel="$common -std=c11 -ffreestanding -fno-math-errno -ffp-contract=fast -DVARIANT=base"

# compile FOLDER FLAGS... SOURCES...: objects into a folder of their own
compile() {
  mkdir "$build/$1"
  cd "$build/$1"
  shift
  aarch64-linux-gnu-gcc "$@"
  cd "$root"
}

echo 'kernels compile for armv8-a and armv8.2-a+dotprod'
# shellcheck disable=SC2086 # flags are words
compile kernels $kernel -c "$root"/kernels/*.c
# shellcheck disable=SC2086
compile dotprod $kernel -march=armv8.2-a+dotprod -c "$root"/kernels/*.c

echo 'the addon compiles and links'
# shellcheck disable=SC2086
compile addon $common -std=gnu11 -pthread -I"$root/node_modules/node-api-headers/include" \
  -iquote "$root/kernels" -c "$root"/packages/native/src/*.c
aarch64-linux-gnu-gcc -shared -pthread -o "$build/thimble.node" \
  "$build"/kernels/*.o "$build"/addon/*.o
# Node has the napi_* symbols and the C library the rest; any other would be missing at load.
missing=$(aarch64-linux-gnu-nm -D --undefined-only "$build/thimble.node" |
  grep -v -e ' napi_' -e '@GLIBC' -e ' w ' || true)
if [ -n "$missing" ]; then
  printf 'arm64: the addon needs symbols that nobody has:\n%s\n' "$missing" >&2
  exit 1
fi

echo 'kernels pass their checks under QEMU (some minutes)'
make -C kernels/test check-aarch64
echo 'arm64: all checks pass'
