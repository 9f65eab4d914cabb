#include "core/stages.h"

#include <string.h>

// The order is the specification's. Limits are generous: they end hangs, they do not judge speed.
static const struct gt_stage_row stages[GT_STAGE_COUNT] = {
	[GT_SETUP] = {
		.name = "setup", .failed = "setup", .host = GT_HOST_PLAIN, .hook = true,
		.timeout_s = 120,
		.reads = "", .writes = "model.onnx"},
	[GT_IMPORT_MODEL] = {
		.name = "import_model", .failed = "import_model", .host = GT_HOST_FRONTEND,
		.timeout_s = 300,
		.reads = "model.onnx", .writes = "model.torch_onnx.mlir import.json"},
	[GT_PREPROCESSING] = {
		.name = "preprocessing", .failed = "preprocessing", .host = GT_HOST_COMPILER,
		.timeout_s = 300,
		.reads = "model.torch_onnx.mlir", .writes = "model.torch.mlir model.modified.mlir"},
	[GT_COMPILATION] = {
		.name = "compilation", .failed = "compilation", .host = GT_HOST_COMPILER,
		.timeout_s = 600,
		.reads = "model.torch_onnx.mlir", .writes = "compiled_model.vmfb"},
	[GT_CONSTRUCT_INPUTS] = {
		.name = "construct_inputs", .failed = "construct_inputs", .host = GT_HOST_PLAIN,
		.hook = true, .timeout_s = 120,
		.reads = "model.onnx", .writes = "input.json input.*.bin"},
	[GT_NATIVE_INFERENCE] = {
		.name = "native_inference", .failed = "native_inference", .host = GT_HOST_REFERENCE,
		.hook = true, .timeout_s = 300,
		.reads = "model.onnx input.json", .writes = "golden_output.json golden_output.*.bin"},
	[GT_COMPILED_INFERENCE] = {
		.name = "compiled_inference", .failed = "compiled_inference", .host = GT_HOST_RUNTIME,
		.timeout_s = 120,
		.reads = "compiled_model.vmfb import.json input.json",
		.writes = "output.json output.*.bin"},
	[GT_POSTPROCESSING] = {
		.name = "postprocessing", .failed = "postprocessing", .host = GT_HOST_PLAIN,
		.hook = true, .timeout_s = 120,
		.reads = "golden_output.json output.json", .writes = "processed/*"},
	[GT_COMPARISON] = {
		.name = "comparison", .failed = "results-summary", .host = GT_HOST_PLAIN,
		.timeout_s = 120,
		.reads = "golden_output.json output.json",
		.writes = "comparison.json inference_comparison.log"},
};

static const char *const host_names[GT_HOST_COUNT] = {
	[GT_HOST_PLAIN] = "plain",
	[GT_HOST_FRONTEND] = "frontend",
	[GT_HOST_COMPILER] = "compiler",
	[GT_HOST_REFERENCE] = "reference",
	[GT_HOST_RUNTIME] = "runtime",
};

const struct gt_stage_row *gt_stage(enum gt_stage_id id)
{
	return &stages[id];
}

enum gt_stage_id gt_stage_parse(const char *name)
{
	enum gt_stage_id id = 0;
	while (id < GT_STAGE_COUNT && strcmp(stages[id].name, name) != 0)
		id++;
	return id;
}

const char *gt_host_name(enum gt_host_kind kind)
{
	return host_names[kind];
}

enum gt_host_kind gt_host_parse(const char *name)
{
	enum gt_host_kind kind = 0;
	while (kind < GT_HOST_COUNT && strcmp(host_names[kind], name) != 0)
		kind++;
	return kind;
}
