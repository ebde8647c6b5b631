#!/usr/bin/env bash
# Installs the missing dependencies of rilq except Swift. For Debian and its relatives.
set -euo pipefail

fail() {
  echo "install.sh: $1" >&2
  exit 1
}

# Debian has no package of Swift.
command -v swift >/dev/null ||
  fail "swift is not on PATH; install Swift 6.3 or later from https://www.swift.org/install/linux and try again"
version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p')
[ "$(printf '%s\n' 6.3 "$version" | sort -V | head -n 1)" = 6.3 ] ||
  fail "$(command -v swift) is Swift ${version:-of an unknown version}, and 6.3 or later is needed: https://www.swift.org/install/linux"

# Checks the libraries with pkg-config, as the module maps do.
missing=()
command -v pkg-config >/dev/null || missing+=(pkg-config)
while read -r module package; do
  pkg-config --exists "$module" 2>/dev/null || missing+=("$package")
done <<'LIBRARIES'
libcrypto libssl-dev
zlib zlib1g-dev
libzstd libzstd-dev
openblas libopenblas-serial-dev
LIBRARIES
[ ${#missing[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null ||
  fail "needs ${missing[*]} (names of Debian packages), and there is no apt-get to install them with"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || fail "needs ${missing[*]}; run 'apt-get install ${missing[*]}' as root"
  as_root=(sudo)
fi
echo "install.sh: installing ${missing[*]}" >&2
"${as_root[@]}" apt-get update -qq >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
