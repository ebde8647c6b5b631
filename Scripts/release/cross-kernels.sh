#!/usr/bin/env bash
# Compiles the C kernels for aarch64, runs them under qemu, and compares what they compute with the baseline on
# x86-64. The kernels are written for clang, which Swift brings along; the headers, the C library and the linker
# for aarch64 are Debian's cross compiler. Installs what is missing with apt-get. For Debian on x86-64.
# usage: Scripts/release/cross-kernels.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=.build/cross-kernels
source Scripts/release/install-tools.inc

fail() {
  echo "cross-kernels.sh: $1" >&2
  exit 1
}

install_tools aarch64-linux-gnu-gcc=gcc-aarch64-linux-gnu,libc6-dev-arm64-cross qemu-aarch64=qemu-user \
  python3=python3
mkdir -p $work

# Every function of the header is called by the program.
grep -o 'ck_[a-z0-9_]*(' Sources/CKernels/include/CKernels.h | sort -u | tr -d '(' | while read -r name; do
  grep -q "\b$name(" Tests/CrossKernels/kernels.c || fail "Tests/CrossKernels/kernels.c does not call $name"
done

# compile FOLDER FLAGS...: compiles the kernels and the program.
compile() {
  mkdir -p "$work/$1"
  for file in Sources/CKernels/*.c Tests/CrossKernels/kernels.c; do
    clang "${@:2}" -std=gnu11 -O2 -Wall -Wextra -Werror -ISources/CKernels/include -c "$file" \
      -o "$work/$1/$(basename "$file" .c).o" || fail "$file does not compile for $1"
  done
}
compile x86_64 --target=x86_64-linux-gnu
compile aarch64 --target=aarch64-linux-gnu
clang $work/x86_64/*.o -lm -o $work/x86_64/kernels
aarch64-linux-gnu-gcc -static $work/aarch64/*.o -lm -o $work/aarch64/kernels

$work/x86_64/kernels >$work/x86_64.txt || fail "the program fails on x86-64"
qemu-aarch64 $work/aarch64/kernels >$work/aarch64.txt || fail "the program fails on aarch64"
Tests/CrossKernels/compare.py $work/x86_64.txt $work/aarch64.txt || fail "aarch64 computes something else"
