#!/usr/bin/env bash
# Installs what is missing, checks the format of the sources, builds and runs all tests in release.
# Tests that compare with Python packages run if these can be installed, and are skipped otherwise. They need
# Scripts/peers-small.txt, and with --peers also Scripts/peers.txt. With --peers a missing package is a
# failure, and no such test is skipped.
# usage: Scripts/test.sh [--peers]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

lists=(peers-small)
case $#:${1-} in
  0:) ;;
  1:--peers) lists+=(peers) ;;
  *) sed -n '2,6s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 64 ;;
esac

Scripts/install.sh
swift format lint --strict --recursive Sources Tests Package.swift

# The packages are installed in the build folder; Debian's own Python does not change.
python=.build/peers/bin/python3

# install_peers LIST: installs the packages of Scripts/LIST.txt unless the same list is installed.
install_peers() {
  local list=Scripts/$1.txt installed=.build/peers/$1.installed
  command -v python3 >/dev/null || return 1
  [ -x $python ] || python3 -m venv .build/peers || return 1
  cmp -s "$list" "$installed" && return
  $python -m pip install --quiet --disable-pip-version-check --timeout 30 --retries 5 --only-binary :all: \
    --requirement "$list" || return 1
  cp "$list" "$installed"
}

mkdir -p .build
for list in "${lists[@]}"; do
  echo "Installing the packages of Scripts/$list.txt" >&2
  if ! install_peers "$list" >".build/$list.log" 2>&1; then
    echo "test.sh: cannot install the packages of Scripts/$list.txt (see .build/$list.log)" >&2
    [ ${#lists[@]} = 1 ] || exit 1
    echo "test.sh: tests that compare with them are skipped" >&2
  fi
done
[ ! -x $python ] || export RILQ_PYTHON=${RILQ_PYTHON:-$PWD/$python}
[ ${#lists[@]} = 1 ] || export RILQ_REQUIRE_PEERS=1

# Building and running must use the same options, or everything would be built twice.
swift build -c release --build-tests
swift test -c release --disable-testable-imports --disable-xctest --skip-build

# A program that uses the library like any other package; it fails if a result is wrong.
swift run -c release --package-path Examples library-tour Fixtures/tiny-llama
