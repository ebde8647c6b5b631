#!/bin/sh
# The main job with an installed rilq, and checks of what comes out; runs in the folder that holds Recipes and
# Fixtures. Needs nothing but a POSIX shell, sed and grep.
set -eu

fail() {
  echo "demo.sh: $1" >&2
  exit 1
}

text=Fixtures/tiny-llama/evaluation.txt
rilq --version
rilq doctor
mkdir -p out
rilq convert Recipes/tiny-demo.yaml --quiet
rilq inspect out/tiny-llama.rilq >out/inspect.txt
rilq eval out/tiny-llama.rilq --text $text --window 256 --quiet

# The same model in another format computes the same, and has the same weights.
rilq convert out/tiny-llama.rilq out/mlx --to mlx --quiet
rilq verify out/tiny-llama.rilq out/mlx --text $text --window 256 --max-tokens 2048 --quiet
rilq hash out/tiny-llama.rilq --manifest out/manifest --quiet
rilq hash out/tiny-llama.rilq --check out/manifest --quiet
weights=$(rilq hash out/tiny-llama.rilq --json --quiet | sed -n 's/.*"weights": "\([^"]*\)".*/\1/p')
[ -n "$weights" ] || fail "hash prints no digest of the weights"
rilq hash out/mlx --check "$weights" --quiet

# From a GGUF file to a verified 2-bit folder with a card and a page of results.
rilq convert Fixtures/tiny-llama out/tiny-llama.gguf --quiet
rilq convert out/tiny-llama.gguf out/folder --recipe fast --card out/folder/README.md --report out/folder.html --quiet
for file in out/folder/README.md out/folder.html; do
  grep -q 'mean KL' $file || fail "$file says nothing of the divergence"
done
rilq hash out/folder --manifest out/folder.sha256 --quiet
rilq hash out/folder --check out/folder.sha256 --quiet

# What cannot be read is refused in one line, with the exit code for a malformed file.
head -c 100 out/tiny-llama.rilq >out/short.rilq
code=0
rilq inspect out/short.rilq 2>out/error.txt || code=$?
[ $code = 2 ] || fail "a truncated file gives the exit code $code, not 2"
echo "$weights" >out/weights.txt
