#!/usr/bin/env bash
# Installs what is missing, checks the format of the sources, builds and runs all tests in release.
# Tests that compare with Python packages run when those can be installed, and are skipped, said so, when not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

Scripts/install.sh
swift format lint --strict --recursive Sources Tests Package.swift

# The packages to compare with live in the build folder; Debian's own Python stays as it is.
peers=.build/peers
packages=(numpy safetensors tokenizers zstandard)
install_peers() {
  command -v python3 >/dev/null || return 1
  [ -x $peers/bin/python3 ] || python3 -m venv $peers || return 1
  $peers/bin/python3 -c 'import numpy, safetensors, tokenizers, zstandard' 2>/dev/null && return
  $peers/bin/python3 -m pip install --quiet --disable-pip-version-check --timeout 20 --retries 1 \
    --only-binary :all: "${packages[@]}"
}
mkdir -p .build
if install_peers >.build/peers.log 2>&1; then
  PATH=$PWD/$peers/bin:$PATH
  export PATH
else
  echo "test.sh: cannot install ${packages[*]} (see .build/peers.log): tests that compare with them are skipped" >&2
fi

# Building and running must agree on everything that changes the code, or everything would be built twice.
swift build -c release --build-tests
swift test -c release --disable-testable-imports --disable-xctest --skip-build

# A program that uses the library as any other package does; it fails when a result is not as it must be.
swift run -c release --package-path Examples library-tour Fixtures/tiny-llama
