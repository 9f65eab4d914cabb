// engine/engine.h - what a stage asks of an outside library. One file per library implements it.
//
// An engine lives in one host process. load() runs once in the host and should leave the process
// with one thread, for a process with more cannot be forked: each job then loads the engine itself.
// Everything else runs in forked jobs, at most once per process. An engine never
// forks or installs handlers; what a library prints goes to stderr, which the job captures.
#ifndef GT_ENGINE_ENGINE_H
#define GT_ENGINE_ENGINE_H

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "engine/toolchain.h"
#include "tensor/values.h"

// Compiles and transforms MLIR. In one process either compile is called, once, or transform, any
// number of times.
struct gt_compiler_ops {
	// Compile MLIR text (NUL-terminated; `length` without the NUL) with iree-compile's flags and
	// write the module to `out_path` in one step. Diagnostics go to stderr; the first error is
	// the sentence in `err` (GT_ENGINE).
	gt_code (*compile)(const char *name, const char *mlir, size_t length,
	                   const struct gt_names *flags, const char *out_path, struct gt_err *err);
	// Run one pass pipeline (inner text, anchored on the module) and append the text to `out`.
	gt_code (*transform)(const char *name, const char *mlir, size_t length, const char *pipeline,
	                     struct gt_buf *out, struct gt_err *err);
	// Parse the flags and nothing else. A bad flag may end the process with exit(1).
	gt_code (*check_flags)(const struct gt_names *flags, struct gt_err *err);
};

// Runs a model: ONNX Runtime on .onnx, the IREE runtime on .vmfb.
struct gt_runner_ops {
	// Load `path` once for this process. `function` and `device` are for compiled modules
	// (`function` "" means the only public one); ONNX Runtime ignores both.
	gt_code (*open)(const char *path, const char *function, const char *device,
	                struct gt_err *err);
	// One call: inputs by position, outputs appended with true types and shapes and, where the
	// library knows them, names. May be called several times after open().
	gt_code (*call)(const struct gt_values *inputs, struct gt_values *outputs, struct gt_err *err);
};

struct gt_engine {
	const char *name; // "iree-compiler", "onnxruntime", "iree-runtime"
	// Load the library found by `tools`; on success *identity is a new JSON object
	// {"name", "version", "build", "path"}.
	gt_code (*load)(const struct gt_toolchain *tools, json_t **identity, struct gt_err *err);
	const struct gt_compiler_ops *compiler; // NULL if it is none
	const struct gt_runner_ops *runner;     // NULL if it is none
	// Append one line of text per device this engine offers (for doctor); NULL: has none.
	gt_code (*devices)(struct gt_names *lines, struct gt_err *err);
};

extern const struct gt_engine gt_iree_compiler; // engine/iree_compiler.c
extern const struct gt_engine gt_iree_runtime;  // engine/iree_runtime.c
extern const struct gt_engine gt_onnxruntime;   // engine/onnxruntime.c

#endif // GT_ENGINE_ENGINE_H
