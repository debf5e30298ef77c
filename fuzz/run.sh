#!/usr/bin/env bash
# Runs every fuzz target for so many seconds (60 by default) from the seeds in tests/seeds, and fails on any finding.
# Needs `cargo install cargo-fuzz` and a C++ compiler; stable Rust is enough, because no sanitizer is used: the crate has
# no unsafe code. What is found lies in fuzz/artifacts/<target>/: minimise it and add it to tests/seeds/<target>/.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds="${1:-60}"
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(basename -s .rs fuzz/fuzz_targets/*.rs)

cargo fuzz build -s none
failed=0
for target in "${targets[@]}"; do
  mkdir -p "fuzz/corpus/$target"
  printf '\n== %s\n' "$target"
  cargo fuzz run -s none "$target" "fuzz/corpus/$target" "tests/seeds/$target" -- \
    -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 2>&1 |
    grep -E '^(==|SUMMARY|stat::|Done|thread|artifact|Test unit|#[0-9]+.DONE)|panicked|canary|not JSON' || true
  [ "${PIPESTATUS[0]}" -eq 0 ] || failed=1
done
exit "$failed"
