// engine/toolchain.h - where the outside tools are, found without running any of them.
//
// Order: environment variable, then the project's own virtual environment (its path is built in).
// GAUNTLET_PYTHON (an interpreter with the wheels), GAUNTLET_IREE_COMPILER and
// GAUNTLET_ONNXRUNTIME (shared libraries), GAUNTLET_ONNX (folder of the onnx package),
// GAUNTLET_FRONTEND (folder of our Python package), GAUNTLET_WORKER (shared library, else the one
// beside this program). GAUNTLET_DEPS names another folder that holds the virtual environment.
#ifndef GT_ENGINE_TOOLCHAIN_H
#define GT_ENGINE_TOOLCHAIN_H

#include "base/json.h"

// Owns everything; a member is NULL when the thing was not found. Versions come from the wheels'
// *.dist-info folder names, "" if there is none.
struct gt_toolchain {
	char *python;            // interpreter
	char *site_packages;
	char *compiler_library;  // libIREECompiler.so
	char *compiler_version;
	char *onnxruntime_library;
	char *onnxruntime_version;
	char *onnx_folder;       // of the onnx package
	char *onnx_version;
	char *frontend_folder;   // that holds our Python package `gauntlet`
	char *worker_library;    // libgauntlet_worker.so, which the Python frontend loads
};

void gt_toolchain_find(struct gt_toolchain *out);
void gt_toolchain_free(struct gt_toolchain *t);

// What this program is itself: {"name": `name`, "version", "build", "path"}, as engines tell of theirs. The
// build is the linker's build-id: another program has another one. New.
json_t *gt_toolchain_self(const char *name, const char *version);

enum gt_tool {
	GT_TOOL_PYTHON,
	GT_TOOL_COMPILER,
	GT_TOOL_ONNXRUNTIME,
	GT_TOOL_ONNX,
	GT_TOOL_FRONTEND,
	GT_TOOL_WORKER,
	GT_TOOL_COUNT,
};

// Was it found, and can it be used where it is? What is not so is one sentence that says what to do: a
// missing tool, and a compiler in a folder that IREE's unquoted link command cannot stand.
GT_MUST_USE gt_code gt_toolchain_check_tool(const struct gt_toolchain *t, enum gt_tool tool,
                                            struct gt_err *err);

// What every run needs: all of them.
GT_MUST_USE gt_code gt_toolchain_check(const struct gt_toolchain *t, struct gt_err *err);

// The environment variable that is set and decides where the tool is looked for; NULL: none.
const char *gt_toolchain_variable(enum gt_tool tool);

#endif // GT_ENGINE_TOOLCHAIN_H
