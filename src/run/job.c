#include "run/job.h"

#include "base/clock.h"
#include "worker/backtrace.h"
#include "worker/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

// How long each step of a kill may take before the next, harder one.
#define KILL_STEP_MS 5000

const char *gt_job_worker(const struct gt_job *job)
{
	static const char *const names[GT_HOST_COUNT] = {
		[GT_HOST_PLAIN] = "the stage",
		[GT_HOST_FRONTEND] = "the Python frontend",
		[GT_HOST_COMPILER] = "the compiler",
		[GT_HOST_REFERENCE] = "ONNX Runtime",
		[GT_HOST_RUNTIME] = "the compiled module",
	};
	return job->instance ? GT_TEST_CLASS : names[job->kind];
}

static void free_when_closed(uv_handle_t *handle)
{
	struct gt_job *job = handle->data;
	if (--job->open_handles > 0)
		return;
	close(job->supervisor);
	close(job->child);
	close(job->log);
	json_decref(job->identity);
	free(job->frame);
	free(job->backtrace);
	free(job);
}

static void leave_host(struct gt_job *job)
{
	struct gt_host *host = job->host;
	if (!host)
		return;
	*job->link = job->next;
	if (job->next)
		job->next->link = job->link;
	job->host = NULL;
	if (host->state == GT_HOST_RETIRED)
		gt_host_retire(host); // this may have been its last
}

static void close_job(struct gt_job *job)
{
	if (job->closing)
		return;
	job->closing = true;
	leave_host(job);
	uv_close((uv_handle_t *)&job->on_supervisor, free_when_closed);
	if (job->watches_child)
		uv_close((uv_handle_t *)&job->on_child, free_when_closed);
	uv_close((uv_handle_t *)&job->deadline, free_when_closed);
}

// How much the child has printed. Not by seeking: the supervisor writes at the same offset.
static int64_t log_size(const struct gt_job *job)
{
	struct stat st;
	return fstat(job->log, &st) == 0 ? st.st_size : 0;
}

// An instance has ended while nobody asked it anything: its owner still holds it.
static void note_over(struct gt_job *job)
{
	job->over = true;
	leave_host(job);
	uv_timer_stop(&job->deadline);
	uv_poll_stop(&job->on_supervisor);
	uv_poll_stop(&job->on_child);
}

// The request is over, and with `ended` the job too: judge it and hand the ending on.
static void finish(struct gt_job *job, bool ended)
{
	struct gt_ending ending;
	if (!job->busy && !job->released) {
		note_over(job);
		return;
	}
	job->busy = false;
	job->draining = false;
	uv_timer_stop(&job->deadline);
	job->facts.frame = job->frame;
	job->facts.backtrace = job->backtrace;
	gt_ending_judge(&job->facts, gt_job_worker(job), &ending);
	ending.seconds = (double)(gt_clock_ns() - job->began) / 1e9;
	if (ended)
		close_job(job);
	job->done(job, &ending);
}

static void take_frame(struct gt_job *job)
{
	free(job->frame);
	job->facts.frame_rc = gt_frame_receive(job->child, &job->frame, NULL);
}

// The supervisor's report, if it is there. It is the last thing a job says; before it may come
// that an instance's output has been drained.
static bool take_report(struct gt_job *job)
{
	static struct { // there is one thread, and its stack may be small (ulimit -s)
		struct gt_job_report report;
		char backtrace[GT_BACKTRACE_TEXT + 1];
	} message;
	struct gt_job_report *report = &message.report;
	ssize_t n;
	do {
		n = recv(job->supervisor, &message, sizeof message - 1, MSG_DONTWAIT);
		if (n == sizeof report->magic && report->magic == GT_DRAINED_MAGIC)
			job->drained = true;
	} while (n == sizeof report->magic ||
	         (n < 0 && errno == ECONNRESET)); // our order to kill came too late; told once
	if (n < (ssize_t)sizeof *report || report->magic != GT_REPORT_MAGIC)
		return false;
	((char *)&message)[n] = '\0';
	free(job->backtrace);
	job->backtrace = gt_strdup(message.backtrace);
	job->started = job->facts.ended = true;
	job->facts.report = *report;
	if (job->host)
		job->host->reported++;
	if (job->facts.frame_rc == GT_NOT_FOUND)
		take_frame(job); // a reply was sent before the child ended
	return true;
}

