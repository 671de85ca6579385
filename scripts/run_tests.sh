# What scripts that run tests share; they source it from the project's root.
# shellcheck shell=bash

# Full disks of a size that the program just fills: that of the product, not of the tests' variant that the sanitizers have.
just_full='RealDiskProgramTest\.(An|AFull|What|Creation|AFileSystemTooSmall)'

# How long somebody waits says nothing about the product where everything takes ten times as long.
timed='stress_.*Progress'

# Whoever is about to be killed by his test must not go on after a report, or nobody hears of it.
export TSAN_OPTIONS=${TSAN_OPTIONS-halt_on_error=1:second_deadlock_stack=1}

# run_tests PRESET TARGET [CTEST OPTION…]
run_tests() {
  local preset=$1 target=$2
  shift 2
  echo "== $preset"
  cmake --preset "$preset" -D VG_UNITY=ON >/dev/null
  cmake --build --preset "$preset" --target "$target"
  # Many tests wait for the disk rather than for a processor.
  ctest --test-dir "build/$preset" -j "$((2 * $(nproc)))" --output-on-failure --no-tests=error --progress "$@"
}
