#!/bin/sh
# Compares the GGUF files of rilq with llama.cpp on the tiny checkpoints of the families.
#
# usage: compare-gguf.sh FAMILIES TEXT [NAME...]
#
# Installs xllamacpp and what else it needs into .build/gguf-peers, builds rilq, and prints the table of
# compare-gguf.py, for all checkpoints unless some are named.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
families=$1
TEXT=$2
export TEXT
shift 2
peers=$root/.build/gguf-peers
if [ ! -x "$peers/bin/python3" ]; then
  python3 -m venv "$peers"
  "$peers/bin/pip" install --quiet numpy==2.4.6 safetensors==0.8.0 torch==2.13.0 xllamacpp==2026.10.11549
fi
swift build --package-path "$root" -c release --product rilq >&2
[ $# -gt 0 ] || set -- $(ls "$families/checkpoints")
exec "$peers/bin/python3" "$root/Scripts/compare-gguf.py" "$root/.build/release/rilq" "$families" "$@"
