#include "cli/foreground.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/temporary.h"
#include "stage/serve.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

// A reply is bounded by what fits a frame; a test class may have put more into its detail.
#define MAX_REPLY ((size_t)16 << 20)

extern char **environ;

// CPU time and memory of this process and of those that it waited for.
static void usage_now(struct gt_job_report *r)
{
	static const int whose[] = {RUSAGE_SELF, RUSAGE_CHILDREN};
	for (size_t i = 0; i < GT_COUNTOF(whose); i++) {
		struct rusage u;
		if (getrusage(whose[i], &u) != 0)
			continue;
		r->user_us += (int64_t)u.ru_utime.tv_sec * 1000000 + u.ru_utime.tv_usec;
		r->system_us += (int64_t)u.ru_stime.tv_sec * 1000000 + u.ru_stime.tv_usec;
		r->max_rss_kb = u.ru_maxrss > r->max_rss_kb ? u.ru_maxrss : r->max_rss_kb;
	}
}

static const struct gt_engine *engine_of(enum gt_host_kind kind)
{
	return kind == GT_HOST_COMPILER    ? &gt_iree_compiler
	       : kind == GT_HOST_REFERENCE ? &gt_onnxruntime
	       : kind == GT_HOST_RUNTIME   ? &gt_iree_runtime
	                                   : NULL;
}

static gt_code run_here(const struct gt_toolchain *tools, enum gt_host_kind kind,
                        const char *request, char **reply, json_t **tool, struct gt_err *err)
{
	const struct gt_engine *engine = engine_of(kind);
	struct gt_server server = {.engine = engine, .quiet = true};
	setenv("TMPDIR", gt_temporary_base(), 1); // IREE pastes it unquoted into a shell command
	gt_code rc = engine ? engine->load(tools, tool, err) : GT_OK;
	if (!rc && !*tool)
		*tool = json_pack("{s:s}", "name", gt_host_name(kind));
	if (!rc)
		*reply = gt_stage_serve(&server, request);
	return rc;
}

// Wait as system() does: what the terminal sends is for the child.
static gt_code wait_for(pid_t pid, int *status, struct gt_err *err)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN}, interrupt, quit;
	sigaction(SIGINT, &ignore, &interrupt);
	sigaction(SIGQUIT, &ignore, &quit);
	pid_t got;
	do
		got = waitpid(pid, status, 0);
	while (got < 0 && errno == EINTR);
	gt_code rc = got < 0 ? gt_fail_errno(err, "cannot wait for the frontend") : GT_OK;
	sigaction(SIGINT, &interrupt, NULL);
	sigaction(SIGQUIT, &quit, NULL);
	return rc;
}

static gt_code spawn_and_wait(char *const argv[], struct gt_facts *facts, struct gt_err *err)
{
	pid_t pid;
	int status = 0;
	int error = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);
	if (error) {
		errno = error;
		return gt_fail_errno(err, "cannot start '%s'", argv[0]);
	}
	gt_code rc = wait_for(pid, &status, err);
	facts->report.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	facts->report.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	return rc;
}

// Python's stages are done by a child, which reads its request from a file and leaves its reply in
// another: the standard streams are the user's.
static gt_code run_in_python(const struct gt_toolchain *tools, const char *request,
                             struct gt_facts *facts, char **reply, struct gt_err *err)
{
	static const enum gt_tool needed[] = {GT_TOOL_PYTHON, GT_TOOL_FRONTEND, GT_TOOL_WORKER};
	struct gt_temporary folder;
	gt_code rc = GT_OK;
	for (size_t i = 0; !rc && i < GT_COUNTOF(needed); i++)
		rc = gt_toolchain_check_tool(tools, needed[i], err);
	if (!rc)
		rc = gt_temporary_make("stage", &folder, err);
	if (rc)
		return rc;
	char *main_file = gt_path_join(tools->frontend_folder, "gauntlet/__main__.py");
	char *in = gt_path_join(folder.path, "request.json");
	char *out = gt_path_join(folder.path, "reply.json");
	char flag[] = "-I", command[] = "stage";
	char *argv[] = {tools->python, flag, main_file, command, in, out, tools->worker_library, NULL};
	struct gt_buf text = {0};
	rc = gt_file_write(in, request, strlen(request), err);
	if (!rc)
		rc = spawn_and_wait(argv, facts, err);
	if (!rc)
		facts->frame_rc = gt_file_read(out, MAX_REPLY, &text, NULL);
	if (!rc && !facts->frame_rc)
		*reply = gt_buf_take(&text);
	gt_buf_free(&text);
	free(out);
	free(in);
	free(main_file);
	gt_temporary_remove(&folder);
	return rc;
}

gt_code gt_foreground_run(const struct gt_toolchain *tools, struct gt_placement place,
                          const json_t *request, struct gt_foreground *out, struct gt_err *err)
{
	*out = (struct gt_foreground){0};
	struct gt_facts facts = {.ended = true};
	struct gt_job_report before = {0}, after = {0};
	char *text = json_dumps(request, JSON_COMPACT), *reply = NULL;
	int64_t start = gt_clock_ns();
	usage_now(&before);
	gt_code rc = place.host == GT_HOST_FRONTEND
	                     ? run_in_python(tools, text, &facts, &reply, err)
	                     : run_here(tools, place.host, text, &reply, &out->tool, err);
	usage_now(&after);
	facts.report.magic = GT_REPORT_MAGIC; // what a supervisor counts is counted here
	facts.report.user_us = after.user_us - before.user_us;
	facts.report.system_us = after.system_us - before.system_us;
	facts.report.max_rss_kb = after.max_rss_kb;
	facts.frame = reply;
	if (!rc) {
		gt_ending_judge(&facts, place.host == GT_HOST_FRONTEND ? "the frontend" : "the stage",
		                &out->ending);
		out->ending.seconds = (double)(gt_clock_ns() - start) / 1e9;
		json_t *tool = json_object_get(out->ending.reply, "tool");
		if (!out->tool && json_is_object(tool))
			out->tool = json_incref(tool);
	}
	free(reply);
	free(text);
	return rc;
}

void gt_foreground_free(struct gt_foreground *f)
{
	gt_ending_free(&f->ending);
	json_decref(f->tool);
	*f = (struct gt_foreground){0};
}
