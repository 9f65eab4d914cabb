// core/stages.h - the stage table: the one list of stages, in the order of the specification.
//
// Pure data. What a stage does is stage/<name>.c; who runs it is the `host` column.
#ifndef GT_CORE_STAGES_H
#define GT_CORE_STAGES_H

#include "base/status.h"

enum gt_stage_id {
	GT_SETUP,
	GT_IMPORT_MODEL,
	GT_PREPROCESSING,
	GT_COMPILATION,
	GT_CONSTRUCT_INPUTS,
	GT_NATIVE_INFERENCE,
	GT_COMPILED_INFERENCE,
	GT_POSTPROCESSING,
	GT_COMPARISON,
	GT_STAGE_COUNT
};

// A host has loaded exactly one engine; its forked jobs serve the stages that need it.
enum gt_host_kind {
	GT_HOST_PLAIN,     // no engine
	GT_HOST_FRONTEND,  // Python: onnx, torch-mlir's importer, test classes
	GT_HOST_COMPILER,  // libIREECompiler
	GT_HOST_REFERENCE, // ONNX Runtime
	GT_HOST_RUNTIME,   // the IREE runtime
	GT_HOST_COUNT
};

struct gt_stage_row {
	const char *name;       // name of the file, of the flag, of the log
	const char *failed;     // exit status of a test that stopped here
	enum gt_host_kind host; // that serves it for a built-in case
	bool hook;              // a Python test class serves it itself, in its instance process
	int timeout_s;          // default limit of wall time
	const char *reads;      // what must be there before, space-separated; "*" stands for numbers
	const char *writes;     // what is there after
};

// The row of a stage. `id` must be valid.
const struct gt_stage_row *gt_stage(enum gt_stage_id id);

// By name; GT_STAGE_COUNT if there is none.
enum gt_stage_id gt_stage_parse(const char *name);

const char *gt_host_name(enum gt_host_kind kind); // "plain", "frontend", ...
enum gt_host_kind gt_host_parse(const char *name); // GT_HOST_COUNT if there is none

#endif // GT_CORE_STAGES_H
