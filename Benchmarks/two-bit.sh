#!/usr/bin/env bash
# Quality at 2 bits: every quantizer alone, then each initialization and each trainable set on the two best,
# compared with peers.
# usage: two-bit.sh FOLDER CHECKPOINT CALIBRATION-TEXT EVALUATION-TEXT SECOND-TEXT [ROW ...]
# Each finished row is kept in FOLDER/ROW.row, and another call resumes where the first was stopped, also
# within a calibration. Without ROW all rows are made. UPDATES (default 40) is the number of updates of every
# calibration, ITERATIONS (default 100) that of AutoRound. A peer that is not installed for $PYTHON is skipped
# with a message.
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

read_study two-bit.sh "$@"
shift 5
build_rilq

text="text: $calibration"
gptq="method: gptq, $text, samples: 64"
refined="$gptq, refit: true, sweeps: 2, propagation: 0.5"
attach="attach: {kind: dense, rank: 16"
calibrate="calibrate: {teacher: $checkpoint, $text, samples: 160, length: 256, batch: 4, updates: ${UPDATES:-40}, schedule: cosine"
calibrate="$calibrate, warmup: 2, validation: 0"
affine="$calibrate, train: [bias, scale], learning_rate: 2e-3"
dense="$calibrate, learning_rate: 5e-4"

# base ROW: the row whose model this one starts from; none for a quantizer alone.
base() {
  case $1 in
  *-bias | *-affine | *-kl | *-pooled | *-dense | *-loftq | *-qera | *-atc) echo "${1%-*}" ;;
  esac
}

# The passes of a row after those of its base, one per line. Tables are stored as f16: 2.5 bits per weight in
# groups of 64. Trained tensors are merged into them, except dense adapters.
passes() {
  local group=64
  case $1 in *-g32) group=32 ;; esac
  local quantize="quantize: {bits: 2, group_size: $group, tables: f16"
  case ${1%-g32} in
  rtn | hqq) echo "$quantize, method: $1}" ;;
  search) echo "$quantize, method: search, $text}" ;;
  nf2) echo "quantize: {group_size: $group, method: nf2}" ;;
  gptq) echo "$quantize, $gptq}" ;;
  gptq-order) echo "$quantize, $gptq, activation_order: true}" ;;
  gptq-refined) echo "$quantize, $gptq, refit: true, sweeps: 2}" ;;
  propagated) echo "$quantize, $refined}" ;;
  propagated-layers) echo "$quantize, $refined, layer_epochs: 2}" ;;
  *-bias) printf '%s\n' "$calibrate, train: [bias], learning_rate: 2e-3}" "merge: {tables: f16}" ;;
  *-affine) printf '%s\n' "$affine}" "merge: {tables: f16}" ;;
  *-kl) printf '%s\n' "$affine, kl_weight: 1, ground_truth_weight: 0}" "merge: {tables: f16}" ;;
  *-pooled) printf '%s\n' "attach: {kind: pooled, rank: 16}" "$calibrate, learning_rate: 1e-3}" "merge: {tables: f16}" ;;
  *-dense) printf '%s\n' "$attach}" "$dense}" ;;
  *-loftq) printf '%s\n' "$attach, teacher: $checkpoint, init: loftq}" "$dense}" ;;
  *-qera) printf '%s\n' "$attach, teacher: $checkpoint, init: qera, $text, samples: 32}" "$dense}" ;;
  # It computes the rest of the model again for each layer and window.
  *-atc) printf '%s\n' "$attach, teacher: $checkpoint, init: atc, $text, samples: 32, length: 128}" "$dense}" ;;
  *) usage "two-bit.sh: there is no row '$1'" ;;
  esac
}

rows=(rtn nf2 search hqq gptq gptq-order gptq-refined propagated propagated-layers gptq-affine)
for start in propagated propagated-layers; do
  for trained in affine kl bias pooled dense loftq qera atc; do rows+=("$start-$trained"); done
