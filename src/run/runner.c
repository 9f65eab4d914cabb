#include "run/runner.h"

#include "base/clock.h"
#include "run/audit.h"
#include "run/test.h"
#include "run/testdir.h"
#include "worker/memory.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

// After the first interruption, what runs may end by itself for this long.
#define GRACE_NS 10000000000
#define TICK_MS 100

gt_code gt_runner_fail(struct gt_runner *r, gt_code code)
{
	if (!r->fatal)
		r->fatal = code;
	r->stopping = true;
	r->stop_at = 0; // what still runs is killed at the next tick
	return code;
}

// Whoever waits for the end is told when it comes.
static void show_stop(const struct gt_runner *r, const char *reason)
{
	int64_t left = r->stop_at - gt_clock_ns();
	if (r->config->show_stop && r->running && !r->ending)
		r->config->show_stop(r->config->user, reason, left > 0 ? (double)left / 1e9 : 0);
}

// What runs may end, nothing more is started.
static void stop(struct gt_runner *r, const char *reason)
{
	r->stopping = true;
	r->stop_at = gt_clock_ns() + GRACE_NS;
	r->reason = reason;
}

// --max-failures: enough is known.
static void check_failures(struct gt_runner *r)
{
	size_t failures = gt_result_failures(r->result) - r->failures_before;
	bool more = r->next_case < r->config->cases->count;
	if (r->config->max_failures && failures >= r->config->max_failures && !r->stopping && more) {
		stop(r, "max-failures");
		show_stop(r, "max-failures");
	}
}

void gt_runner_emit(struct gt_runner *r, json_t *event)
{
	struct gt_err err = {0};
	if (!event)
		abort();
	if (r->fatal) {
		json_decref(event);
		return;
	}
	gt_code rc = gt_journal_append(&r->journal, event, &err);
	if (!rc)
		rc = gt_result_apply(r->result, event, &err);
	if (rc) {
		*r->err = err;
		gt_runner_fail(r, rc);
	} else {
		if (r->config->observe)
			r->config->observe(r->config->user, r->result, event);
		check_failures(r);
	}
	json_decref(event);
}

// Nobody looks at these signals any more, and reports are still to be written: they have to wait.
static sigset_t signals_before;
static bool signals_wait;

static void hold_signals(void)
{
	sigset_t ends;
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGHUP);
	sigaddset(&ends, SIGUSR1); // ends nothing while there is a run, and must not now
	if (!signals_wait)
		pthread_sigmask(SIG_BLOCK, &ends, &signals_before);
	signals_wait = true;
}

void gt_run_release_signals(void)
{
	if (signals_wait)
		pthread_sigmask(SIG_SETMASK, &signals_before, NULL);
	signals_wait = false;
}

static void close_all(struct gt_runner *r)
{
	if (r->ending)
		return;
	r->ending = true;
	for (size_t i = 0; i < GT_HOST_COUNT; i++)
		gt_pool_stop(&r->pools[i]);
	if (r->config->suspend)
		r->config->suspend(r->config->user, true);
	hold_signals();
	for (size_t i = 0; i < GT_COUNTOF(r->signals); i++)
		uv_close((uv_handle_t *)&r->signals[i], NULL);
	uv_close((uv_handle_t *)&r->tick, NULL);
}

static bool idle(const struct gt_runner *r)
{
	for (int i = 0; i < r->config->jobs; i++)
		if (r->slots[i])
			return false;
	return true;
}

// Is a case to be run? In a run that goes on most have been.
static bool is_due(const struct gt_runner *r, size_t i)
{
	return !r->config->resumes ||
	       gt_resume_is_due(&r->result->tests[i], r->config->rerun_failed);
}

static size_t find_due(const struct gt_runner *r, size_t from)
{
	while (from < r->config->cases->count && !is_due(r, from))
		from++;
	return from;
}

static void fill_slots(struct gt_runner *r)
{
	for (size_t i = 0; i < (size_t)r->config->jobs; i++)
		while (!r->stopping && !r->slots[i] && r->next_case < r->config->cases->count) {
			const struct gt_case *test = &r->config->cases->items[r->next_case];
			r->next_case = find_due(r, r->next_case + 1);
			gt_test_start(r, i, test);
		}
	if (idle(r) && (r->stopping || r->next_case == r->config->cases->count))
		close_all(r);
}

