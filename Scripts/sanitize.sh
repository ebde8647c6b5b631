#!/usr/bin/env bash
# Runs the tests in debug, and in release with the address and the thread sanitizer.
# Builds are kept in .build-debug, .build-address and .build-thread.
# usage: Scripts/sanitize.sh [debug | address | thread] ...      (all of them without an argument)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[ $# -gt 0 ] || set -- debug address thread
for kind; do
  case $kind in
    debug | address | thread) ;;
    *) sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 64 ;;
  esac
done

# Excluded everywhere: suites that train or evaluate for minutes in a slow build and whose kernels other
# suites cover on small models, and suites that spend most of their time in Python.
slow='LayerwiseQuantizationTests|AttachInitializationTests|BitAllocationTests|GoldenTests|TokenizerReferenceTests'
slow+='|PeftPeerTests|LargeInvalidFileTests'

# run KIND OPTION ...: builds and runs the tests in .build-KIND without those of $slow, with the libraries of
# $preload.
preload=
run() {
  local kind=$1
  shift
  echo "sanitize.sh: $kind" >&2
  nice -n 19 swift build "$@" --build-tests --scratch-path ".build-$kind"
  LD_PRELOAD=$preload nice -n 19 swift test "$@" --scratch-path ".build-$kind" --disable-testable-imports \
    --disable-xctest --skip-build --skip "$slow"
}

# Leak checks are off, because a command that ends early leaves its memory to the system. A file can require
# more memory than the machine has and must then be rejected.
export ASAN_OPTIONS=detect_leaks=0:max_allocation_size_mb=65536 TSAN_OPTIONS=halt_on_error=1
for kind; do
  case $kind in
    debug) run debug ;;
    address) run address -c release --sanitize address ;;
    thread)
      mkdir -p .build-thread
      "$(dirname "$(readlink -f "$(command -v swift)")")/clang" -O1 -shared -fPIC Scripts/mutex-tsan.c \
        -o .build-thread/mutex-tsan.so
      # The sanitizer itself cannot start where files may not grow.
      slow+='|FaultTests' preload=$PWD/.build-thread/mutex-tsan.so run thread -c release --sanitize thread
      ;;
  esac
done
