#!/usr/bin/env bash
# Sets up a test environment and runs every check. One line on a fresh Debian-like machine with Python >= 3.10:
#
#   bash tests/run.sh                 every stage
#   bash tests/run.sh lint suite      these stages only
#   bash tests/run.sh --list          their names and what each does
#
# Everything it makes lies in .cache/ (delete it to start afresh); each stage's output is in .cache/logs/.
# PYTHON=python3.12 picks the interpreter; PENCHANT_DATA=folder lets tests use the real data sets.
set -euo pipefail
cd "$(dirname "$0")/.."
ROOT=$PWD
CACHE=$ROOT/.cache
LOGS=$CACHE/logs
VENV=$CACHE/venv
export ROOT CACHE LOGS VENV
# The core is compiled in several stages: what comes out the same is compiled once.
export CMAKE_CXX_COMPILER_LAUNCHER=$ROOT/tests/tools/compile_once.sh
# shellcheck source=tests/tools/setup.sh
source tests/tools/setup.sh
# shellcheck source=tests/tools/stages.sh
source tests/tools/stages.sh

SKIP=77  # what a stage returns when this machine cannot run it; the last line of its log says why
failed=0
table=()

run_stage() { # in a subshell of its own, so that a failing stage stops there and the next one still runs
  local name=$1 log=$LOGS/$1.log began=$SECONDS rc=0 outcome
  printf '==> %-10s %s\n' "$name" "${STAGES[$name]}"
  set +e
  (set -euo pipefail; "stage_${name//-/_}") >"$log" 2>&1 </dev/null
  rc=$?
  set -e
  case $rc in
    0) outcome=passed ;;
    "$SKIP") outcome=skipped ;;
    *) outcome=FAILED; failed=1; cat "$log" ;;
  esac
  table+=("$(printf '%-10s %-8s %5d s  %s' "$name" "$outcome" $((SECONDS - began)) "$(tail -n 1 "$log" | cut -c 1-120)")")
  printf '    %s\n' "${table[-1]}"
}

choose_stages() { # the stages asked for, in their usual order; those that test the wheel bring its stage along
  local name asked
  [[ $# -gt 0 ]] || set -- "${ORDER[@]}"
  for asked in "$@"; do
    [[ -v STAGES[$asked] ]] || { echo "no stage '$asked'; there are: ${ORDER[*]}" >&2; exit 2; }
    [[ " $NEED_WHEEL " != *" $asked "* ]] || set -- "$@" wheel
  done
  for name in "${ORDER[@]}"; do
    [[ " $* " != *" $name "* ]] || CHOSEN+=("$name")
  done
}

if [[ ${1:-} == --list ]]; then
  for name in "${ORDER[@]}"; do printf '%-10s %s\n' "$name" "${STAGES[$name]}"; done
  exit 0
fi
CHOSEN=()
choose_stages "$@"
mkdir -p "$LOGS" "$CACHE/objects"
find "$CACHE/objects" -type f -mtime +7 -delete  # what compile_once.sh kept and no build asked for in a week
rm -f "$LOGS"/*.log
began=$SECONDS
set_up_machine
set_up_venv
table+=("$(printf '%-10s %-8s %5d s' setup passed $((SECONDS - began)))")
for name in "${CHOSEN[@]}"; do run_stage "$name"; done

printf '\n%-10s %-8s %7s\n' stage outcome took
printf '%s\n' "${table[@]}"
printf '%-10s %-8s %5d s\n\n' total "$( ((failed)) && echo FAILED || echo passed)" "$SECONDS"
# The run closes with the summary line of its main pytest stage, where it was among those asked for.
[[ ! -f $LOGS/suite.log ]] || tail -n 1 "$LOGS/suite.log"
exit "$failed"