void gt_runner_slot_free(struct gt_runner *r, size_t slot)
{
	r->slots[slot] = NULL; // the next tick of the loop fills it: no recursion through tests
}

// Tests that were held back; each looks for itself whether it may go on now.
static void release_held(struct gt_runner *r)
{
	for (int i = 0; i < r->config->jobs; i++)
		if (r->slots[i])
			gt_test_go_on(r->slots[i]);
}

static void on_prepare(uv_prepare_t *handle)
{
	struct gt_runner *r = handle->data;
	if (r->running && !r->ending)
		release_held(r);
	if (r->running && !r->ending)
		fill_slots(r);
	if (r->ending)
		uv_close((uv_handle_t *)handle, NULL);
}

static json_t *run_start_event(const struct gt_runner *r)
{
	const struct gt_run_config *c = r->config;
	char wall[GT_WALL_SIZE], id[64];
	gt_clock_wall(wall);
	snprintf(id, sizeof id, "%.19s-%d", wall, (int)getpid());
	json_t *tools = json_object();
	for (size_t i = 0; i < GT_HOST_COUNT; i++)
		if (r->needs[i] && i != GT_HOST_PLAIN && r->pools[i].identity)
			gt_json_set(tools, gt_host_name(i), json_incref(r->pools[i].identity));
	if (c->program)
		gt_json_set(tools, "gauntlet", json_deep_copy(c->program));
	json_t *stages = json_array();
	for (enum gt_stage_id s = 0; s < GT_STAGE_COUNT; s++)
		if (c->plan.stages[s])
			json_array_append_new(stages, json_string(gt_stage(s)->name));
	return json_pack("{s:s,s:i,s:s,s:s,s:O,s:O,s:o,s:o,s:i,s:o,s:I}", "event", "run-start",
	                 "format", GT_FORMAT_VERSION, "run", id, "wall", wall, "argv", c->argv,
	                 "options", r->options, "limits", gt_plan_limits(&c->plan), "tools", tools,
	                 "jobs", c->jobs, "stages", stages, "tests", (json_int_t)c->cases->count);
}

static void announce_tests(struct gt_runner *r)
{
	const struct gt_run_config *c = r->config;
	for (size_t i = 0; i < c->cases->count; i++) {
		const struct gt_case *t = &c->cases->items[i];
		const struct gt_expectation *e =
			c->expectations ? gt_expect_find(c->expectations, t->id, t->name) : NULL;
		char *print = gt_resume_fingerprint(t);
		gt_runner_emit(r, json_pack("{s:s,s:s,s:o,s:o,s:s,s:s,s:o,s:s}", "event", "test",
		                            "test", t->id, "name", gt_json_text(t->name), "suite",
		                            gt_json_text(t->suite), "folder", t->folder, "expect",
		                            e ? e->status : GT_STATUS_PASS, "reason",
		                            gt_json_text(e && e->reason ? e->reason : ""),
		                            "fingerprint", print));
		free(print);
	}
}

// Would this run write the run-start of the journal that it is to go on with?
static gt_code check_start(struct gt_runner *r)
{
	json_t *start = run_start_event(r);
	gt_code rc = gt_resume_check_start(r->result, start, r->err);
	json_decref(start);
	return rc;
}

static gt_code open_journal(struct gt_runner *r)
{
	const struct gt_journal_end *end = r->config->resumes;
	if (!end)
		return gt_journal_create(r->rundir->path, &r->journal, r->err);
	gt_code rc = check_start(r); // again, now that the tools are known
	return rc ? rc : gt_journal_continue(r->rundir->path, end, &r->journal, r->err);
}

// Those of tests that had ended when the run was killed.
static void finish_removals(const struct gt_runner *r)
{
	for (size_t i = 0; !r->config->keep_artifacts && i < r->result->test_count; i++) {
		if (is_due(r, i))
			continue;
		char *folder = gt_path_join(r->rundir->path, r->config->cases->items[i].folder);
		gt_testdir_finish_removal(folder, &r->config->plan);
		free(folder);
	}
}

