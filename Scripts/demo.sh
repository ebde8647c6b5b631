#!/usr/bin/env bash
# The main job on a small real checkpoint: installs what is missing, builds, runs Recipes/tiny-demo.yaml, shows what came of it.
# Everything is written to out/.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/.."

Scripts/install.sh
echo "Building (the first time takes some minutes)" >&2
swift build -c release --product rilq >&2
rilq=$(swift build -c release --product rilq --show-bin-path)/rilq
checkpoint=Fixtures/tiny-llama
SECONDS=0
mkdir -p out

# The value of a key in a document as rilq prints it, one member a line; the first such key.
value() {
  sed -n "/^ *\"$1\": /{s/^[^:]*: \"\{0,1\}\([^\",]*\).*/\1/p;q}" "$2"
}

evaluate() {
  "$rilq" eval "$1" --text $checkpoint/evaluation.txt --window 256 --json --quiet >out/eval.json
  value perplexity out/eval.json
}

bits() {
  "$rilq" inspect "$1" --json >out/inspect.json
  value bits_per_weight out/inspect.json
}

row() {
  printf '%-18s %12.4f %12s %12s\n' "$1" "$2" "$3" "$4"
}

echo "rilq convert Recipes/tiny-demo.yaml" >&2
"$rilq" convert Recipes/tiny-demo.yaml --force --json >out/tiny-llama.json

# The recipe's first pass by itself, for the perplexity between the passes.
"$rilq" quantize $checkpoint out/tiny-llama-quantized.rilq --bits 2 --group-size 64 --force --quiet >out/quantize.txt

bytes_of() {
  stat -c %s "$@" | awk '{sum += $1} END {print sum}'
}

original=$(evaluate $checkpoint)
quantized=$(evaluate out/tiny-llama-quantized.rilq)
merged=$(evaluate out/tiny-llama.rilq)
echo
printf '%-18s %12s %12s %12s\n' state perplexity bits/weight bytes
row checkpoint "$original" "$(printf %.2f "$(bits $checkpoint)")" "$(bytes_of $checkpoint/*.safetensors)"
row "after quantize" "$quantized" "$(printf %.2f "$(bits out/tiny-llama-quantized.rilq)")" \
  "$(bytes_of out/tiny-llama-quantized.rilq)"
row "after calibrate" "$(value perplexity_reference out/tiny-llama.json)" "" ""
row "after merge" "$merged" "$(printf %.2f "$(bits out/tiny-llama.rilq)")" "$(bytes_of out/tiny-llama.rilq)"
echo
passed=$(value passed out/tiny-llama.json)
verdict=FAILED
[ "$passed" = true ] && verdict=passed
echo "verify, merged against unmerged: $verdict, mean KL $(value mean_kl out/tiny-llama.json)," \
  "largest difference of a logit $(value max_abs_logit_difference out/tiny-llama.json)"
echo "out/tiny-llama.rilq after $SECONDS s"
[ "$passed" = true ]
