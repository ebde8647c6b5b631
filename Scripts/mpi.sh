#!/usr/bin/env bash
# Checks that several processes give the bytes of one: builds rilq with MPI, runs calibrate, convert, eval and
# verify on 1, 2 and 4 ranks of this machine, and kills a random rank at ten random moments of a resumable run.
# The exit code is not 0 when anything differs. Build and files are in .build-mpi/ and out/mpi/.
# usage: Scripts/mpi.sh [SEED]
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/.."
RANDOM=${1:-7}

Scripts/install.sh
if ! pkg-config --exists ompi-c || ! command -v mpirun >/dev/null; then
  as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  echo "mpi.sh: installing libopenmpi-dev and openmpi-bin" >&2
  "${as_root[@]}" apt-get update -qq >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq libopenmpi-dev openmpi-bin >&2
fi
build=(swift build -c release --traits MPI --scratch-path .build-mpi --product rilq)
"${build[@]}" >&2
rilq=$("${build[@]}" --show-bin-path)/rilq

work=out/mpi
rm -rf $work
mkdir -p $work
model=Fixtures/tiny-llama
failures=0

fail() {
  echo "mpi.sh: $1" >&2
  failures=$((failures + 1))
}

# ranks COUNT ARGUMENT...: runs rilq on some ranks of one thread each; one rank is started without mpirun.
#
# mpirun gets a limit of $limit seconds and exit code 137 after it: that of Open MPI 4.1 can wait for ever when a
# rank dies while the ranks connect. A C program of MPI_Init and MPI_Barrier shows it, too.
limit=120
ranks() {
  local count=$1
  shift
  if [ "$count" = 1 ]; then "$rilq" "$@" --threads 1; else
    timeout --signal KILL $limit mpirun --allow-run-as-root --oversubscribe --bind-to none --quiet -n "$count" \
      "$rilq" "$@" --threads 1
  fi
}

# children NAME PROCESS...: the processes of that name that the processes have started.
children() {
  local name=$1 process
  shift
  for process in "$@"; do pgrep -P "$process" -x "$name" || true; done
}

# without_times FILE: a JSON document without what differs from run to run.
without_times() { grep -v -e second -e peak_memory "$1"; }

# compare NAME COUNT FILE...: each FILE.COUNT is FILE.1 but for times.
compare() {
  local name=$1 count=$2 file
  shift 2
  for file in "$@"; do
    case $file in
      *.json) cmp -s <(without_times "$work/$file.1") <(without_times "$work/$file.$count") ;;
      *) cmp -s "$work/$file.1" "$work/$file.$count" ;;
    esac || fail "$name: $file of $count ranks is another one than that of 1"
  done
}

cat >$work/recipe.yaml <<RECIPE
input: ../../$model
output: model.rilq
passes:
  - quantize: {method: gptq, bits: 2, group_size: 64, text: ../../$model/calibration.txt, samples: 24, sampled: 4,
      length: 128, refit: true, sweeps: 1, propagation: 0.5}
  - attach: {kind: pooled, rank: 8}
  - calibrate: {text: ../../$model/calibration.txt, train: [adapter, bias, scale], samples: 40, length: 128,
      updates: 40, batch: 8, validation: 8, validate_every: 10, learning_rate: 2e-3}
  - merge: {}
  - verify: {text: ../../$model/evaluation.txt, window: 128, max_tokens: 4096}
RECIPE

"$rilq" convert $model $work/quantized.rilq --pass 'quantize: {bits: 2}' --pass 'attach: {kind: pooled, rank: 8}' \
  --quiet >$work/quantize.txt
