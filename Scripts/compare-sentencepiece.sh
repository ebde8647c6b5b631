#!/usr/bin/env bash
# Compares the tokens of real SentencePiece models with those of SentencePiece itself on whole texts. The models
# come in the packages mistral-common (BPE) and ai21-tokenizer (unigram); they and sentencepiece are installed
# in the build folder. RILQ names a built program; otherwise one is built in release.
# usage: Scripts/compare-sentencepiece.sh TEXT...
set -euo pipefail
(($# > 0)) || { sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 64; }
texts=()
for text in "$@"; do texts+=("$(realpath "$text")"); done
cd "$(dirname "${BASH_SOURCE[0]}")/.."

peers=.build/sentencepiece
[ -x $peers/bin/python3 ] || python3 -m venv $peers
$peers/bin/python3 -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
  sentencepiece==0.2.3 mistral-common==1.13.1 ai21-tokenizer==1.1.0
packages=$(echo $peers/lib/python3*/site-packages)

# Only what ends in .model is taken for a model.
models=$peers/models
mkdir -p $models
for model in "$packages"/mistral_common/data/*.model.v*; do
  cp "$model" "$models/mistral-${model##*.model.}.model"
done
cp "$packages"/ai21_tokenizer/resources/j2-tokenizer/*.model $models

rilq=${RILQ:-}
if [ -z "$rilq" ]; then
  swift build -c release --product rilq >&2
  rilq=$(swift build -c release --product rilq --show-bin-path)/rilq
fi
exec $peers/bin/python3 Scripts/compare-sentencepiece.py "$rilq" $models/*.model Fixtures/sentencepiece/*.model -- "${texts[@]}"
