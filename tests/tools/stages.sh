# shellcheck shell=bash disable=SC2034,SC2153
# The stages of tests/run.sh: one function each, run in a subshell with `set -euo pipefail`.

ORDER=(lint types cpp asan tsan qemu symbols wheel fresh stub suite baseline avx2 avx512 slow oldest)
declare -A STAGES=(
  [lint]="ruff, clang-format, import-linter, shell syntax"
  [types]="mypy --strict"
  [cpp]="C++ unit tests, on every instruction set this machine has"
  [asan]="C++ unit tests under AddressSanitizer and UndefinedBehaviorSanitizer"
  [tsan]="C++ unit tests under ThreadSanitizer"
  [qemu]="C++ unit tests on an emulated CPU without AVX"
  [symbols]="no AVX code outside the files compiled for AVX"
  [wheel]="sdist and wheel built, repaired and weighed"
  [fresh]="wheel and editable install work in an empty environment elsewhere"
  [stub]="python/penchant/_core.pyi is what pybind11-stubgen makes"
  [suite]="pytest with doctests on the installed wheel"
  [baseline]="pytest of bindings and retrieval with PENCHANT_ISA=baseline; the stage oldest runs all of it so"
  [avx2]="pytest with PENCHANT_ISA=avx2"
  [avx512]="pytest with PENCHANT_ISA=avx512"
  [slow]="tests marked slow, the notebooks among them"
  [oldest]="pytest on the oldest CPU, dependencies and Python allowed (3.10, if there is one)"
)
NEED_WHEEL="fresh stub suite baseline avx2 avx512 slow oldest"
MAX_WHEEL_BYTES=6000000

