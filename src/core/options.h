// core/options.h - what a stage may know of the command line. Part of every request and record.
#ifndef GT_CORE_OPTIONS_H
#define GT_CORE_OPTIONS_H

#include "base/file.h"
#include "base/json.h"
#include "tensor/compare.h"

// Owns everything. gt_options_init() sets the defaults.
struct gt_options {
	char *mode;    // "onnx-iree"
	char *device;  // "local-task", "local-sync", "vulkan"
	char *backend; // "llvm-cpu", ...
	struct gt_names compile_args; // flags of iree-compile, each with its "--"
	bool torch_to_linalg;
	bool load_inputs;      // construct_inputs keeps the input files an earlier run left
	bool stored_reference; // --reference=stored: golden outputs must come from the suite
	bool ort_reference;    // --reference=ort: ONNX Runtime even where outputs are stored
	struct gt_tolerance tolerance;
	uint64_t seed;         // of generated inputs; 0 by default
	json_t *dims;          // object: name of a dynamic dimension -> size
};

void gt_options_init(struct gt_options *o);
void gt_options_free(struct gt_options *o);

json_t *gt_options_to_json(const struct gt_options *o);
GT_MUST_USE gt_code gt_options_from_json(const json_t *json, struct gt_options *out,
                                         struct gt_err *err);

// The whole vector of flags a compilation is run with, in order: backend, target, f64 policy, then
// the user's, which win. Names are appended to `flags`.
void gt_options_compile_flags(const struct gt_options *o, struct gt_names *flags);

#endif // GT_CORE_OPTIONS_H
