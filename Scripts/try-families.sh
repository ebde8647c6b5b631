#!/usr/bin/env bash
# Runs the main job on a tiny checkpoint of each family and prints a table.
#
# usage: try-families.sh FAMILIES TEXT [NAME ...]
#
# FAMILIES has checkpoints/NAME and golden/NAME.json, as family-checkpoints makes them; RILQ is the program, by default
# that of the release build. `eval` is the loss per token beside that of transformers, `fast` the recipe with few
# windows, whose two verifications must pass, `rotate` a rotation, `mlx` 4 bits for MLX, `peft` an attached adapter
# written for PEFT. A cell is `ok`, or the exit code and the first line of the message follows the table.
set -uo pipefail
export LC_ALL=C
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[ $# -ge 2 ] || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 64; }
families=$1 text=$2
shift 2
rilq=${RILQ:-$root/.build/release/rilq}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
messages=$work/messages
: >"$messages"

# try NAME COLUMN COMMAND...: `ok`, or the exit code of the command.
try() {
  local name=$1 column=$2 code=0
  shift 2
  nice "$@" >"$work/output" 2>"$work/errors" || code=$?
  [ $code = 0 ] || echo "$name $column: $(grep -v '^$' "$work/errors" | tail -1)" >>"$messages"
  [ $code = 0 ] && cell=ok || cell=$code
}

printf '%-16s %10s %10s %6s %6s %6s %6s %6s\n' family eval golden fast heads stream mlx peft
[ $# -gt 0 ] || set -- $(ls "$families/checkpoints")
for name; do
  model=$families/checkpoints/$name
  golden=$(sed -n 's/.*"nll_per_token": \([0-9.]*\).*/\1/p' "$families/golden/$name.json" | cut -c1-8)
  try "$name" eval "$rilq" eval "$model" --text "$text" --window 512 --max-tokens 2048 --json
  loss=$cell
  [ "$cell" != ok ] || loss=$(sed -n 's/.*"nll_per_token": \([0-9.]*\).*/\1/p' "$work/output" | cut -c1-8)
  try "$name" fast "$rilq" convert "$model" "$work/fast.rilq" --force --recipe fast \
    --set group_size=32 --set updates=4 \
    --set passes.0.quantize.samples=8 --set passes.0.quantize.sampled=4 --set passes.0.quantize.length=64 \
    --set passes.1.calibrate.samples=16 --set passes.1.calibrate.sampled=8 --set passes.1.calibrate.length=64 \
    --set passes.3.verify.window=64 --set passes.4.verify.window=64 --set passes.4.verify.max_mean_kl=20 \
    --set passes.4.verify.max_collapsed=99 \
    --text "$text"
  fast=$cell
  try "$name" heads "$rilq" rotate "$model" "$work/heads.rilq" --force --parts heads
  heads=$cell
  try "$name" stream "$rilq" rotate "$model" "$work/stream.rilq" --force --parts residual
  stream=$cell
  rm -rf "$work/mlx"
  try "$name" mlx "$rilq" quantize "$model" "$work/mlx" --to mlx --bits 4 --group-size 32
  mlx=$cell
  rm -rf "$work/peft"
  try "$name" peft "$rilq" attach "$model" "$work/peft" --to safetensors --rank 2 --kind dense
  printf '%-16s %10s %10s %6s %6s %6s %6s %6s\n' "$name" "$loss" "$golden" "$fast" "$heads" "$stream" "$mlx" "$cell"
done
echo
cat "$messages"
