// libIREECompiler through its C embedding API, loaded at run time and never unloaded.
#include "engine/engine.h"
#include "engine/iree_flags.h"
#include "engine/iree_message.h"
#include "engine/library.h"

#include <iree/compiler/embedding_api.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The part of the API that is used. Types come from IREE's header; nothing is linked.
#define FUNCTIONS(X)                                                                               \
	X(ErrorDestroy)                                                                                \
	X(ErrorGetMessage)                                                                             \
	X(GetAPIVersion)                                                                               \
	X(GetRevision)                                                                                 \
	X(GlobalInitialize)                                                                            \
	X(InvocationCreate)                                                                            \
	X(InvocationEnableCallbackDiagnostics)                                                         \
	X(InvocationOutputIR)                                                                          \
	X(InvocationOutputVMBytecode)                                                                  \
	X(InvocationParseSource)                                                                       \
	X(InvocationPipeline)                                                                          \
	X(InvocationRunPassPipeline)                                                                   \
	X(InvocationSetCompileFromPhase)                                                               \
	X(InvocationSetDumpCompilationPhasesTo)                                                        \
	X(InvocationSetVerifyIR)                                                                       \
	X(OutputDestroy)                                                                               \
	X(OutputKeep)                                                                                  \
	X(OutputMapMemory)                                                                             \
	X(OutputOpenFile)                                                                              \
	X(OutputOpenMembuffer)                                                                         \
	X(SessionCreate)                                                                               \
	X(SetupGlobalCL)                                                                               \
	X(SourceWrapBuffer)

static struct {
#define SLOT(name) __typeof__(&ireeCompiler##name) name;
	FUNCTIONS(SLOT)
#undef SLOT
} api;

static const struct gt_symbol symbols[] = {
#define ROW(name) {"ireeCompiler" #name, &api.name},
	FUNCTIONS(ROW)
#undef ROW
};

// Major versions break the ABI; 1.4 brought pass pipelines.
#define API_MAJOR 1
#define API_MINOR 4

// Printed by the library above the help text, which nobody asks for here.
static const char banner[] = "gauntlet";

// What one job works with. Never destroyed: the job leaves with _exit, and freeing a module
// piece by piece costs time for nothing.
static struct {
	iree_compiler_session_t *session;
	iree_compiler_invocation_t *invocation;
	struct gt_err first_error; // code is GT_OK until a diagnostic of severity error came
} job;

static gt_code check_version(const char *path, struct gt_err *err)
{
	unsigned version = (unsigned)api.GetAPIVersion();
	unsigned major = version >> 16, minor = version & 0xffff;
	if (major == API_MAJOR && minor >= API_MINOR)
		return GT_OK;
	return gt_fail(err, GT_ENGINE,
	               "'%s' has version %u.%u of the embedding API, this program needs %d.%d or a later "
	               "%d.x",
	               path, major, minor, API_MAJOR, API_MINOR, API_MAJOR);
}

static gt_code load(const struct gt_toolchain *tools, json_t **identity, struct gt_err *err)
{
	const char *path = tools->compiler_library;
	void *library = NULL;
	// Whoever loads the compiler runs its linker too, through a shell that gets the path unquoted.
	gt_code rc = gt_toolchain_check_tool(tools, GT_TOOL_COMPILER, err);
	if (!rc)
		rc = gt_library_open(path, &library, err);
	if (!rc)
		rc = gt_library_bind(library, path, symbols, GT_COUNTOF(symbols), err);
	if (!rc)
		rc = check_version(path, err);
	if (rc)
		return rc;
	api.GlobalInitialize();
	const char *revision = api.GetRevision(); // "" in a build that somebody made by hand
	const char *version = revision && revision[0] ? revision : tools->compiler_version;
	void *address;
	memcpy(&address, &api.GetAPIVersion, sizeof address);
	*identity = gt_engine_identity("iree-compiler", version ? version : "",
	                               gt_library_build_id(address), path);
	return GT_OK;
}

static const char *severity_name(enum iree_compiler_diagnostic_severity_t severity)
{
	switch (severity) {
	case IREE_COMPILER_DIAGNOSTIC_SEVERITY_NOTE:
		return "note";
	case IREE_COMPILER_DIAGNOSTIC_SEVERITY_WARNING:
		return "warning";
	case IREE_COMPILER_DIAGNOSTIC_SEVERITY_REMARK:
		return "remark";
	case IREE_COMPILER_DIAGNOSTIC_SEVERITY_ERROR:
		break;
	}
	return "error";
}