// Tests start when every host that the run needs has said hello. Only then is the journal of an
// earlier run touched: a tool that is missing costs nobody's results.
static void start_when_ready(struct gt_runner *r)
{
	for (size_t i = 0; i < GT_HOST_COUNT; i++)
		if (r->needs[i] && !gt_pool_ready(&r->pools[i]))
			return;
	gt_code rc = open_journal(r);
	if (rc) {
		gt_runner_fail(r, rc);
		return;
	}
	// Results are those of the journal beside them, or there are none: this run may be killed.
	char *results = gt_path_join(r->rundir->path, "results.json");
	unlink(results);
	free(results);
	r->running = true;
	if (r->config->resumes) {
		finish_removals(r);
		gt_runner_emit(r, gt_resume_event(r->result, r->config->rerun_failed, r->config->argv,
		                                  r->config->jobs));
	} else {
		gt_runner_emit(r, run_start_event(r));
		announce_tests(r);
	}
	size_t i;
	json_t *note;
	json_array_foreach(r->notes, i, note)
		gt_runner_emit(r, json_incref(note));
	json_array_clear(r->notes);
}

static void on_note(struct gt_pool *pool, const char *what, const char *why, const char *message)
{
	struct gt_runner *r = pool->user;
	json_t *event = json_pack("{s:s,s:s,s:s,s:s,s:o}", "event", "note", "host",
	                          gt_host_name(pool->kind), "what", what, "why", why, "message",
	                          gt_json_text(message));
	if (r->running)
		gt_runner_emit(r, event);
	else
		json_array_append_new(r->notes, event);
}

// Before tests start: a host that says why it cannot start ends the run, one that dies is started
// again until its kind falls back.
static void on_host_gone(struct gt_runner *r, struct gt_pool *pool, const struct gt_host *host)
{
	struct gt_host *again;
	if (host->said)
		gt_runner_fail(r, gt_fail(r->err, GT_ENGINE, "%s; see gauntlet doctor", host->failure));
	else if (pool->fallen_back)
		start_when_ready(r);
	else if (gt_pool_host(pool, false, &again, r->err))
		gt_runner_fail(r, r->err->code);
}

static void on_host_changed(struct gt_pool *pool, struct gt_host *host)
{
	struct gt_runner *r = pool->user;
	if (r->ending)
		return;
	if (r->running) {
		for (int i = 0; i < r->config->jobs; i++)
			if (r->slots[i])
				gt_test_host_changed(r->slots[i], host);
		return;
	}
	if (host->state == GT_HOST_READY)
		start_when_ready(r);
	else
		on_host_gone(r, pool, host);
	if (r->fatal)
		close_all(r);
}

static void stop_tests(struct gt_runner *r)
{
	for (int i = 0; i < r->config->jobs; i++)
		if (r->slots[i])
			gt_test_stop(r->slots[i]);
}

// A child that is dead at two looks and that nobody was told of: the one signal that says so was lost.
// Said again, it makes the loop look for all of them; without it the run would wait for ever.
static void look_for_the_dead(struct gt_runner *r)
{
	siginfo_t info = {0};
	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0)
		info.si_pid = 0;
	if (info.si_pid && info.si_pid == r->dead)
		raise(SIGCHLD);
	r->dead = info.si_pid;
}

static void on_tick(uv_timer_t *timer)
{
	struct gt_runner *r = timer->data;
	look_for_the_dead(r);
	if (r->stopping && gt_clock_ns() >= r->stop_at)
		stop_tests(r);
	if (r->config->observe)
		r->config->observe(r->config->user, r->result, NULL);
}

// By the signal's own default action, not by SIGSTOP: where nobody could continue us (we lead the
// session of a terminal, as in a container) the system does not stop us either.
static void stop_as_asked(void)
{
	struct sigaction ours, stop = {.sa_handler = SIG_DFL};
	sigaction(SIGTSTP, &stop, &ours);
	raise(SIGTSTP);
	sigaction(SIGTSTP, &ours, NULL);
}

