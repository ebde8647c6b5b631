#!/usr/bin/env bash
# Makes the packages of rilq for Linux on x86-64 in .build/release-packages: a tarball and a Debian package.
# Tries both in clean roots of Debian, and the C kernels on aarch64. Fails at the first thing that is wrong.
# Installs the tools that are missing with apt-get. For Debian, as root; see Guides/releasing.md.
# usage: Scripts/release.sh [--skip-trial]
set -euo pipefail
export LC_ALL=C
umask 022
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source Scripts/release/install-tools.inc

fail() {
  echo "release.sh: $1" >&2
  exit 1
}

is_tried=true
case $#:${1-} in
  0:) ;;
  1:--skip-trial) is_tried=false ;;
  *) sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 64 ;;
esac

Scripts/install.sh
install_tools chrpath=chrpath strip=binutils dpkg-shlibdeps=dpkg-dev lintian=lintian mandoc=mandoc python3=python3 \
  git=git
work=.build/release-packages
rm -rf $work
mkdir -p $work
# All files carry the time of the commit.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
[ -z "$(git status --porcelain)" ] || echo "release.sh: the working tree differs from the last commit" >&2

# The program

echo "Building (the first time takes some minutes)" >&2
build=(swift build -c release --static-swift-stdlib --product rilq --scratch-path .build/static)
"${build[@]}" >&2
program=$work/rilq
cp "$("${build[@]}" --show-bin-path)/rilq" $program
# Libraries are found where the system has them, not beside the program.
strip --remove-section=.comment --remove-section=.note $program
chrpath --delete $program >/dev/null
version=$($program --version)

# The files of both packages, below PREFIX

# copyright_of PACKAGE: what a package of Debian says about its program; its packaging is not in rilq.
copyright_of() {
  [ -e "/usr/share/doc/$1/copyright" ] || { apt-get update -qq && apt-get install -y -qq "$1"; } >&2
  sed '/^Files: debian/,$d' "/usr/share/doc/$1/copyright"
}

licenses=$work/licenses
mkdir -p $licenses
[ -e LICENSE ] && cp LICENSE $licenses/rilq.txt || echo "release.sh: there is no LICENSE of rilq itself" >&2
toolchain=$(dirname "$(dirname "$(readlink -f "$(command -v swift)")")")
cp "$toolchain/share/swift/LICENSE.txt" $licenses/swift.txt
cp .build/static/checkouts/swift-argument-parser/LICENSE.txt $licenses/swift-argument-parser.txt
cp .build/static/checkouts/Yams/LICENSE $licenses/yams.txt
# Yams contains libyaml, and Foundation ICU.
copyright_of libyaml-0-2 >$licenses/libyaml.txt
icu=$(find /usr/share/doc -maxdepth 1 -name 'libicu[0-9]*' -printf '%f\n' | sort | tail -n 1)
copyright_of "${icu:-libicu-dev}" >$licenses/icu.txt

