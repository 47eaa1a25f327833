# Sourced: same_tables WORDS… runs a sweep on the launcher that the words name, and compares its tables with those of
# one process.
same_tables() {
  local words=(+problem=quadratic,cliff optimizer=sgd,adam,newton trials=2 seeds=2 tuning_seeds=1 budget=20)
  "$python" -m benchmarks "${words[@]}" out=plain cells=a hydra/launcher=basic >/dev/null
  "$python" -m benchmarks "${words[@]}" out=there cells=b "$@" >/dev/null
  cmp plain/traces.parquet there/traces.parquet
  "$python" - <<'CODE'
import pandas
for name in ("runs.csv", "summary.csv"):
    one, other = (pandas.read_csv(f"{each}/{name}").drop(columns="seconds", errors="ignore") for each in ("plain", "there"))
    pandas.testing.assert_frame_equal(one, other, check_exact=True)
print("the same tables")
CODE
}
