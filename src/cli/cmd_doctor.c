// doctor: what was found of the tools, what is missing, and what to do about it.
#include "cli/cli.h"
#include "cli/selection.h"

#include "base/utf8.h"
#include "core/stages.h"
#include "run/ask.h"
#include "worker/isolation.h"
#include "worker/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_S 60

static const struct gt_arg_row rows[] = {
	{'h', "help", GT_ARG_FLAG, NULL, "print this help"},
};

static const struct gt_arg_command command = {
	.name = "gauntlet doctor",
	.summary = "Says what was found of compiler, runtime, ONNX Runtime, onnx and Python, whether "
	           "they fit each other, which devices there are, and what this machine lets the "
	           "runner promise. Exit code 0 if a run is possible, else 2.",
	.positional = {NULL, NULL, 0, 0},
	.rows = rows,
	.count = GT_COUNTOF(rows),
};

struct findings {
	int problems;
	bool make_helps; // at least against one of them
	bool missing[GT_TOOL_COUNT];
	char *versions[GT_HOST_COUNT];
};

static void line(const char *label, const char *text)
{
	struct gt_buf b = {0};
	gt_buf_printf(&b, "%-12s ", label);
	gt_utf8_line(&b, text);
	puts(gt_buf_text(&b));
	gt_buf_free(&b);
}

// `variable` (may be NULL) has led to what is wrong: nothing that is installed mends that.
static void problem(struct findings *f, const char *label, const char *text, const char *variable)
{
	bool named = !variable || strstr(text, variable);
	char *marked = named ? gt_format("PROBLEM: %s", text)
	                     : gt_format("PROBLEM: %s; %s names it", text, variable);
	line(label, marked);
	free(marked);
	f->problems++;
	f->make_helps = f->make_helps || !variable;
}

static void check_tools(struct findings *f, const struct gt_toolchain *tools)
{
	for (enum gt_tool tool = 0; tool < GT_TOOL_COUNT; tool++) {
		struct gt_err err = {0};
		f->missing[tool] = gt_toolchain_check_tool(tools, tool, &err) != GT_OK;
		if (f->missing[tool])
			problem(f, "tools", err.text, gt_toolchain_variable(tool));
	}
}

// What hosts need of the tools. The plain one and the runtime's need nothing that is not built in.
static const enum gt_tool frontend_tools[] = {GT_TOOL_PYTHON, GT_TOOL_ONNX, GT_TOOL_FRONTEND,
                                              GT_TOOL_WORKER};
static const enum gt_tool compiler_tools[] = {GT_TOOL_COMPILER};
static const enum gt_tool reference_tools[] = {GT_TOOL_ONNXRUNTIME};

static const struct {
	const enum gt_tool *tools;
	size_t count;
} needs[GT_HOST_COUNT] = {
	[GT_HOST_FRONTEND] = {frontend_tools, GT_COUNTOF(frontend_tools)},
	[GT_HOST_COMPILER] = {compiler_tools, GT_COUNTOF(compiler_tools)},
	[GT_HOST_REFERENCE] = {reference_tools, GT_COUNTOF(reference_tools)},
};

// Start the host of an engine: the only proof that a library works is that it loads.
static void check_host(struct findings *f, enum gt_host_kind kind, const char *label,
                       const struct gt_toolchain *tools)
{
	struct gt_err err = {0};
	const char *variable = NULL;
	for (size_t i = 0; i < needs[kind].count; i++) {
		enum gt_tool tool = needs[kind].tools[i];
		if (f->missing[tool])
			return; // that has been said
		variable = variable ? variable : gt_toolchain_variable(tool);
	}
	json_t *detail = NULL, *identity = NULL;
	json_t *request = json_pack("{s:s}", "action", "devices");
	gt_code rc = gt_ask(kind, tools, request, LIMIT_S, &detail, &identity, NULL, &err);
	if (rc) {
		problem(f, label, err.text, variable);
	} else {
		char *text = gt_format("%s  %s", gt_json_string_or(identity, "version", "?"),
		                       gt_json_string_or(identity, "path", ""));
		line(label, text);
		free(text);
		const char *build = gt_json_string_or(identity, "build", "");
		if (*build)
			printf("%-12s   build %s\n", "", build);
		f->versions[kind] = gt_strdup(gt_json_string_or(identity, "version", ""));
	}
	size_t i;
	json_t *device;
	json_array_foreach(json_object_get(detail, "devices"), i, device)
		line(i ? "" : "devices", json_string_value(device) ? json_string_value(device) : "");
	json_decref(identity);
	json_decref(detail);
	json_decref(request);
}

// A module is made for one version of the runtime's instruction set: the releases must be the same.
static void check_fit(struct findings *f)
{
	const char *compiler = f->versions[GT_HOST_COMPILER], *runtime = f->versions[GT_HOST_RUNTIME];
	if (!compiler || !runtime)
		return;
	size_t n = strspn(compiler, "0123456789.");
	if (n == strspn(runtime, "0123456789.") && strncmp(compiler, runtime, n) == 0) {
		line("fit", "compiler and runtime are of the same release");
		return;
	}
	char *text = gt_format("the compiler is %s, the runtime %s: modules may not load; install the "
	                       "wheel iree-base-compiler==%s", compiler, runtime, runtime);
	problem(f, "fit", text, gt_toolchain_variable(GT_TOOL_COMPILER));
	free(text);
}

static void check_isolation(struct findings *f)
{
	struct gt_err err = {0};
	struct gt_isolation isolation;
	if (gt_isolation_check(&err))
		problem(f, "isolation", err.text, "GAUNTLET_ISOLATION");
	if (gt_memory_check(&err))
		problem(f, "memory", err.text, "GAUNTLET_MEMORY");
	gt_isolation_probe(&isolation);
	line("isolation", gt_isolation_describe(&isolation));
	if (isolation.kind == GT_ISOLATION_NONE)
		line("", "no namespaces here: a job's daemonised grandchildren may outlive a kill -9 of "
		         "the runner");
	char *memory = gt_format("limited, if --memory asks for it, by %s", gt_memory_describe());
	line("memory", memory);
	free(memory);
}

int gt_cmd_doctor(int argc, char **argv)
{
	struct gt_args args;
	bool done;
	int exit_code = GT_EXIT_OK;
	gt_cli_parse(&command, argc, argv, &args, &done, &exit_code);
	gt_arg_free(&args);
	if (done)
		return exit_code;
	struct findings f = {0};
	struct gt_toolchain tools;
	gt_toolchain_find(&tools);
	line("gauntlet", GT_VERSION);
	check_tools(&f, &tools);
	check_host(&f, GT_HOST_COMPILER, "compiler", &tools);
	check_host(&f, GT_HOST_RUNTIME, "runtime", &tools);
	check_host(&f, GT_HOST_REFERENCE, "onnxruntime", &tools);
	check_host(&f, GT_HOST_FRONTEND, "onnx", &tools);
	line("python", tools.python ? tools.python : "not found");
	check_fit(&f);
	check_isolation(&f);
	if (f.problems)
		printf("\n%d problem%s%s\n", f.problems, f.problems == 1 ? "" : "s",
		       f.make_helps ? "; 'make' in the project folder prepares everything that is missing" : "");
	for (size_t i = 0; i < GT_HOST_COUNT; i++)
		free(f.versions[i]);
	gt_toolchain_free(&tools);
	return f.problems ? GT_EXIT_USAGE : GT_EXIT_OK;
}