$program --experimental-dump-help >$work/help.json
python3 -B Scripts/release/man-pages.py $work/help.json "$version" $work/man
mandoc -T lint -W warning $work/man/*.1 || fail "the manual pages have mistakes"

# install_files PREFIX ZSH: program, manual, completions and documents; ZSH is where zsh looks for completions.
install_files() {
  local doc=$1/share/doc/rilq
  install -D -m 755 $program "$1/bin/rilq"
  install -D -m 644 -t "$1/share/man/man1" $work/man/*.1
  install -d "$1/share/bash-completion/completions" "$1/$2" "$1/share/fish/vendor_completions.d"
  # The first line would call a shell, but the file is read by one.
  $program --generate-completion-script bash | sed '1{/^#!/d}' >"$1/share/bash-completion/completions/rilq"
  $program --generate-completion-script zsh >"$1/$2/_rilq"
  $program --generate-completion-script fish >"$1/share/fish/vendor_completions.d/rilq.fish"
  install -D -m 644 -t "$doc" README.md
  install -D -m 644 -t "$doc/Guides" Guides/*.md
  install -D -m 644 -t "$doc/Formats" Formats/*.md
  install -D -m 644 -t "$doc/Recipes" Recipes/*.yaml
}

# The tarball

name=rilq-$version-linux-x86_64
tree=$work/tarball/$name
install_files $tree share/zsh/site-functions
install -m 644 CHANGELOG.md -t $tree/share/doc/rilq
install -D -m 644 -t $tree/share/doc/rilq/licenses $licenses/*

pack_tarball() {
  tar -C $work/tarball -c --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
    --mtime="@$SOURCE_DATE_EPOCH" $name | gzip -n -9 >"$1"
}

# The Debian package

root=$work/deb
install_files $root/usr share/zsh/vendor-completions
gzip -n -9 $root/usr/share/man/man1/*.1
doc=$root/usr/share/doc/rilq
maintainer="${DEBFULLNAME:-$(git log -1 --format=%an)} <${DEBEMAIL:-$(git log -1 --format=%ae)}>"
{
  echo "rilq contains, linked statically: the Swift runtime with Foundation and ICU, swift-argument-parser, and"
  echo "Yams with libyaml. Debian has the Apache License 2.0 in /usr/share/common-licenses/Apache-2.0, too."
  [ -e LICENSE ] || echo "rilq itself comes without a licence."
  for file in $licenses/*.txt; do
    printf '\n\n== %s ==\n\n' "$(basename "$file" .txt)"
    cat "$file"
  done
} >$doc/copyright
gzip -n -9 <CHANGELOG.md >$doc/changelog.gz
gzip -n -9 >$doc/changelog.Debian.gz <<CHANGES
rilq ($version-1) unstable; urgency=medium

  * Version $version; its changes are in changelog.gz.

 -- $maintainer  $(date -R -u -d "@$SOURCE_DATE_EPOCH")
CHANGES
install -D -m 644 Scripts/release/lintian-overrides $root/usr/share/lintian/overrides/rilq

# dpkg-shlibdeps reads the names of packages from a source package.
mkdir -p $work/source/debian
printf 'Source: rilq\n\nPackage: rilq\nArchitecture: amd64\n' >$work/source/debian/control
libraries=$(cd $work/source && dpkg-shlibdeps -O ../rilq | sed -n 's/^shlibs:Depends=//p')
[ -n "$libraries" ] || fail "dpkg-shlibdeps finds no libraries"
for library in $(echo "$libraries" | sed 's/([^)]*)//g; s/,/ /g'); do
  grep -q "\`$library\`" Guides/releasing.md || fail "Guides/releasing.md does not name $library, which rilq needs"
done

mkdir -p $root/DEBIAN
cat >$root/DEBIAN/control <<CONTROL
Package: rilq
Version: $version-1
Architecture: amd64
Maintainer: $maintainer
Installed-Size: $(du -sk --apparent-size $root/usr | cut -f 1)
Depends: $libraries
Section: science
Priority: optional
Description: 2-bit quantization of language models, calibrated and verified
 rilq turns a language-model checkpoint into a 2-bit one that still works. It
 quantizes the weights, calibrates the packed weights against the original
 model, merges what was trained, verifies the result, and writes one file or a
 folder for llama.cpp, MLX, GPTQ or vLLM. It runs on the processor, in bounded
 memory.
CONTROL
(cd $root && find usr -type f | sort | xargs md5sum) >$root/DEBIAN/md5sums
chmod 644 $root/DEBIAN/*

pack_deb() { dpkg-deb --root-owner-group -Zxz --build $root "$1" >/dev/null; }

# Both, twice: the same program gives the same bytes

tarball=$work/$name.tar.gz
deb=$work/rilq_$version-1_amd64.deb
pack_tarball "$tarball"
pack_deb "$deb"
pack_tarball $work/again.tar.gz
pack_deb $work/again.deb
cmp "$tarball" $work/again.tar.gz || fail "the tarball is not the same twice"
cmp "$deb" $work/again.deb || fail "the Debian package is not the same twice"
rm $work/again.tar.gz $work/again.deb

lintian --allow-root --fail-on error,warning "$deb" || fail "lintian complains about $deb"

if $is_tried; then
  Scripts/release/trial.sh "$tarball" "$deb" || fail "the trial of the packages failed"
  Scripts/release/cross-kernels.sh || fail "the trial of the kernels on aarch64 failed"
fi

echo
echo "rilq $version, program $(stat -c %s $program) bytes; needs $libraries"
for file in "$tarball" "$deb"; do
  echo "$(stat -c %s "$file") bytes, SHA-256 $(sha256sum "$file" | sed 's/  / /')"
done
