#!/usr/bin/env bash
# A compiler launcher of CMake's: copies an object that this compiler made before from the same text with the same
# options. The stages compile the core several times, in folders of several names; ccache would look at the paths of
# headers too, and those in pip's build environments are never the same twice.
set -euo pipefail
store=$(dirname "$0")/../../.cache/objects
command=("$@")
preprocess=("$1" -E -P)
options=()
source='' object=''
shift
while (($#)); do
  case $1 in
    -o) object=$2; shift ;;
    -c) source=$2; shift ;;
    # Where headers lie, and what ninja is told of them: the text shows which were found.
    -isystem | -include | -MT | -MF) preprocess+=("$1" "$2"); shift ;;
    -I* | -MD) preprocess+=("$1") ;;
    *) preprocess+=("$1"); options+=("$1") ;;
  esac
  shift
done
case "$object ${options[*]}" in
  # Precompiled headers, debug information (it holds paths), CMake's probes (it reads what the compiler says), and the
  # tests, which are compiled only once.
  *.gch\ * | *\ -g* | *cmTC_* | *penchant_tests*) exec "${command[@]}" ;;
esac
# g++ and c++ are one compiler, and messages of pybind11 name its headers, whose folder is another in each build.
key=$({
  "${command[0]}" --version | sed '1s/^[^ ]* //'
  echo "${options[@]}"
  "${preprocess[@]}" "$source" | sed 's,"[^"]*/site-packages/,",g'
} | sha256sum) || exec "${command[@]}"
kept=$store/${key%% *}.o
if cp "$kept" "$object" 2>/dev/null; then
  touch "$kept"
else
  "${command[@]}"
  mkdir -p "$store"
  cp "$object" "$kept.$$"
  mv "$kept.$$" "$kept"
fi
