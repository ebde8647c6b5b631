#!/bin/bash
# Compares eigenvectors, Cholesky factors, triangular inverses and products with OpenBLAS: seconds, residuals,
# and whether the bytes depend on the number of threads. Needs Debian's libopenblas-dev and clang. Prints the
# lines of both programs.
#
#   Benchmarks/linear-algebra.sh [ORDER...]     (default: 576 1536 2048 4096; 11008 takes about half an hour)
set -euo pipefail
cd "$(dirname "$0")/.."
orders=("$@")
[ ${#orders[@]} -gt 0 ] || orders=(576 1536 2048 4096)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Settings of the caller could select a kernel for another processor.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE OPENBLAS_NUM_THREADS
clang -O2 Benchmarks/LinearAlgebra/openblas.c -lopenblas -lm -o "$work/openblas"
# Built in its own folder, because the package then has an additional target.
RILQ_BENCHMARKS=1 swift build -c release --product rilq-linear-algebra --scratch-path .build/benchmarks >&2
echo "# name, order, threads, seconds, seconds of all processors, residual, hash of the result"
for threads in 1 2; do
  "$work/openblas" "$threads" "${orders[@]}"
  .build/benchmarks/release/rilq-linear-algebra "$threads" "${orders[@]}"
done
