#!/usr/bin/env bash
# A sweep on Ray's workers of this machine: the same tables as without Ray, and a killed worker.
# In the folder of an installed checkout, with the extra `ray`: tests/clusters/ray.sh PYTHON
set -euo pipefail
python=$(realpath -s "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
words=(+problem=quadratic,cliff optimizer=sgd,adam,newton trials=2 seeds=2 tuning_seeds=1 budget=20)
"$python" -m benchmarks "${words[@]}" out=plain cells=a hydra/launcher=basic >/dev/null
"$python" -m benchmarks "${words[@]}" out=there cells=b hydra/launcher=ray hydra.launcher.n_jobs=2 >/dev/null
cmp plain/traces.parquet there/traces.parquet
"$python" - <<'CODE'
import pandas
for name in ("runs.csv", "summary.csv"):
    one, other = (pandas.read_csv(f"{each}/{name}").drop(columns="seconds", errors="ignore") for each in ("plain", "there"))
    pandas.testing.assert_frame_equal(one, other, check_exact=True)
print("the same tables")
CODE
"$python" -m benchmarks +problem=cliff optimizer=sgd,adam,newton out=killed cells=c hydra/launcher=ray hydra.launcher.n_jobs=2 &
sweep=$!
until ls killed/.cells/beats/0 2>/dev/null; do sleep 0.2; done
pkill -KILL -f 'ray::_run' || true
wait $sweep
echo "a killed worker cost no cell"