done
rows+=(propagated-layers-g32 propagated-layers-g32-affine peer-mlx peer-hqq peer-autoround peer-llama-cpp)
[ $# -eq 0 ] || rows=("$@")

# measure MODEL [BITS]: perplexity on both texts, the mean KL to the checkpoint on the first text, and the
# bits per weight, as given or as in the file.
measure() {
  "$rilq" eval "$1" --text "$evaluation" --window 512 --max-tokens 16384 --reference "$checkpoint" --json --quiet \
    >"$work/first.json" || return
  "$rilq" eval "$1" --text "$second" --window 512 --max-tokens 16384 --json --quiet >"$work/second.json" || return
  "$rilq" inspect "$1" --json >"$work/inspect.json" || return
  printf '%s %s %s %s' "$(value perplexity "$work/first.json")" "$(value perplexity "$work/second.json")" \
    "$(value mean_kl "$work/first.json")" "${2:-$(value bits_per_weight "$work/inspect.json")}"
}

# make ROW: converts and measures a row and keeps it; its base is made first if it is missing. The seconds
# include the conversion of the base; the memory is the maximum of both.
make() {
  local row=$1 start input=$checkpoint before=0 begin took memory columns bits=
  start=$(base "$row")
  # A code per weight and a factor in f16 per group; the file has the weights dense.
  [ "$row" != nf2 ] || bits=2.25
  if [ -n "$start" ]; then
    [ -e "$folder/$start.row" ] || make "$start" || return
    input=$(realpath "$folder/$start.rilq")
    before=$(cut -d ' ' -f 6 "$folder/$start.row")
  fi
  {
    printf 'input: %s\noutput: %s\npasses:\n' "$input" "$(realpath "$folder")/$row.rilq"
    passes "$row" | sed "s/^/  - /"
  } >"$folder/$row.yaml"
  begin=$SECONDS
  "$rilq" convert "$folder/$row.yaml" --resume --force --json >"$folder/$row.json" || return
  took=$((before + SECONDS - begin))
  memory=$(megabytes "$(value peak_memory_bytes "$folder/$row.json")")
  [ -z "$start" ] || memory=$(printf '%s\n' "$memory" "$(cut -d ' ' -f 7 "$folder/$start.row")" | sort -n | tail -1)
  columns=$(measure "$folder/$row.rilq" "$bits") || return
  printf '%s %s %s %s\n' "$row" "$columns" "$took" "$memory" >"$work/row"
  mv "$work/row" "$folder/$row.row"
}

# peer_mlx: MLX's own 2-bit quantization, measured by rilq.
peer_mlx() {
  has_python mlx_lm || { echo "skipped: peer-mlx needs mlx_lm" >&2; return; }
  local begin=$SECONDS took columns
  rm -rf "$folder/peer-mlx"
  "$python" -m mlx_lm convert --hf-path "$checkpoint" --mlx-path "$folder/peer-mlx" -q --q-bits 2 --q-group-size 64 \
    >"$work/mlx.log" 2>&1 || { tail -1 "$work/mlx.log" >&2; return 1; }
  took=$((SECONDS - begin))
  columns=$(measure "$folder/peer-mlx") || return
  printf 'peer-mlx %s %s -\n' "$columns" "$took" >"$work/row"
  mv "$work/row" "$folder/peer-mlx.row"
}

# peer ROW OUTPUT PROGRAM INPUT [ARGUMENT ...]: the output of two_bit_peers.py for the input, measured by
# rilq.
peer() {
  local row=$1 output=$2 program=$3 input=$4 begin=$SECONDS took columns
  shift 4
  rm -rf "$output"
  "$python" "$benchmarks/two_bit_peers.py" "$program" "$input" "$output" "$@" >"$work/peer.out" 2>"$work/peer.log" ||
    { tail -1 "$work/peer.log" >&2; return 1; }
  took=$((SECONDS - begin))
  # The programs also print on standard output.
  tail -1 "$work/peer.out" >"$work/peer.json"
  columns=$(measure "$output" "$(value bits_per_weight "$work/peer.json")") || return
  printf '%s %s %s %s\n' "$row" "$columns" "$took" "$(megabytes "$(value peak_memory_bytes "$work/peer.json")")" >"$work/row"
  mv "$work/row" "$folder/$row.row"
}

peer_hqq() {
  has_python hqq torch safetensors || { echo "skipped: peer-hqq needs hqq" >&2; return; }
  peer peer-hqq "$folder/peer-hqq" hqq "$checkpoint"
}

peer_autoround() {
  has_python auto_round torch transformers || { echo "skipped: peer-autoround needs auto_round" >&2; return; }
  peer peer-autoround "$folder/peer-autoround" autoround "$checkpoint" "$calibration" --iterations "${ITERATIONS:-100}"
}

peer_llama_cpp() {
  has_python llama_cpp || { echo "skipped: peer-llama-cpp needs llama_cpp" >&2; return; }
  "$rilq" convert "$checkpoint" "$work/dense.gguf" --force --quiet >/dev/null || return
  peer peer-llama-cpp "$folder/peer-llama-cpp.gguf" llama-cpp "$work/dense.gguf" "$checkpoint"
}

if [ ! -e "$folder/checkpoint.row" ]; then
  columns=$(measure "$checkpoint")
  printf 'checkpoint %s - -\n' "$columns" >"$work/row"
  mv "$work/row" "$folder/checkpoint.row"
fi
for row in "${rows[@]}"; do
  [ ! -e "$folder/$row.row" ] || continue
  echo "$row ..." >&2
  case $row in
  peer-mlx) peer_mlx ;;
  peer-hqq) peer_hqq ;;
  peer-autoround) peer_autoround ;;
  peer-llama-cpp) peer_llama_cpp ;;
  *) make "$row" ;;
  esac || echo "failed: $row" >&2
done

echo '| row | perplexity | ratio | second text | ratio | mean KL | bits a weight | seconds | peak MB |'
echo '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |'
for row in checkpoint "${rows[@]}"; do
  [ -e "$folder/$row.row" ] || continue
  awk -v first="$(cut -d ' ' -f 2 "$folder/checkpoint.row")" -v second="$(cut -d ' ' -f 3 "$folder/checkpoint.row")" \
    '{printf "| %s | %.2f | %.2f | %.2f | %.2f | %.4f | %.2f | %s | %s |\n", $1, $2, $2 / first, $3, $3 / second, $4, $5, $6, $7}' \
    "$folder/$row.row"
done