// Ctrl-Z: jobs and deadlines stop first, then this process; it goes on behind raise().
static void suspend(struct gt_runner *r)
{
	for (int i = 0; i < r->config->jobs; i++)
		if (r->slots[i])
			gt_test_pause(r->slots[i], true);
	if (r->config->suspend)
		r->config->suspend(r->config->user, true);
	int64_t since = gt_clock_ns();
	stop_as_asked();
	if (r->stop_at)
		r->stop_at += gt_clock_ns() - since; // nobody could end by itself meanwhile
	if (r->config->suspend)
		r->config->suspend(r->config->user, false);
	for (int i = 0; i < r->config->jobs; i++)
		if (r->slots[i])
			gt_test_pause(r->slots[i], false);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct gt_runner *r = handle->data;
	if (number == SIGTSTP) {
		suspend(r);
		return;
	}
	if (number == SIGUSR1) {
		if (r->config->show_running)
			r->config->show_running(r->config->user);
		return;
	}
	// The first one begins the grace of what runs, the second ends it. Where the run was ending anyway
	// the first changes neither its grace nor why it ends.
	bool told = r->stopping && !r->stop_at;
	if (r->signal_number)
		r->stop_at = 0;
	else if (!r->stopping)
		stop(r, "interrupted");
	r->signal_number = number;
	if (!told)
		show_stop(r, "interrupted");
	if (!r->running)
		close_all(r);
}

static void find_needs(struct gt_runner *r)
{
	const struct gt_run_config *c = r->config;
	for (size_t i = r->next_case; i < c->cases->count; i = find_due(r, i + 1))
		for (enum gt_stage_id s = 0; s < GT_STAGE_COUNT; s++)
			if (c->plan.stages[s])
				r->needs[gt_plan_place(&c->plan, &c->cases->items[i], s).host] = true;
}

// What a run has open beside its tests, with what a job needs while it starts; and a test: its folder, a job
// and an idle instance, of three descriptors each.
#define OWN_DESCRIPTORS (GT_RUN_DESCRIPTORS - TEST_DESCRIPTORS)
#define TEST_DESCRIPTORS 7

// Jobs inherit the higher limit, but hold four descriptors themselves.
int gt_run_room(int jobs)
{
	struct rlimit limit;
	rlim_t wanted = 256 + (rlim_t)jobs * 16;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return jobs;
	struct rlimit higher = {wanted < limit.rlim_max ? wanted : limit.rlim_max, limit.rlim_max};
	if (setrlimit(RLIMIT_NOFILE, &higher) == 0)
		limit = higher;
	rlim_t rest = limit.rlim_cur > OWN_DESCRIPTORS ? limit.rlim_cur - OWN_DESCRIPTORS : 0;
	rlim_t room = rest / TEST_DESCRIPTORS;
	return room < (rlim_t)jobs ? (int)room : jobs;
}

static gt_code open_loop(struct gt_runner *r, uv_prepare_t *prepare)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGUSR1};
	if (uv_loop_init(&r->loop) != 0)
		return gt_fail(r->err, GT_IO, "cannot make an event loop");
	uv_prepare_init(&r->loop, prepare);
	prepare->data = r;
	uv_prepare_start(prepare, on_prepare);
	uv_timer_init(&r->loop, &r->tick);
	r->tick.data = r;
	uv_timer_start(&r->tick, on_tick, TICK_MS, TICK_MS);
	for (size_t i = 0; i < GT_COUNTOF(r->signals); i++) {
		uv_signal_init(&r->loop, &r->signals[i]);
		r->signals[i].data = r;
		// What we were started to ignore (nohup; "&" in a script) stays ignored.
		struct sigaction now;
		if (sigaction(numbers[i], NULL, &now) != 0 || now.sa_handler != SIG_IGN)
			uv_signal_start(&r->signals[i], on_signal, numbers[i]);
	}
	return GT_OK;
}

static void start_hosts(struct gt_runner *r)
{
	for (enum gt_host_kind k = 0; k < GT_HOST_COUNT && !r->fatal; k++) {
		struct gt_host *host;
		r->pools[k] = (struct gt_pool){.kind = k, .loop = &r->loop, .tools = r->config->tools,
		                               .job_memory = r->config->plan.memory,
		                               .changed = on_host_changed, .note = on_note, .user = r};
		if (r->needs[k] && gt_pool_host(&r->pools[k], false, &host, r->err)) {
			gt_runner_fail(r, r->err->code);
			close_all(r);
		}
	}
}

