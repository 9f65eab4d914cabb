# The short way in. CMakeLists.txt has the build itself, tools/setup what has to be there before.
#
#     make              build/gauntlet
#     make run          ... and run it; ARGS has more arguments of `gauntlet run`
#     make test         ... and run all tests of this project
#     make asan         the same tests in build-asan, with address and undefined sanitizers
#     make bench        ... and measure what Gauntlet itself costs, on the optimised build; ARGS has
#                       arguments of tests/bench/bench.py
#     make chaos        1,000 rounds of random kills: nothing may live on, no verdict may change
#     make clean        remove both builds; .deps stays
#
# WERROR=1 makes warnings errors. JOBS limits how many compilers run at once.

BIN := .deps/venv/bin
NINJA := ninja --quiet $(if $(JOBS),-j $(JOBS))
CTEST := $(BIN)/ctest --output-on-failure

# Else ONNX Runtime starts a thread and writes to the home folder.
export ORT_DISABLE_TELEMETRY := 1

.PHONY: all setup run test asan bench chaos clean always

all: setup build/build.ninja
	@$(NINJA) -C build

setup:
	@tools/setup

# Asked for anew when WERROR is given, for the folder may have been configured without.
build/build.ninja build-asan/build.ninja: CMakePresets.json $(if $(WERROR),always) | setup
	@$(BIN)/cmake --preset $(if $(findstring asan,$@),asan,dev) --log-level=WARNING \
		$(if $(WERROR),-D GAUNTLET_WERROR=ON)

run: all
	@build/gauntlet run -r test-run $(ARGS)

test: all
	@$(CTEST) --test-dir build

asan: setup build-asan/build.ninja
	@$(NINJA) -C build-asan
	@$(CTEST) --test-dir build-asan

bench: all
	@$(BIN)/python -B tests/bench/bench.py $(ARGS)

chaos: all
	@GAUNTLET_CHAOS_ROUNDS=$${GAUNTLET_CHAOS_ROUNDS:-1000} $(BIN)/python -B tests/run/test_chaos.py

clean:
	rm -rf build build-asan
