#!/usr/bin/env bash
# A sweep on Ray's workers of this machine: the same tables as without Ray, and a killed worker.
# In the folder of an installed checkout, with the extra `ray`: tests/clusters/ray.sh PYTHON
set -euo pipefail
python=$(realpath -s "$1")
source "$(dirname "$0")/same_tables.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
same_tables hydra/launcher=ray hydra.launcher.n_jobs=2
"$python" -m benchmarks +problem=cliff optimizer=sgd,adam,newton out=killed cells=c hydra/launcher=ray hydra.launcher.n_jobs=2 &
sweep=$!
until ls killed/.cells/beats/0 2>/dev/null; do kill -0 $sweep; sleep 0.2; done
killed=
until [[ $killed ]]; do
  for pid in $(pgrep -f '^ray::_run'); do
    if [[ -z $killed && $(readlink "/proc/$pid/cwd") == "$work" ]]; then kill -KILL "$pid" && killed=$pid; fi
  done
  kill -0 $sweep; sleep 0.2
done
wait $sweep
echo "a killed worker cost no cell"
