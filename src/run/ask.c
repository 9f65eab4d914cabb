#include "run/ask.h"

#include "base/temporary.h"
#include "run/job.h"
#include "core/verdict.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What ends this program, after it has cleaned up.
static const int ends[] = {SIGINT, SIGTERM, SIGHUP};

struct question {
	uv_loop_t loop;
	struct gt_host host;
	char *request;
	double limit_s;
	struct gt_temporary scratch; // working folder of the job
	json_t **detail;
	struct gt_buf *output;
	struct gt_job *job;
	uv_signal_t signals[GT_COUNTOF(ends)];
	int signal;     // one has come that ends this program
	bool disturbed; // somebody outside ended the job, or its host
	gt_code rc;
	struct gt_err *err;
};

static void on_done(struct gt_job *job, struct gt_ending *ending)
{
	struct question *q = job->user;
	q->job = NULL;
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
	else if (!(q->job = gt_job_start(&q->loop, host, false, folder, q->request, q->limit_s, on_done, q,
	                                 q->err)))
		q->rc = GT_IO;
	if (folder >= 0)
		close(folder);
	if (q->rc)
		gt_host_stop(host);
}

// Not now, in the middle of things: what has been started is ended, what has been made is removed.
static void on_signal(uv_signal_t *handle, int number)
{
	struct question *q = handle->data;
	q->signal = number;
	if (q->job)
		gt_job_stop(q->job);
	else
		gt_host_stop(&q->host);
}

static void hear_signals(struct question *q)
{
	for (size_t i = 0; i < GT_COUNTOF(ends); i++) {
		struct sigaction now;
		uv_signal_init(&q->loop, &q->signals[i]);
		q->signals[i].data = q;
		if (sigaction(ends[i], NULL, &now) != 0 || now.sa_handler != SIG_IGN) // as under nohup
			uv_signal_start(&q->signals[i], on_signal, ends[i]);
		uv_unref((uv_handle_t *)&q->signals[i]);
	}
}

static void close_loop(struct question *q)
{
	for (size_t i = 0; i < GT_COUNTOF(ends); i++)
		uv_close((uv_handle_t *)&q->signals[i], NULL);
	uv_run(&q->loop, UV_RUN_DEFAULT);
	uv_loop_close(&q->loop);
}

// It has been heard, and is kept until main() lets it end this program.
static gt_code keep_signal(int number, struct gt_err *err)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(number);
	return gt_fail(err, GT_IO, "interrupted");
}

static int kept_signal(void)
{
	sigset_t set;
	sigpending(&set);
	for (size_t i = 0; i < GT_COUNTOF(ends); i++)
		if (sigismember(&set, ends[i]) == 1)
			return ends[i];
	return 0;
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
	if (kept_signal())
		return keep_signal(kept_signal(), err);
	gt_code rc = gt_temporary_make("ask", &q.scratch, err);
	if (rc)
		return rc;
	if (uv_loop_init(&q.loop) != 0) {
		gt_temporary_remove(&q.scratch);
		return gt_fail(err, GT_IO, "cannot make an event loop");
	}
	q.request = json_dumps(request, JSON_COMPACT);
	hear_signals(&q);
	ask_once(&q, tools);
	if (q.disturbed && !q.signal) { // which says nothing about the question
		gt_host_free(&q.host);
		q.host = host;
		ask_once(&q, tools);
	}
	close_loop(&q);
	gt_temporary_remove(&q.scratch);
	if (q.signal)
		q.rc = keep_signal(q.signal, err);
	if (identity)
		*identity = q.host.identity ? json_incref(q.host.identity) : json_object();
	if (!q.rc && !*detail)
		q.rc = gt_fail(err, GT_INTERNAL, "the %s host gave no answer", gt_host_name(kind));
	gt_host_free(&q.host);
	free(q.request);
	return q.rc;
}