static void on_supervisor(uv_poll_t *handle, int status, int events)
{
	struct gt_job *job = handle->data;
	(void)events;
	if (status == 0 && take_report(job) && !job->orphaned) {
		finish(job, true);
		return;
	}
	if (job->drained) {
		job->drained = false;
		if (job->draining && job->kill_steps == 0)
			finish(job, false);
		return;
	}
	// Its end without a report: the host's notice tells what became of it.
	uv_poll_stop(handle);
}

static void send_order(const struct gt_job *job, char order)
{
	(void)!send(job->supervisor, &order, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void on_deadline(uv_timer_t *timer);

static void order_kill(struct gt_job *job)
{
	switch (job->kill_steps++) {
	case 0: // the supervisor kills the tree and reports
		send_order(job, GT_ORDER_KILL_TREE);
		break;
	case 1: // it does not: with it goes its PID namespace
		if (job->host)
			gt_host_order_kill(job->host, job->number);
		break;
	default: // not even that; there is nothing left to wait for
		job->facts.lost = true;
		finish(job, true);
		return;
	}
	uv_timer_start(&job->deadline, on_deadline, KILL_STEP_MS, 0);
}

// A child that sends what is no reply, or one that nobody asked for, can no longer be believed.
static void spoil(struct gt_job *job)
{
	uv_poll_stop(&job->on_child);
	job->spoiled = true;
	job->facts.frame_rc = GT_BAD_DATA;
	if (job->kill_steps == 0)
		order_kill(job);
}

// What an instance has sent. False if there is nothing.
static bool take_reply(struct gt_job *job)
{
	take_frame(job);
	if (job->facts.frame_rc == GT_NOT_FOUND)
		return false;
	job->started = true; // also if the host's word on that comes later
	if (job->facts.frame_rc || !job->busy || job->draining) {
		spoil(job);
	} else {
		// What it printed for this request is complete when its supervisor has read it all.
		job->draining = true;
		send_order(job, GT_ORDER_DRAIN);
	}
	return true;
}

static void on_child(uv_poll_t *handle, int status, int events)
{
	struct gt_job *job = handle->data;
	if (job->orphaned) { // it is gone now, or speaks in vain
		uv_poll_stop(handle);
		if (status < 0 || (events & UV_DISCONNECT))
			finish(job, true);
	} else if (job->kill_steps > 0 || status < 0)
		uv_poll_stop(handle); // what it says now is not wanted any more
	else if (take_reply(job))
		return;
	else if (events & UV_DISCONNECT)
		uv_poll_stop(handle); // closed: the supervisor's report follows
	else
		spoil(job); // a message of no bytes
}

static void limit(struct gt_job *job)
{
	double seconds = job->started ? job->facts.limit_s : gt_host_answer_s(job->host);
	uv_update_time(job->deadline.loop);
	uv_timer_start(&job->deadline, on_deadline, (uint64_t)(seconds * 1000) + 1, 0);
}

// The host owes us a word on an order. It may have been said, and it is us who are late.
static void demand_answer(struct gt_job *job)
{
	struct gt_host *host = job->host;
	uint64_t number = job->number;
	gt_host_look(host);
	for (job = host->jobs; job; job = job->next)
		if (job->number == number && !job->started && !job->facts.ended)
			break;
	if (job && host->control >= 0)
		gt_host_silent(host);
}

static void on_deadline(uv_timer_t *timer)
{
	struct gt_job *job = timer->data;
	if (job->orphaned) {
		finish(job, true);
		return;
	}
	if (!job->started && job->kill_steps == 0) {
		demand_answer(job);
		return;
	}
	if (job->kill_steps == 0) {
		// It may have ended in time, and it is us who are late.
		if (take_report(job)) {
			finish(job, true);
			return;
		}
		if (job->instance && !job->draining && take_reply(job)) {
			uv_timer_start(&job->deadline, on_deadline, KILL_STEP_MS, 0);
			return;
		}
		job->facts.timed_out = true;
	}
	order_kill(job);
}

void gt_job_stop(struct gt_job *job)
{
	if (job->closing || job->over || job->orphaned || job->facts.stopped)
		return;
	job->facts.stopped = true;
	if (job->kill_steps == 0)
		order_kill(job);
}

void gt_job_pause(struct gt_job *job)
{
	if (job->closing || job->over || job->paused || job->kill_steps > 0)
		return;
	job->paused = gt_clock_ns();
	uv_update_time(job->deadline.loop);
	job->left_ms = uv_timer_get_due_in(&job->deadline);
	uv_timer_stop(&job->deadline);
	send_order(job, GT_ORDER_PAUSE);
}

void gt_job_continue(struct gt_job *job)
{
	if (!job->paused)
		return;
	job->began += gt_clock_ns() - job->paused;
	job->paused = 0;
	send_order(job, GT_ORDER_CONTINUE);
	uv_update_time(job->deadline.loop);
	if (job->busy || job->released || job->orphaned)
		uv_timer_start(&job->deadline, on_deadline, job->left_ms, 0);
}

static void begin_request(struct gt_job *job, double limit_s)
{
	job->busy = true;
	job->began = gt_clock_ns();
	if (job->orphaned)
		return; // its end is under way
	// What the reset forgets of a spoiled one would be its reason.
	job->facts = (struct gt_facts){.limit_s = limit_s, .memory = job->memory,
	                               .own_host = job->own_host,
	                               .frame_rc = job->spoiled ? GT_BAD_DATA : GT_NOT_FOUND};
	if (job->kill_steps == 0)
		limit(job);
}

static void on_over(uv_timer_t *timer)
{
	finish(timer->data, true);
}

void gt_job_request(struct gt_job *job, const char *request, double limit_s)
{
	struct gt_err err = {0};
	if (job->over) {
		job->busy = true;
		job->began = gt_clock_ns();
		uv_timer_start(&job->deadline, on_over, 0, 0);
		return;
	}
	// The first request's output begins with the log: its child may have printed before we look.
	job->log_seen = log_size(job);
	begin_request(job, limit_s);
	// If the child is gone already the send fails, and the supervisor's report says the rest.
	if (gt_frame_send(job->child, request, strlen(request), &err) == GT_BAD_DATA) {
		snprintf(job->facts.unsent, sizeof job->facts.unsent, "%.95s", err.text);
		if (job->kill_steps == 0)
			order_kill(job);
	}
}

void gt_job_release(struct gt_job *job, void (*gone)(struct gt_job *, struct gt_ending *))
{
	job->released = true;
	job->done = gone;
	job->began = gt_clock_ns();
	if (job->over) {
		uv_timer_start(&job->deadline, on_over, 0, 0);
	} else if (job->kill_steps == 0 && !job->orphaned) {
		// It reads the end of its socket and leaves; what it leaves behind is then named.
		job->facts.limit_s = KILL_STEP_MS / 1000.0;
		shutdown(job->child, SHUT_WR);
		limit(job);
	}
}

char *gt_job_output(const struct gt_job *job)
{
	int64_t end = log_size(job);
	size_t length = end > job->log_seen ? (size_t)(end - job->log_seen) : 0;
	char *text = gt_alloc(length + 1);
	ssize_t n = pread(job->log, text, length, job->log_seen);
	text[n > 0 ? n : 0] = '\0';
	for (ssize_t i = 0; i < n; i++)
		if (text[i] == '\0')
			text[i] = ' '; // it is handed on as text
	return text;
}

static void lose(struct gt_job *job)
{
	if (!take_report(job) && !job->facts.timed_out)
		job->facts.lost = true;
	finish(job, true);
}

static void watch_child(struct gt_job *job, int events)
{
	if (!job->watches_child) {
		uv_poll_init(job->deadline.loop, &job->on_child, job->child);
		job->on_child.data = job;
		job->open_handles++;
		job->watches_child = true;
	}
	uv_poll_start(&job->on_child, events, on_child);
}

static void note_started(struct gt_job *job)
{
	if (job->started)
		return;
	job->started = true;
	if (job->own_host && job->busy)
		job->began = gt_clock_ns(); // loading is not its work
	if (job->busy && !job->paused && job->kill_steps == 0)
		limit(job);
	else if (job->paused)
		job->left_ms = (uint64_t)(job->facts.limit_s * 1000) + 1;
}

void gt_job_notice(struct gt_host *host, const struct gt_notice *notice, const char *text)
{
	struct gt_job *job = host->jobs;
	while (job && job->number != notice->job)
		job = job->next;
	if (!job)
		return; // it has reported, and that was all we wanted to know
	if (notice->kind == GT_NOTICE_STARTED) {
		note_started(job);
		return;
	}
	if (notice->kind == GT_NOTICE_FAILED)
		job->facts.refused = (int)notice->value;
	if (notice->kind == GT_NOTICE_UNFIT)
		snprintf(job->facts.unfit, sizeof job->facts.unfit, "%s", text);
	lose(job);
}

// Its supervisor dies with the host, and with that the tree: what is tried again must not meet what
// is left of it, so the job is over when its child's socket is closed.
static void lose_with_host(struct gt_job *job)
{
	if (take_report(job)) {
		finish(job, true);
		return;
	}
	if (job->own_host && job->host->surprise) // nobody else tells it: there will be no other such host
		snprintf(job->facts.unfit, sizeof job->facts.unfit, "%s", job->host->surprise_text);
	leave_host(job);
	job->paused = 0; // who is killed need not go on first
	job->orphaned = true;
	job->facts.lost = job->facts.host_gone = !job->facts.timed_out;
	watch_child(job, UV_DISCONNECT);
	uv_timer_start(&job->deadline, on_deadline, KILL_STEP_MS, 0);
}

void gt_job_host_gone(struct gt_host *host)
{
	while (host->jobs)
		lose_with_host(host->jobs);
}

// Both ends of a new socket pair; ours does not block. `room` is for messages under way, 0: little.
static int make_pair(int pair[2], int room)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return -1;
	for (int i = 0; i < 2 && room; i++)
		setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
	return fcntl(pair[0], F_SETFL, O_NONBLOCK);
}

static void open_handles(uv_loop_t *loop, struct gt_job *job)
{
	uv_poll_init(loop, &job->on_supervisor, job->supervisor);
	uv_timer_init(loop, &job->deadline);
	job->on_supervisor.data = job->deadline.data = job;
	job->open_handles = 2;
	uv_poll_start(&job->on_supervisor, UV_READABLE, on_supervisor);
	if (job->instance) // of others the one reply is taken when the supervisor reports
		watch_child(job, UV_READABLE | UV_DISCONNECT);
}

struct gt_job *gt_job_start(uv_loop_t *loop, struct gt_host *host, bool instance, int folder,
                            const char *request, double limit_s,
                            void (*done)(struct gt_job *, struct gt_ending *), void *user,
                            struct gt_err *err)
{
	static uint64_t numbers;
	int supervisor[2] = {-1, -1}, child[2] = {-1, -1};
	int log = memfd_create("gauntlet-log", MFD_CLOEXEC);
	gt_code rc = GT_OK;
	int room = 2 * (int)(GT_FRAME_MAX + sizeof(struct gt_frame_header));
	if (log < 0 || make_pair(supervisor, 0) != 0 || make_pair(child, room) != 0)
		rc = gt_fail_errno(err, "cannot make the sockets of a job");
	if (!rc)
		rc = gt_frame_send(child[0], request, strlen(request), err);
	uint64_t number = ++numbers;
	if (!rc) {
		int order[GT_ORDER_FDS] = {supervisor[1], child[1], log, folder};
		rc = gt_host_order_start(host, number, instance, order, err);
	}
	if (supervisor[1] >= 0)
		close(supervisor[1]);
	if (child[1] >= 0)
		close(child[1]);
	if (rc) {
		int ours[] = {supervisor[0], child[0], log};
		for (size_t i = 0; i < GT_COUNTOF(ours); i++)
			if (ours[i] >= 0)
				close(ours[i]);
		return NULL;
	}
	struct gt_job *job = gt_zalloc(1, sizeof *job);
	*job = (struct gt_job){.user = user, .host = host, .kind = host->kind,
	                       .identity = json_incref(host->identity), .memory = host->job_memory,
	                       .number = number, .instance = instance, .own_host = host->once,
	                       .supervisor = supervisor[0], .child = child[0], .log = log,
	                       .done = done, .next = host->jobs, .link = &host->jobs};
	if (job->next)
		job->next->link = &job->next;
	host->jobs = job;
	open_handles(loop, job);
	begin_request(job, limit_s);
	return job;
}