// Results that the files do not back are no results: a run that has some is not complete, and one that
// goes on begins with them. Returns whether there are any.
static bool audit(const struct gt_runner *r, bool all, const char *advice)
{
	const struct gt_run_config *c = r->config;
	struct gt_names findings = {0};
	(all ? gt_audit : gt_audit_ended)(r->result, r->rundir->path, &findings);
	for (size_t i = 0; c->show_finding && i < findings.count; i++) {
		char *line = gt_format("%s; %s", findings.items[i], advice);
		c->show_finding(c->user, line);
		free(line);
	}
	bool found = findings.count > 0;
	gt_names_free(&findings);
	return found;
}

static void end_run(struct gt_runner *r)
{
	if (!r->running)
		return;
	struct gt_err err = {0};
	if (gt_rundir_check_place(r->rundir, &err)) { // the cause of whatever went wrong
		*r->err = err;
		r->fatal = err.code;
	}
	if (r->fatal == GT_NOT_FOUND) // of a run that has begun: no wrong usage
		r->err->code = r->fatal = GT_IO;
	if (!r->fatal)
		r->fatal = gt_journal_verify(&r->journal, r->err);
	bool complete = !r->stopping && !r->fatal;
	if (!r->fatal && audit(r, complete, "--resume runs it again")) {
		complete = false;
		if (!r->signal_number)
			r->reason = "audit";
	}
	gt_runner_emit(r, json_pack("{s:s,s:b,s:s}", "event", "run-end", "complete", complete,
	                            "reason", r->reason ? r->reason : ""));
	gt_code rc = gt_journal_close(&r->journal, &err);
	if (rc && !r->fatal) {
		*r->err = err;
		r->fatal = rc;
	}
}

static gt_code run_loop(struct gt_runner *r)
{
	uv_prepare_t prepare;
	signal(SIGXFSZ, SIG_IGN); // a limit on files is told like a full disk
	gt_code rc = open_loop(r, &prepare);
	if (rc)
		return rc;
	struct gt_memory_run memory;
	gt_memory_begin(&memory, r->config->plan.memory);
	r->slots = gt_zalloc((size_t)r->config->jobs, sizeof(struct gt_test *));
	find_needs(r);
	start_hosts(r);
	if (r->next_case == r->config->cases->count) // the run has but to be ended: no host is needed
		start_when_ready(r);
	uv_run(&r->loop, UV_RUN_DEFAULT);
	end_run(r);
	gt_memory_end(&memory, r->config->plan.memory);
	uv_loop_close(&r->loop);
	for (size_t i = 0; i < GT_HOST_COUNT; i++)
		gt_pool_free(&r->pools[i]);
	free(r->slots);
	return r->fatal;
}

// A run that goes on must be the one that was begun; what it failed then does not count now.
static gt_code prepare_resume(struct gt_runner *r)
{
	const struct gt_run_config *c = r->config;
	gt_code rc = check_start(r); // first: another Gauntlet may see other files and other tests
	if (!rc)
		rc = gt_resume_check_tests(r->result, c->cases, c->expectations, r->err);
	if (!rc)
		audit(r, false, "it is run again");
	for (size_t i = 0; !rc && i < r->result->test_count; i++) {
		const struct gt_test_result *t = &r->result->tests[i];
		r->failures_before +=
			gt_verdict_is_failure(t->verdict) && !gt_resume_is_due(t, c->rerun_failed);
	}
	return rc;
}

gt_code gt_run(const struct gt_run_config *config, const struct gt_rundir *rundir,
               struct gt_result *result, int *signal_number, struct gt_err *err)
{
	struct gt_err own = {0};
	struct gt_runner *r = gt_zalloc(1, sizeof *r);
	*r = (struct gt_runner){.config = config, .rundir = rundir, .result = result,
	                        .err = err ? err : &own};
	r->options = gt_options_to_json(config->plan.options);
	r->notes = json_array();
	gt_code rc = gt_testdir_check_places(rundir, config->cases, r->err);
	if (!rc && config->resumes)
		rc = prepare_resume(r);
	r->next_case = rc ? 0 : find_due(r, 0);
	bool nothing_left = config->resumes && result->complete && r->next_case == config->cases->count;
	if (!rc && !nothing_left)
		rc = run_loop(r);
	*signal_number = r->signal_number;
	json_decref(r->options);
	json_decref(r->notes);
	free(r);
	return rc;
}
