#!/usr/bin/env bash
# Tries the packages of rilq in clean roots of the Debian that this machine runs. In the first root there are only
# the libraries of the Debian package's dependencies, and the tarball is unpacked to /usr/local. In the second one
# apt-get installs the Debian package, and removes it. In both, demo.sh runs. Needs root.
# usage: Scripts/release/trial.sh TARBALL DEB
set -euo pipefail
export LC_ALL=C
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
[ $# = 2 ] || { sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 64; }
tarball=$(readlink -f "$1")
deb=$(readlink -f "$2")
cd "$here/../.."
source Scripts/release/install-tools.inc

fail() {
  echo "trial.sh: $1" >&2
  exit 1
}

[ "$(id -u)" -eq 0 ] || fail "clean roots need root"
install_tools debootstrap=debootstrap
suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
  sed -n "s/^$suite //p" | head -n 1)
[ -n "$mirror" ] || fail "apt has no mirror of $suite"

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
echo "Making clean roots of Debian $suite" >&2
mkdir -p .build/debootstrap
debootstrap --variant=minbase --cache-dir="$PWD/.build/debootstrap" "$suite" "$work/base" "$mirror" \
  >"$work/debootstrap.log" 2>&1 ||
  { tail -n 5 "$work/debootstrap.log" >&2; fail "debootstrap failed"; }

# inside ROOT COMMAND...: runs a command in a root. Settings of this processor's OpenBLAS hold there, too.
# Swift reads a program's arguments from /proc, which is mounted for this command alone.
inside() {
  unshare --mount sh -c 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"' "$work/$1" /usr/bin/env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
    DEBIAN_FRONTEND=noninteractive ${OPENBLAS_CORETYPE+"OPENBLAS_CORETYPE=$OPENBLAS_CORETYPE"} \
    ${OPENBLAS_L2_SIZE+"OPENBLAS_L2_SIZE=$OPENBLAS_L2_SIZE"} "${@:2}"
}

apt_inside() {
  inside "$1" apt-get -qq -y --no-install-recommends "${@:2}" >"$work/apt.log" 2>&1 ||
    { tail -n 5 "$work/apt.log" >&2; fail "apt-get ${*:2} fails in the clean root"; }
}

# prepare ROOT: a copy of the base with the demo's files; the recipes are the ones of the package.
prepare() {
  cp -a "$work/base" "$work/$1"
  mkdir -p "$work/$1/demo/Fixtures"
  cp -r Fixtures/tiny-llama "$work/$1/demo/Fixtures/"
  cp Scripts/release/demo.sh "$work/$1/demo/"
  apt_inside "$1" update
}

# demo ROOT DOCUMENTS
demo() {
  cp -r "$work/$1$2/Recipes" "$work/$1/demo/"
  inside "$1" /bin/sh -c 'cd /demo && exec sh demo.sh' || fail "the demo fails in the root with the $1"
}

echo "The tarball, with its libraries alone" >&2
prepare tarball
libraries=$(dpkg-deb -f "$deb" Depends | sed 's/([^)]*)//g; s/,/ /g')
# shellcheck disable=SC2086
apt_inside tarball install $libraries
tar -C "$work/tarball/usr/local" --strip-components=1 -xzf "$tarball"
[ "$(inside tarball sh -c 'command -v rilq')" = /usr/local/bin/rilq ] || fail "rilq is not on PATH"
demo tarball /usr/local/share/doc/rilq

# files ROOT: all files but those of dpkg and apt, and caches.
files() {
  (cd "$work/$1" && find . -path ./var -prune -o -path ./proc -prune -o -path ./sys -prune -o -path ./demo -prune \
    -o -name ld.so.cache -prune -o -print | sort)
}

echo "The Debian package" >&2
prepare package
cp "$deb" "$work/package/demo/rilq.deb"
files package >"$work/before"
apt_inside package install /demo/rilq.deb
[ "$(inside package sh -c 'command -v rilq')" = /usr/bin/rilq ] || fail "rilq is not on PATH"
for page in rilq rilq-convert rilq-doctor; do
  inside package gzip -t /usr/share/man/man1/$page.1.gz || fail "there is no manual page of $page"
done
demo package /usr/share/doc/rilq
cmp "$work/tarball/demo/out/weights.txt" "$work/package/demo/out/weights.txt" ||
  fail "the two packages make different weights"
apt_inside package purge --autoremove rilq
files package >"$work/after"
diff "$work/before" "$work/after" >&2 || fail "removing the package leaves these files, or removes others"
echo "Both packages run the demo in clean roots of Debian $suite; the Debian package is removed whole." >&2
