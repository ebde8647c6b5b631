#!/usr/bin/env bash
# The main job on a small real checkpoint: installs what is missing, builds, runs Recipes/tiny-demo.yaml and
# shows the result. All files are written to out/.
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

# value KEY FILE [INDENT]: the first value of a key in a JSON document of rilq, which has one member per line.
value() {
  sed -n "/^${3- *}\"$1\": /{s/^[^:]*: \"\{0,1\}\([^\",]*\).*/\1/p;q}" "$2"
}

# row STATE PERPLEXITY [PATH]: a line of the table; bits and bytes are of the checkpoint's tensors.
row() {
  printf '%-18s %12.4f' "$1" "$2"
  if [ $# -gt 2 ]; then
    "$rilq" inspect "$3" --json >out/inspect.json
    printf ' %13.2f %13d' "$(value bits_per_weight out/inspect.json '  ')" "$(value bytes out/inspect.json '  ')"
  fi
  echo
}

perplexity() {
  "$rilq" eval "$1" --text $checkpoint/evaluation.txt --window 256 --json --quiet >out/eval.json
  value perplexity out/eval.json
}

echo "rilq convert Recipes/tiny-demo.yaml" >&2
"$rilq" convert Recipes/tiny-demo.yaml --force --json >out/tiny-llama.json

# Runs the first pass of the recipe alone, for the perplexity between the passes.
"$rilq" quantize $checkpoint out/tiny-llama-quantized.rilq --bits 2 --group-size 64 --force --quiet >out/quantize.txt

original=$(perplexity $checkpoint)
quantized=$(perplexity out/tiny-llama-quantized.rilq)
merged=$(perplexity out/tiny-llama.rilq)
report=out/tiny-llama.json
echo
printf '%-18s %12s %13s %13s\n' state perplexity bits/weight tensor-bytes
row checkpoint "$original" $checkpoint
row "after quantize" "$quantized" out/tiny-llama-quantized.rilq
row "after calibrate" "$(value perplexity_reference $report)"
row "after merge" "$merged" out/tiny-llama.rilq
echo
verdict=FAILED
[ "$(value passed $report)" != true ] || verdict=passed
echo "verify, merged against unmerged: $verdict, mean KL $(value mean_kl $report)," \
  "largest difference of a logit $(value max_abs_logit_difference $report)"
echo "out/tiny-llama.rilq: $(stat -c %s out/tiny-llama.rilq) bytes with its tokenizer and texts, after $SECONDS s"
[ $verdict = passed ]
