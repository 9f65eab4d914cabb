#include "run/ask.h"

#include "base/temporary.h"
#include "run/job.h"
#include "core/verdict.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct question {
	uv_loop_t loop;
	struct gt_host host;
	char *request;
	double limit_s;
	struct gt_temporary scratch; // working folder of the job
	json_t **detail;
	struct gt_buf *output;
	bool disturbed; // somebody outside ended the job, or its host
	gt_code rc;
	struct gt_err *err;
};

static void on_done(struct gt_job *job, struct gt_ending *ending)
{
	struct question *q = job->user;
	q->disturbed = gt_why_is_surroundings(ending->why);
	if (ending->ok)
		*q->detail = json_incref(json_object_get(ending->reply, "detail"));
	else if (strncmp(ending->why, "crash:", 6) == 0)
		q->rc = gt_fail(q->err, GT_ENGINE, "%s: %s", ending->message, ending->why + 6);
	else
		q->rc = gt_fail(q->err, GT_ENGINE, "%s", ending->message);
	if (q->output) {
		q->output->length = 0;
		char *text = gt_job_output(job);
		gt_buf_puts(q->output, text);
		free(text);
	}
	gt_ending_free(ending);
	gt_host_stop(&q->host);
}

static void on_changed(struct gt_host *host)
{
	struct question *q = host->user;
	if (host->state == GT_HOST_FAILED) {
		q->disturbed = !host->said;
		q->rc = gt_fail(q->err, GT_ENGINE, "%s", host->failure);
		return;
	}
	if (host->state != GT_HOST_READY)
		return;
	int folder = open(q->scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		q->rc = gt_fail_errno(q->err, "cannot open the working folder '%s'", q->scratch.path);
	else if (!gt_job_start(&q->loop, host, false, folder, q->request, q->limit_s, on_done, q,
	                       q->err))
		q->rc = GT_IO;
	if (folder >= 0)
		close(folder);
	if (q->rc)
		gt_host_stop(host);
}

// Start the host, ask, and wait for its end.
static void ask_once(struct question *q, const struct gt_toolchain *tools)
{
	q->disturbed = false;
	q->rc = gt_host_start(&q->host, &q->loop, tools, q->err);
	uv_run(&q->loop, UV_RUN_DEFAULT);
}

gt_code gt_ask(enum gt_host_kind kind, const struct gt_toolchain *tools, const json_t *request,
               double limit_s, json_t **detail, json_t **identity, struct gt_buf *output,
               struct gt_err *err)
{
	struct question q = {.limit_s = limit_s, .detail = detail, .output = output, .err = err};
	const struct gt_host host = {.kind = kind, .changed = on_changed, .user = &q, .control = -1,
	                             .log = -1};
	q.host = host;
	*detail = NULL;
	if (identity)
		*identity = NULL;
	gt_code rc = gt_temporary_make("ask", &q.scratch, err);
	if (rc)
		return rc;
	if (uv_loop_init(&q.loop) != 0) {
		gt_temporary_remove(&q.scratch);
		return gt_fail(err, GT_IO, "cannot make an event loop");
	}
	q.request = json_dumps(request, JSON_COMPACT);
	ask_once(&q, tools);
	if (q.disturbed) { // which says nothing about the question
		gt_host_free(&q.host);
		q.host = host;
		ask_once(&q, tools);
	}
	uv_loop_close(&q.loop);
	gt_temporary_remove(&q.scratch);
	if (identity)
		*identity = q.host.identity ? json_incref(q.host.identity) : json_object();
	if (!q.rc && !*detail)
		q.rc = gt_fail(err, GT_INTERNAL, "the %s host gave no answer", gt_host_name(kind));
	gt_host_free(&q.host);
	free(q.request);
	return q.rc;
}
