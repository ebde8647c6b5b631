# Sourced by the benchmarks: paths, and functions to read and summarize numbers.
# shellcheck shell=bash
set -euo pipefail
export LC_ALL=C
benchmarks=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$benchmarks")
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# usage LINE: ends the script with its usage.
usage() {
  echo "usage: $1" >&2
  exit 64
}

# skip WHY: ends the script; a missing input is not a failure.
skip() {
  echo "skipped: $1"
  exit 0
}

# read_study NAME ARGUMENT...: sets what a comparison of models reads from the arguments of the benchmark NAME, and
# makes its folder.
read_study() {
  local name=$1
  shift
  [ $# -ge 5 ] || usage "$name FOLDER CHECKPOINT CALIBRATION-TEXT EVALUATION-TEXT SECOND-TEXT [ROW ...]"
  need "$2" checkpoint
  need "$3" "calibration text"
  need "$4" "evaluation text"
  need "$5" "second text"
  mkdir -p "$1"
  # shellcheck disable=SC2034  # for the scripts that source this
  folder=$1 checkpoint=$(realpath "$2") calibration=$(realpath "$3") evaluation=$(realpath "$4") second=$(realpath "$5")
}

# need PATH WHAT: skips the benchmark unless the file or folder exists.
need() {
  [ -e "$1" ] || skip "$2 '$1' is not there"
}

# has_python MODULE...: whether $PYTHON can import the modules.
has_python() {
  "$python" -c "import $(IFS=,; echo "$*")" 2>/dev/null
}

# Builds the program in release unless RILQ names a built one; sets $rilq to its path.
build_rilq() {
  rilq=${RILQ:-}
  [ -z "$rilq" ] || return 0
  (cd "$root" && Scripts/install.sh && swift build -c release --product rilq >&2)
  # shellcheck disable=SC2034  # for the scripts that source this
  rilq=$(cd "$root" && swift build -c release --product rilq --show-bin-path)/rilq
}

# value KEY FILE: the first value of a key in JSON with one member or one document per line.
value() {
  sed -n "/\"$1\": /{s/.*\"$1\": \"\{0,1\}\([^\",}]*\).*/\1/p;q}" "$2"
}

# keep NAME KEYS COMMAND...: runs a command that prints JSON and appends each key's value to $work/NAME.KEY.
keep() {
  local name=$1 key
  local -a keys
  read -ra keys <<<"$2"
  shift 2
  "$@" >"$work/result.json" 2>"$work/errors" || { cat "$work/errors" >&2; exit 1; }
  for key in "${keys[@]}"; do value "$key" "$work/result.json" >>"$work/$name.$key"; done
}

# median: the median of the numbers on standard input, one per line.
median() {
  sort -g | awk '{v[NR] = $1} END {if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'
}

# seconds COMMAND...: the duration of a command; its output is discarded.
seconds() {
  local start end
  start=$(date +%s%N)
  "$@" >/dev/null 2>&1 || { echo "failed: $*" >&2; return 1; }
  end=$(date +%s%N)
  awk "BEGIN {print ($end - $start) / 1e9}"
}

# ratio A B: A / B with two decimals.
ratio() {
  awk "BEGIN {printf \"%.2f\n\", $1 / $2}"
}

# megabytes BYTES
megabytes() {
  awk "BEGIN {printf \"%.0f\n\", $1 / 1e6}"
}
