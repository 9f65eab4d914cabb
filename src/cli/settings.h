// cli/settings.h - from the flags of `run` to a plan: what a run does, apart from which tests.
#ifndef GT_CLI_SETTINGS_H
#define GT_CLI_SETTINGS_H

#include "cli/arguments.h"
#include "core/options.h"
#include "run/plan.h"

#define GT_SETTINGS_ROWS \
	{0, NULL, GT_ARG_HEADING, NULL, "what is done with them"}, \
	{'m', "mode", GT_ARG_VALUE, "MODE", "onnx-iree: in process through the libraries' C APIs"}, \
	{'b', "backend", GT_ARG_VALUE, "BACKEND", \
	 "IREE target backend: llvm-cpu (default), vmvx, vulkan-spirv, cuda, rocm, metal-spirv"}, \
	{'d', "device", GT_ARG_VALUE, "DEVICE", \
	 "IREE device: local-task (default), local-sync, vulkan, or one that doctor names"}, \
	{'a', "iree-compile-args", GT_ARG_LIST, "ARG", \
	 "flags of iree-compile; '--' is put in front unless it is there " \
	 "(-a=--flag passes one that begins with it)"}, \
	{0, "torchtolinalg", GT_ARG_FLAG, NULL, \
	 "lower from torch to linalg in preprocessing, before compilation"}, \
	{0, "stages", GT_ARG_LIST, "STAGE", \
	 "only these stages; what they read must be there from an earlier run"}, \
	{0, "skip-stages", GT_ARG_LIST, "STAGE", "all stages but these"}, \
	{0, "load-inputs", GT_ARG_FLAG, NULL, "keep the input files that an earlier run left"}, \
	{0, "dim", GT_ARG_VALUE, "NAME=N", \
	 "size of a dynamic dimension of generated inputs, by its name or as INPUT[AXIS]; a test " \
	 "that lacks the dimension notes it as unused. May be repeated"}, \
	{0, "seed", GT_ARG_VALUE, "N", "seed of generated inputs (default 0)"}, \
	{0, "reference", GT_ARG_VALUE, "ort|stored", \
	 "where golden outputs come from; default: stored ones where there are, else ONNX Runtime"}, \
	{0, "tolerance", GT_ARG_LIST, "ATOL RTOL", \
	 "absolute and relative tolerance, also for integers (default: 1e-3 each, integers exact)"}, \
	{0, "nan", GT_ARG_VALUE, "equal|fail", \
	 "does NaN equal NaN at the same place (default: equal)"}, \
	{0, "timeout", GT_ARG_VALUE, "[STAGE=]TIME", \
	 "limit of wall time of a stage, or of every stage: 30, 500ms, 5m. May be repeated"}, \
	{0, "retries", GT_ARG_VALUE, "[CLASS=]N", \
	 "try a failed stage again up to N times; classes: error, crash, timeout, memory, protocol, " \
	 "killed, host, leaked (default: 1 for killed, host and timeout, the latter alone on the " \
	 "machine). May be repeated"}, \
	{0, "memory", GT_ARG_VALUE, "SIZE", \
	 "limit of the private memory of a stage's processes: 512M, 4G (default: none)"}, \
	{0, "leak", GT_ARG_VALUE, "report|fail", \
	 "a stage that leaves processes behind: they are killed and named (report, the default), or it " \
	 "fails too"}

// Fill options and plan (which borrows the options). GT_BAD_USAGE says which flag and why.
GT_MUST_USE gt_code gt_settings_make(const struct gt_args *args, struct gt_options *options,
                                     struct gt_plan *plan, struct gt_err *err);

#endif // GT_CLI_SETTINGS_H
