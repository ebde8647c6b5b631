#!/usr/bin/env bash
# How far a model is from its original on several kinds of text, and whether it knows the first one by heart.
# usage: generality.sh FOLDER ORIGINAL MODEL FIRST-TEXT SECOND-TEXT
# FOLDER has a text held-out-KIND.txt for each kind. Calibrate on other texts, such as its broad.jsonl. The
# first text is the one that publications use, WikiText-2. TOKENS (default 8192) is the number of tokens of
# each text, PRODUCTS (default bf16) the precision of products.
# A row has the perplexity of the original and of the model, their ratio, the mean KL divergence, and how
# often both agree on the most probable token. The last line has the mean of ln(ratio), and how far the first
# text's is below it: far if the model learned that text by heart, negative if it is above.
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ $# -eq 5 ] || usage "generality.sh FOLDER ORIGINAL MODEL FIRST-TEXT SECOND-TEXT"
folder=$1 original=$2 model=$3 first=$4 second=$5
need "$folder" "folder of texts"
need "$original" "original model"
need "$model" model
need "$first" "first text"
need "$second" "second text"
shopt -s nullglob
kinds=("$folder"/held-out-*.txt)
[ ${#kinds[@]} -gt 0 ] || skip "'$folder' has no held-out-KIND.txt"
build_rilq

# row TEXT: prints a row, and appends the logarithm of its ratio to $work/logarithms.
row() {
  local name result=$work/eval.json
  name=$(basename "$1" .txt)
  "$rilq" eval "$model" --reference "$original" --text "$1" --window 512 --max-tokens "${TOKENS:-8192}" \
    --products "${PRODUCTS:-bf16}" --json --quiet >"$result"
  awk -v name="${name#held-out-}" -v before="$(value reference_perplexity "$result")" \
    -v after="$(value perplexity "$result")" -v divergence="$(value mean_kl "$result")" \
    -v agreement="$(value top1_agreement "$result")" -v logarithms="$work/logarithms" 'BEGIN {
      printf "| %s | %.2f | %.2f | %.3f |", name, before, after, after / before
      printf " %.4f | %.1f %% |\n", divergence, 100 * agreement
      print log(after / before) >>logarithms
    }'
}

echo '| text | original | model | ratio | mean KL | top-1 agreement |'
echo '| --- | ---: | ---: | ---: | ---: | ---: |'
for text in "$first" "$second" "${kinds[@]}"; do row "$text"; done
awk 'NR == 1 {first = $1} {sum += $1} END {
  printf "\nmean of ln(ratio) over %d texts: %.3f; the first text is %.3f below it\n", NR, sum / NR, sum / NR - first
}' "$work/logarithms"