// Called under the diagnostic engine's own lock, so never twice at a time.
static void on_diagnostic(enum iree_compiler_diagnostic_severity_t severity, const char *message,
                          size_t length, void *user)
{
	(void)user;
	fprintf(stderr, "%s: %.*s\n", severity_name(severity), (int)length, message);
	if (severity != IREE_COMPILER_DIAGNOSTIC_SEVERITY_ERROR || job.first_error.code)
		return;
	struct gt_buf sentence = {0};
	gt_iree_diagnostic(message, length, &sentence);
	gt_fail(&job.first_error, GT_ENGINE, "%s", gt_buf_text(&sentence));
	gt_buf_free(&sentence);
}

// The sentence for a step that returned false: its first diagnostic, or that there was none.
static gt_code refused(const char *step, struct gt_err *err)
{
	if (job.first_error.code)
		return gt_fail(err, GT_ENGINE, "%s", job.first_error.text);
	return gt_fail(err, GT_ENGINE, "the compiler could not %s the module and gave no reason", step);
}

static gt_code check_error(iree_compiler_error_t *error, const char *step, struct gt_err *err)
{
	if (!error)
		return GT_OK;
	// What the diagnostics said before is the cause, this is only where it ended.
	fprintf(stderr, "error: %s\n", api.ErrorGetMessage(error));
	if (job.first_error.code)
		gt_fail(err, GT_ENGINE, "%s", job.first_error.text);
	else
		gt_fail(err, GT_ENGINE, "the compiler could not %s: %s", step,
		        api.ErrorGetMessage(error));
	api.ErrorDestroy(error);
	return GT_ENGINE;
}

// The library keeps pointers into the vector, so it stays. A flag that it does not know ends the
// process with exit(1); a second call in one process aborts.
static void set_flags(const struct gt_names *flags)
{
	static const char threading[] = "mlir-disable-threading";
	size_t given = flags ? flags->count : 0;
	const char **argv = gt_zalloc(given + 3, sizeof *argv);
	int argc = 0;
	argv[argc++] = banner;
	bool chosen = false;
	for (size_t i = 0; i < given; i++) {
		const char *flag = flags->items[i];
		const char *name = flag + strspn(flag, "-");
		size_t n = sizeof threading - 1;
		if (strncmp(name, threading, n) == 0 && (name[n] == '\0' || name[n] == '='))
			chosen = true;
		argv[argc++] = flag;
	}
	// Jobs run side by side, one a core: a thread pool in each costs a sixth more CPU time.
	if (!chosen)
		argv[argc++] = "--mlir-disable-threading";
	api.SetupGlobalCL(argc, argv, banner, false);
}

static gt_code start(const char *name, const char *mlir, size_t length,
                     const struct gt_names *flags, struct gt_err *err)
{
	if (!job.session) { // a job may transform more than once: flags and session stay
		set_flags(flags);
		job.session = api.SessionCreate();
	}
	job.first_error = (struct gt_err){0};
	job.invocation = api.InvocationCreate(job.session);
	api.InvocationEnableCallbackDiagnostics(job.invocation, 0, on_diagnostic, NULL);
	iree_compiler_source_t *source = NULL;
	// The API counts the NUL of a text.
	gt_code rc = check_error(
	    api.SourceWrapBuffer(job.session, name, mlir, length + 1, true, &source), "take the module",
	    err);
	if (!rc && !api.InvocationParseSource(job.invocation, source))
		rc = refused("parse", err);
	return rc;
}

static gt_code write_module(const char *path, struct gt_err *err)
{
	char *temporary = gt_temporary_name(path);
	iree_compiler_output_t *output = NULL;
	gt_code rc = GT_OK;
	if (unlink(temporary) != 0 && errno != ENOENT)
		rc = gt_fail_errno(err, "cannot remove '%s'", temporary);
	if (!rc)
		rc = check_error(api.OutputOpenFile(temporary, &output), "open its output", err);
	if (!rc)
		rc = check_error(api.InvocationOutputVMBytecode(job.invocation, output),
		                 "write the compiled module", err);
	// Destroying an output that could not be written ends the process; so it is left alone.
	if (!rc) {
		api.OutputKeep(output);
		api.OutputDestroy(output);
		if (rename(temporary, path) != 0)
			rc = gt_fail_errno(err, "cannot rename '%s' to its final name", path);
	}
	if (rc)
		unlink(temporary);
	free(temporary);
	return rc;
}

