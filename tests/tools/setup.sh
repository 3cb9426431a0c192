# shellcheck shell=bash
# What the stages need on the machine (apt) and in their virtual environment (pip). Sourced by tests/run.sh.

set_up_machine() {
  local missing=()
  command -v "${PYTHON:-python3}" >/dev/null || missing+=(python3 python3-venv python3-dev)
  command -v g++ >/dev/null || missing+=(g++)
  command -v git >/dev/null || missing+=(git)
  [[ -f /usr/include/doctest/doctest.h ]] || missing+=(doctest-dev)
  [[ $(uname -m) != x86_64 ]] || command -v qemu-x86_64 >/dev/null || missing+=(qemu-user)
  command -v curl >/dev/null || missing+=(curl)
  command -v wrk >/dev/null || missing+=(wrk)
  if [[ ${#missing[@]} -eq 0 ]]; then install_python_headers; return; fi
  apt_install "${missing[@]}"
  install_python_headers
}

install_python_headers() { # Debian ships venv and the headers apart from the interpreter
  local missing=()
  "${PYTHON:-python3}" -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
  "${PYTHON:-python3}" -c 'import pathlib, sysconfig, sys
sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").exists())' || missing+=(python3-dev)
  [[ ${#missing[@]} -eq 0 ]] || apt_install "${missing[@]}"
}

apt_install() {
  local sudo=()
  [[ $(id -u) -eq 0 ]] || sudo=(sudo)
  if ! command -v apt-get >/dev/null; then
    echo "please install these first (there is no apt-get here): $*" >&2
    return 1
  fi
  echo "==> apt-get install $*"
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

set_up_venv() { # made anew when the interpreter or a requirement changes
  local python=${PYTHON:-python3} key
  "$python" -c 'import sys; assert sys.version_info >= (3, 10), "penchant needs Python >= 3.10, this is " + sys.version'
  key=$({ "$python" -VV; "$python" -c 'import sys; print(sys.base_prefix)'; echo "$VENV"; cat tests/requirements*.txt pyproject.toml; } | sha256sum)
  if [[ $(cat "$VENV/requirements.key" 2>/dev/null) != "$key" ]]; then
    echo "==> virtual environment $VENV ($("$python" --version))"
    rm -rf "$VENV"
    "$python" -m venv "$VENV"
    "$VENV/bin/python" tests/tools/dependencies.py pyproject.toml >"$CACHE/dependencies.txt"
    pip_install "$VENV" -r tests/requirements.txt -r tests/requirements-libraries.txt -r "$CACHE/dependencies.txt"
    echo "$key" >"$VENV/requirements.key"
  fi
  export PATH=$VENV/bin:$PATH
  unset PYTHONPATH PYTHONHOME PENCHANT_ISA
}

pip_install() { # pip_install ENVIRONMENT ARGUMENTS...; pip itself would compile to bytecode on one core only
  "$1/bin/pip" install -q --no-compile "${@:2}"
  "$1/bin/python" -W ignore -m compileall -qq -j 0 "$1/lib" || true # test files of some libraries are no valid Python
}