stage_lint() {
  local failures=() scripts=(.ci/run tests/run.sh tests/tools/*.sh)
  ruff check . || failures+=("ruff check")
  ruff format --check . || failures+=("ruff format")
  git ls-files -z -- '*.cpp' '*.hpp' '*.inl' | xargs -0 clang-format --dry-run -Werror --ferror-limit=1 || failures+=(clang-format)
  PYTHONPATH=python lint-imports || failures+=(lint-imports)
  bash -n "${scripts[@]}" || failures+=("bash -n")
  if command -v shellcheck >/dev/null; then shellcheck -x "${scripts[@]}" || failures+=(shellcheck); fi
  echo "${#failures[@]} of 6 checks failed: ${failures[*]:-none}"
  [[ ${#failures[@]} -eq 0 ]]
}

stage_types() {
  if ! python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "the newest NumPy for Python 3.10 has type stubs of old; the code is checked against today's"
    return "$SKIP"
  fi
  mypy --strict python/penchant
}

# --- C++ -------------------------------------------------------------------------------------------------------

build_cpp() { # build_cpp NAME BUILD_TYPE [cmake options]: the core and its tests, without Python
  local build=$CACHE/build-$1 type=$2
  shift 2
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE="$type" -DPENCHANT_BUILD_TESTS=ON \
    -DPENCHANT_BUILD_PYTHON=OFF -DCMAKE_PREFIX_PATH="$(eigen_prefix)" "$@"
  cmake --build "$build"
}

eigen_prefix() { python -c 'import sysconfig; print(sysconfig.get_path("purelib") + "/cmeel.prefix")'; }

isas() { # the instruction sets that this machine can run
  echo baseline
  if has_flags avx2 fma; then echo avx2; fi
  if has_flags avx512f avx512bw avx512cd avx512dq avx512vl avx512_vnni; then echo avx512; fi
}

runs_avx512() { isas | grep -c avx512 || true; } # 1 or 0: sanitizers check what runs, and these kernels compile for long

has_flags() {
  local flag
  for flag in "$@"; do grep -qw -m 1 "$flag" /proc/cpuinfo || return 1; done
}

# Each case in a process of its own, one for each core at a time: few cases keep more than one busy.
run_cpp_tests() { # run_cpp_tests COMMAND...: the test program, behind what runs it, before options that choose cases
  local cases
  cases=$("$@" --count | sed -n 's/.*current filters: //p')
  ((cases > 0))
  export -f run_cpp_case
  seq "$cases" | OMP_WAIT_POLICY=passive xargs -P "$(nproc)" -I{} bash -euc 'run_cpp_case "$@"' run_cpp_case {} "$@"
  echo "$cases test cases passed"
}

run_cpp_case() { # run_cpp_case NUMBER COMMAND...: a line with its time if it ran and passed, else all that it says
  local said
  said=$("${@:2}" --first="$1" --last="$1" --minimal --duration 2>&1) || { echo "$said"; return 1; }
  grep '^[0-9.]* s: ' <<<"$said"
}

stage_cpp() {
  build_cpp plain Release
  for isa in $(isas); do
    echo "PENCHANT_ISA=$isa"
    PENCHANT_ISA=$isa run_cpp_tests "$CACHE/build-plain/penchant_tests"
  done
}

stage_asan() {
  build_cpp asan RelWithDebInfo -DPENCHANT_SANITIZE=address -DPENCHANT_AVX512="$(runs_avx512)"
  ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 run_cpp_tests "$CACHE/build-asan/penchant_tests"
}

stage_tsan() { # libgomp's barriers look like races to TSan: the std::thread backend runs the same loops
  build_cpp tsan RelWithDebInfo -DPENCHANT_SANITIZE=thread -DPENCHANT_PARALLEL=threads -DPENCHANT_AVX512="$(runs_avx512)"
  local fixed_addresses=()
  # Older TSan runtimes cannot place their shadow memory when the kernel randomizes addresses with 32 bits.
  if setarch -R true 2>/dev/null; then fixed_addresses=(setarch -R); fi
  TSAN_OPTIONS=halt_on_error=1 run_cpp_tests "${fixed_addresses[@]}" "$CACHE/build-tsan/penchant_tests"
}

stage_qemu() {
  [[ $(uname -m) == x86_64 ]] || { echo "this machine is no x86-64"; return "$SKIP"; }
  build_cpp plain Release
  # Emulated threads take minutes to show what the other stages show: bits that do not depend on them.
  run_cpp_tests qemu-x86_64 -cpu Nehalem "$CACHE/build-plain/penchant_tests" --test-case-exclude='*number of threads*'
}

stage_symbols() {
  [[ $(uname -m) == x86_64 ]] || { echo "this machine is no x86-64"; return "$SKIP"; }
  build_cpp plain Release
  python tests/tools/check_isa_symbols.py "$CACHE/build-plain"
}

# --- packages --------------------------------------------------------------------------------------------------

stage_wheel() {
  local wheel bytes
  rm -rf "$CACHE/dist"
  PIP_CONSTRAINT=$ROOT/tests/requirements.txt python -m build --outdir "$CACHE/dist/raw"
  auditwheel repair --wheel-dir "$CACHE/dist" "$CACHE"/dist/raw/*.whl
  auditwheel show "$CACHE"/dist/*.whl
  wheel=$(echo "$CACHE"/dist/*.whl)
  pip install -q --force-reinstall --no-deps "$wheel"
  bytes=$(stat -c %s "$wheel")
  echo "$(basename "$wheel"): $bytes bytes, $MAX_WHEEL_BYTES allowed"
  ((bytes <= MAX_WHEEL_BYTES))
}

stage_fresh() {
  away=$(mktemp -d) # not local: the trap runs after the function
  trap 'rm -rf "$away"' EXIT
  cp tests/tools/smoke.py "$away"
  "$VENV/bin/python" -m venv "$away/venv"
  python=$away/venv/bin/python
  "$python" -m pip install -q "$CACHE"/dist/*.whl
  (cd "$away" && env -i PATH=/usr/bin:/bin HOME="$away" "$python" smoke.py)
  "$python" -m pip uninstall -q -y penchant
  "$python" -m pip install -q -e .
  (cd "$away" && env -i PATH=/usr/bin:/bin HOME="$away" "$python" smoke.py)
}

stage_stub() { bash tests/tools/stub.sh --check; }

# --- pytest ----------------------------------------------------------------------------------------------------

# A test that crashes or hangs ends its process, is named with the stacks of all threads, and ends the run: were the
# process replaced, pytest-xdist would wait for ever for what it had still to do.
FAULTS=(-o faulthandler_timeout=900 -o faulthandler_exit_on_timeout=true --max-worker-restart=0)

# A process for each core, which takes whole files: their fixtures train models. The processes share the
# cores, so threads that wait for work sleep instead of spinning.
run_pytest() { OMP_WAIT_POLICY=passive python -m pytest -q "${FAULTS[@]}" -n "$(nproc)" --dist loadfile "$@"; }

# What calls the kernels; files, processes and protocols are the same on any instruction set.
KERNEL_TESTS=(tests/test_core_checks*.py tests/evaluation tests/models tests/retrieval)

stage_suite() { run_pytest -m "not slow" --doctest-modules --pyargs penchant tests; }
stage_slow() { run_pytest -n 1 -m slow tests; } # some use all cores themselves
stage_baseline() { suite_on baseline tests/test_core_checks*.py tests/retrieval; }
stage_avx2() { suite_on avx2 "${KERNEL_TESTS[@]}"; }
stage_avx512() { suite_on avx512 "${KERNEL_TESTS[@]}"; }

suite_on() { # suite_on ISA TESTS...
  if [[ " $(isas | xargs) " != *" $1 "* ]]; then
    echo "this CPU has no $1"
    return "$SKIP"
  fi
  if [[ -f $LOGS/suite.log && $(picked_isa) == "$1" ]]; then
    echo "the stage 'suite' ran on $1: this CPU's default"
    return "$SKIP"
  fi
  export PENCHANT_ISA=$1
  [[ $(picked_isa) == "$1" ]]
  run_pytest -m "not slow" "${@:2}"
}

picked_isa() { python -c 'from penchant import _core; print(_core.isa())'; }

stage_oldest() {
  local python venv=$CACHE/venv-oldest key
  python=$(oldest_python)
  "$python" tests/tools/dependencies.py --oldest pyproject.toml >"$CACHE/oldest.txt"
  key=$({ "$python" -VV; cat "$CACHE/oldest.txt" tests/requirements-libraries.txt; } | sha256sum)
  if [[ $(cat "$venv/requirements.key" 2>/dev/null) != "$key" ]]; then
    rm -rf "$venv"
    "$python" -m venv "$venv"
    pip_install "$venv" -r "$CACHE/oldest.txt" -r tests/requirements-libraries.txt "httpx<0.28"
    echo "$key" >"$venv/requirements.key"
  fi
  "$venv/bin/pip" install -q --force-reinstall --no-deps .
  "$venv/bin/python" --version
  # And the kernels for any CPU: the stages before run those for newer ones.
  export PATH=$venv/bin:$PATH PENCHANT_ISA=baseline
  [[ $(picked_isa) == baseline ]]
  # Old releases warn about what newer ones changed: only failures count here.
  run_pytest -W default -m "not slow" tests
}

oldest_python() { # 3.10 from the PATH or from pyenv, else the one in use
  local candidate
  for candidate in python3.10 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.10.*/bin/python3.10 "$VENV/bin/python"; do
    if "$candidate" -c 'import ensurepip' 2>/dev/null; then command -v "$candidate"; return; fi
  done
}
