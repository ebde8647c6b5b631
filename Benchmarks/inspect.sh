#!/usr/bin/env bash
# Wall and processor seconds of `rilq inspect` on a file of 100,000 tensors, compared with the Python package
# safetensors, which opens the file and reads the shape and dtype of each tensor.
# usage: inspect.sh [--tensors N] [--runs N]
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

tensors=100000 runs=5
while [ $# -gt 1 ]; do
  case $1 in
  --tensors) tensors=$2 ;;
  --runs) runs=$2 ;;
  *) usage "inspect.sh [--tensors N] [--runs N]" ;;
  esac
  shift 2
done
[ $# -eq 0 ] || usage "inspect.sh [--tensors N] [--runs N]"
has_python json || skip "python3 is not there"
build_rilq

file=$work/many.safetensors
"$python" - "$file" "$tensors" <<'PYTHON'
import json, struct, sys

path, count = sys.argv[1], int(sys.argv[2])
header = {
    f"model.layers.{i // 10}.mlp.experts.{i % 10}.up_proj.weight":
        {"dtype": "F32", "shape": [1, 2], "data_offsets": [8 * i, 8 * i + 8]}
    for i in range(count)
}
text = json.dumps(header).encode()
with open(path, "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text + bytes(8 * count))
PYTHON
cat >"$work/peer.py" <<'PYTHON'
import sys
from safetensors import safe_open

with safe_open(sys.argv[1], framework="np") as file:
    slices = [file.get_slice(name) for name in file.keys()]
    listing = [(tensor.get_dtype(), tensor.get_shape()) for tensor in slices]
assert len(listing) == int(sys.argv[2])
PYTHON

compares=no
if has_python safetensors numpy; then compares=yes; else echo "$python has no safetensors: rilq alone"; fi
# record NAME COMMAND...: records wall and processor time of a command.
record() {
  local TIMEFORMAT='%R %U %S'
  { time "${@:2}" >/dev/null 2>"$work/errors"; } 2>"$work/time" || { cat "$work/errors" >&2; exit 1; }
  awk '{print $1}' "$work/time" >>"$work/$1.seconds"
  awk '{print $2 + $3}' "$work/time" >>"$work/$1.processor"
}

for _ in $(seq "$runs"); do
  record text "$rilq" inspect "$file"
  record json "$rilq" inspect "$file" --json
  [ $compares = no ] || {
    record peer "$python" "$work/peer.py" "$file" "$tensors"
    record import "$python" -c "from safetensors import safe_open"
  }
done
row() {
  printf '%-40s %7.3f s  %7.3f s of the processor\n' "$1" "$(median <"$work/$2.seconds")" \
    "$(median <"$work/$2.processor")"
}
echo "$tensors tensors, $(megabytes "$(wc -c <"$file")") MB, median of $runs runs, start of the process included"
row "rilq inspect" text
row "rilq inspect --json" json
[ $compares = no ] || {
  row "Python, safetensors" peer
  row "  of which Python and the import" import
}
