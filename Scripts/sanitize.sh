#!/usr/bin/env bash
# Builds rilq with the address sanitizer into .build-asan, and walks the malformed files with it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

nice -n 19 swift build -c release --product rilq --sanitize address --scratch-path .build-asan >&2
RILQ_BINARY=$PWD/.build-asan/release/rilq
# Leaks are not looked for: a command that ends early leaves everything to the system.
ASAN_OPTIONS=detect_leaks=0:max_allocation_size_mb=65536
export RILQ_BINARY ASAN_OPTIONS
swift test -c release --disable-testable-imports --disable-xctest --filter 'InvalidFileTests|FailureTests|TamperTests'