// What the command iree-compile does with flags of its own. A folder is meant below the module's.
static gt_code apply(const struct gt_iree_flags *flags, const char *out_path, struct gt_err *err)
{
	if (flags->compile_from)
		api.InvocationSetCompileFromPhase(job.invocation, flags->compile_from);
	api.InvocationSetVerifyIR(job.invocation, flags->verify);
	if (!flags->dump_phases_to)
		return GT_OK;
	const char *slash = strrchr(out_path, '/');
	char *beside = gt_strndup(out_path, slash ? (size_t)(slash - out_path) : 0);
	char *folder = gt_path_join(beside, flags->dump_phases_to);
	gt_code rc = gt_make_folders(folder, err);
	if (!rc)
		api.InvocationSetDumpCompilationPhasesTo(job.invocation, folder);
	free(folder);
	free(beside);
	return rc;
}

static gt_code compile(const char *name, const char *mlir, size_t length,
                       const struct gt_names *flags, const char *out_path, struct gt_err *err)
{
	struct gt_iree_flags split;
	gt_code rc = gt_iree_flags_split(flags, &split, err);
	if (!rc)
		rc = start(name, mlir, length, &split.library, err);
	if (!rc)
		rc = apply(&split, out_path, err);
	if (!rc && !api.InvocationPipeline(job.invocation, IREE_COMPILER_PIPELINE_STD))
		rc = refused("compile", err);
	if (!rc)
		rc = write_module(out_path, err);
	return rc;
}

// A pipeline that names its anchor, as iree-opt wants it, would run on modules *inside* the
// module: on nothing, with success.
static gt_code check_pipeline(const char *pipeline, struct gt_err *err)
{
	const char *text = pipeline + strspn(pipeline, " \t\n");
	if (!*text)
		return gt_fail(err, GT_BAD_USAGE, "the pass pipeline is empty");
	static const char anchor[] = "builtin.module";
	if (strncmp(text, anchor, sizeof anchor - 1) != 0)
		return GT_OK;
	text += sizeof anchor - 1;
	if (text[strspn(text, " \t\n")] != '(')
		return GT_OK;
	return gt_fail(err, GT_BAD_USAGE,
	               "the pass pipeline '%s' names its anchor; give only what stands inside "
	               "'builtin.module(...)'",
	               pipeline);
}

// What the parser of pipelines has to say goes to stderr only.
static gt_code refused_pipeline(const char *pipeline, struct gt_err *err)
{
	if (job.first_error.code)
		return refused("transform", err);
	return gt_fail(err, GT_ENGINE, "the compiler refused the pass pipeline '%s'; why is in the log",
	               pipeline);
}

static gt_code append_ir(struct gt_buf *out, struct gt_err *err)
{
	iree_compiler_output_t *output = NULL;
	void *text = NULL;
	uint64_t length = 0;
	gt_code rc = check_error(api.OutputOpenMembuffer(&output), "open a buffer", err);
	if (!rc)
		rc = check_error(api.InvocationOutputIR(job.invocation, output), "print the module", err);
	if (!rc)
		rc = check_error(api.OutputMapMemory(output, &text, &length), "map the module's text", err);
	if (!rc)
		gt_buf_append(out, text, (size_t)length);
	if (output)
		api.OutputDestroy(output);
	return rc;
}

static gt_code transform(const char *name, const char *mlir, size_t length, const char *pipeline,
                         struct gt_buf *out, struct gt_err *err)
{
	gt_code rc = check_pipeline(pipeline, err);
	if (!rc)
		rc = start(name, mlir, length, NULL, err);
	if (!rc && !api.InvocationRunPassPipeline(job.invocation, pipeline))
		rc = refused_pipeline(pipeline, err);
	if (!rc)
		rc = append_ir(out, err);
	return rc;
}

// Flags of plugins are looked at when a session is made.
static gt_code check_flags(const struct gt_names *flags, struct gt_err *err)
{
	struct gt_iree_flags split;
	gt_code rc = gt_iree_flags_split(flags, &split, err);
	if (rc)
		return rc;
	set_flags(&split.library);
	job.session = api.SessionCreate();
	if (!job.session)
		rc = gt_fail(err, GT_ENGINE, "the compiler made no session of these flags");
	return rc;
}

static const struct gt_compiler_ops compiler_ops = {
	.compile = compile,
	.transform = transform,
	.check_flags = check_flags,
};

const struct gt_engine gt_iree_compiler = {
	.name = "iree-compiler",
	.load = load,
	.compiler = &compiler_ops,
};