for count in 1 2 4; do
  SECONDS=0
  ranks $count calibrate $work/quantized.rilq $work/calibrated.rilq --teacher $model --quiet --force --json \
    --text $model/calibration.txt --samples 40 --length 128 --updates 40 --batch 8 --validation 8 \
    --validate-every 10 --learning-rate 2e-3 >$work/calibrate.json.$count
  mv $work/calibrated.rilq $work/calibrated.rilq.$count
  calibrate=$SECONDS SECONDS=0
  ranks $count convert $work/recipe.yaml --quiet --force --json >$work/convert.json.$count
  mv $work/model.rilq $work/model.rilq.$count
  convert=$SECONDS SECONDS=0
  ranks $count eval $work/quantized.rilq --reference $model --text $model/evaluation.txt --window 128 --quiet \
    --json >$work/eval.json.$count
  ranks $count verify $model $work/quantized.rilq --text $model/evaluation.txt --window 128 --max-mean-kl 10 \
    --max-kl 100 --max-logit-difference 100 --max-collapsed 4 --quiet --json >$work/verify.json.$count
  compare calibrate $count calibrate.json calibrated.rilq
  compare convert $count convert.json model.rilq
  compare eval $count eval.json
  compare verify $count verify.json
  echo "$count ranks: calibrate $calibrate s, convert $convert s, eval and verify $SECONDS s," \
    "$("$rilq" hash $work/model.rilq.$count | head -n 1)"
done

# An error that every rank comes to is told once, with its exit code.
code=0
ranks 2 eval $work/missing --text $model/evaluation.txt >$work/error.txt 2>&1 || code=$?
[ "$code:$(wc -l <$work/error.txt)" = 4:1 ] || fail "a missing input: exit code $code, $(cat $work/error.txt)"

# Kills a random rank at a random moment of a resumable run, and runs it again.
begin=$(date +%s%N)
ranks 2 convert $work/recipe.yaml --quiet --force --json --resume >$work/convert.json.2
milliseconds=$((($(date +%s%N) - begin) / 1000000))
rm $work/model.rilq
killed=0 stuck=0
while [ $killed -lt 10 ]; do
  SECONDS=0
  ranks 2 convert $work/recipe.yaml --quiet --resume >$work/killed.txt 2>&1 &
  job=$!
  moment=$((RANDOM % milliseconds))
  sleep $((moment / 1000)).$(printf %03d $((moment % 1000)))
  mapfile -t limits < <(children timeout "$job")
  mapfile -t launchers < <(children mpirun "${limits[@]}")
  mapfile -t processes < <(children rilq "${launchers[@]}")
  rank=$((RANDOM % 2))
  [ ${#processes[@]} -lt 2 ] || kill -9 "${processes[$rank]}" 2>/dev/null || true
  code=0
  wait $job || code=$?
  if [ $code = 0 ]; then
    cmp -s $work/model.rilq $work/model.rilq.1 || fail "a run that ended before it was killed wrote other bytes"
    rm $work/model.rilq
    continue
  fi
  if [ $SECONDS -ge $limit ]; then
    stuck=$((stuck + 1))
    echo "mpirun did not end after one of its ranks was killed at $moment ms; this kill does not count" >&2
    [ $stuck -lt 3 ] && continue
    fail "mpirun did not end three times"
    break
  fi
  killed=$((killed + 1))
  [ ! -e $work/model.rilq ] || fail "a killed run has left an output"
  ranks 2 convert $work/recipe.yaml --quiet --resume --json >$work/resumed.json
  resumed=$(grep -c '"resumed": true' $work/resumed.json || true)
  cmp -s $work/model.rilq $work/model.rilq.1 || fail "a resumed run wrote other bytes"
  echo "killed $killed: one of 2 ranks after $moment ms, exit code $code, $resumed steps resumed, state of update" \
    "$(sed -n 's/.*"resumed_at_update": \([0-9]*\).*/\1/p' $work/resumed.json | head -n 1)"
  rm $work/model.rilq
done
left=$(find $work -name '.*.partial*')
[ -z "$left" ] || fail "work folders are left: $left"

[ $failures = 0 ] || exit 1
echo "mpi.sh: every file is that of one process"
