#include "run/attempt.h"

#include "run/alone.h"
#include "run/record.h"
#include "run/stage_end.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// A stage that has cost so many hosts their life gets one of its own: the others are to live.
#define MAX_LOST 2

#define SCRATCH_NAME 32

static void name_scratch(const struct gt_test *t, bool instance, char name[SCRATCH_NAME])
{
	snprintf(name, SCRATCH_NAME, instance ? "instance-%zu" : "job-%zu", t->slot);
}

// Has the job's whole tree ended by itself? Only then is nobody left in its working folder.
static bool left_nobody(const struct gt_ending *e)
{
	const struct gt_job_report *p = &e->report;
	return p->magic == GT_REPORT_MAGIC && p->isolated && !p->killed && !p->out_of_memory &&
	       p->leftovers == 0;
}

// A test class may define no inputs of its own: then they are generated as for any other test.
static bool is_left_to_us(const struct gt_test *t, const struct gt_ending *e)
{
	const json_t *detail = json_object_get(e->reply, "detail");
	return e->ok && !t->builtin && gt_json_bool_or(detail, "builtin", false);
}

// What the instance has left running is told with the last stage that it was there for; if it served that
// one, so is what all its stages have used. How it ended after its last reply is nobody's. Returns whether
// it has left something.
static bool add_left(struct gt_test *t, struct gt_ending *e)
{
	struct gt_job_report *to = &e->report, *left = &t->left;
	if (to->magic != GT_REPORT_MAGIC && left->magic == GT_REPORT_MAGIC) {
		to->magic = left->magic;
		to->user_us = left->user_us;
		to->system_us = left->system_us;
		to->max_rss_kb = left->max_rss_kb;
		to->output_bytes = left->output_bytes;
		to->dropped_bytes = left->dropped_bytes;
	}
	to->leftovers += left->leftovers;
	if (!to->leftover_names[0])
		memcpy(to->leftover_names, left->leftover_names, sizeof left->leftover_names);
	bool some = left->leftovers > 0;
	*left = (struct gt_job_report){0};
	return some;
}

// The attempt's job and, if it was the last stage for it, the instance are gone. Borrows everything.
static void conclude(struct gt_test *t, struct gt_ending *e, const char *worker,
                     const char *output, json_t *identity)
{
	if (is_left_to_us(t, e)) { // half of the attempt is done
		t->builtin = true;
		if (t->runner->stopping)
			gt_test_leave(t);
		else
			gt_attempt_start(t);
		return;
	}
	bool left = add_left(t, e);
	if (t->runner->config->plan.leak_fails)
		gt_ending_judge_leak(e, left ? GT_TEST_CLASS : worker);
	// A process of one job says with its reply which engine it has loaded.
	json_t *tool = json_object_get(e->reply, "tool");
	gt_stage_end(t, e, output, json_is_object(tool) ? tool : identity);
}

static void on_instance_gone(struct gt_job *job, struct gt_ending *ending)
{
	struct gt_test *t = job->user;
	struct gt_farewell *f = t->farewell;
	t->runner->running_jobs--;
	t->instance = NULL;
	t->farewell = NULL;
	t->left = ending->report;
	gt_ending_free(ending);
	conclude(t, &f->ending, f->worker, f->output, f->identity);
	gt_ending_free(&f->ending);
	json_decref(f->identity);
	free(f->output);
	free(f);
}

// Has the instance nothing more to do after this ending, which may be that of another job?
static bool is_farewell(const struct gt_test *t, const struct gt_ending *e)
{
	const struct gt_plan *plan = &t->runner->config->plan;
	struct gt_failures failures = t->failures; // counted when the stage ends, not here
	if (!t->instance)
		return false;
	if (!e->ok)
		return !gt_test_is_tried_again(t, e, &failures);
	for (enum gt_stage_id s = t->stage + 1; s < GT_STAGE_COUNT; s++)
		if (plan->stages[s] && gt_plan_place(plan, t->test, s).instance)
			return false;
	return true;
}

// The attempt's job is over. The instance goes before its last stage ends: what it leaves running belongs
// to that. Takes `e` and `output`.
static void end_attempt(struct gt_test *t, struct gt_ending *e, const char *worker, char *output,
                        json_t *identity)
{
	if (is_farewell(t, e)) {
		t->farewell = gt_zalloc(1, sizeof *t->farewell);
		*t->farewell = (struct gt_farewell){
			.ending = *e, .worker = worker, .output = output, .identity = json_incref(identity)};
		t->runner->running_jobs++;
		gt_job_release(t->instance, on_instance_gone);
		return;
	}
	conclude(t, e, worker, output, identity);
	free(output);
	gt_ending_free(e);
}

static void on_done(struct gt_job *job, struct gt_ending *ending)
{
	struct gt_test *t = job->user;
	t->job = NULL;
	t->runner->running_jobs--;
	if (!job->instance && !left_nobody(ending)) {
		char scratch[SCRATCH_NAME];
		name_scratch(t, false, scratch);
		gt_rundir_drop(t->runner->rundir, scratch);
	}
	if (job->instance && job->closing)
		t->instance = NULL;
	if (ending->unstarted) { // its host is being replaced; the stage has not been tried
		gt_ending_free(ending);
		if (t->runner->stopping)
			gt_test_leave(t);
		else
			gt_attempt_start(t);
		return;
	}
	if (!is_left_to_us(t, ending)) // then this attempt goes on with a second job
		gt_alone_give_back(t);
	end_attempt(t, ending, gt_job_worker(job), gt_job_output(job), job->identity);
}

// The attempt begins. False if that could not be recorded; the test has left then.
static bool begin(struct gt_test *t)
{
	if (t->begun)
		return true;
	t->begun = true;
	gt_runner_emit(t->runner, json_pack("{s:s,s:s,s:s,s:i}", "event", "stage-start", "test",
	                                    t->test->id, "stage", gt_stage(t->stage)->name,
	                                    "attempt", t->attempt));
	if (!t->runner->fatal)
		return true;
	gt_test_leave(t);
	return false;
}

void gt_attempt_drop_host(struct gt_test *t)
{
	if (t->own)
		gt_host_stop(t->own);
	t->own = NULL;
}

void gt_attempt_fail(struct gt_test *t, const char *why, const char *message)
{
	struct gt_ending e = {.message = gt_strdup(message)};
	snprintf(e.why, sizeof e.why, "%s", why);
	gt_attempt_drop_host(t);
	if (begin(t))
		end_attempt(t, &e, "", gt_strdup(""), NULL);
	else
		gt_ending_free(&e);
}

void gt_attempt_fail_run(struct gt_test *t, const struct gt_err *err)
{
	if (!t->runner->fatal)
		*t->runner->err = *err;
	gt_runner_fail(t->runner, err->code);
	gt_test_leave(t);
}

// Nothing could be started. No test is to blame for what the system has no more of.
static void fail_start(struct gt_test *t, const struct gt_err *err)
{
	if (err->code == GT_NO_MEMORY)
		gt_attempt_fail_run(t, err);
	else
		gt_attempt_fail(t, "host", err->text);
}

static char *make_request(const struct gt_test *t, json_t *needs)
{
	json_t *request = json_pack("{s:s,s:s,s:o,s:O,s:O,s:o}", "action", "stage", "stage",
	                            gt_stage(t->stage)->name, "folder", gt_json_text(t->dir.path), "test",
	                            t->test_json, "options", t->runner->options, "records", needs);
	char *text = json_dumps(request, JSON_COMPACT);
	json_decref(request);
	if (!text)
		abort();
	return text;
}

static void start_job(struct gt_test *t, struct gt_host *host, struct gt_placement place,
                      const char *request)
{
	struct gt_runner *r = t->runner;
	struct gt_err err = {0};
	double limit_s = r->config->plan.limits_s[t->stage];
	if (!begin(t))
		return;
	r->running_jobs++;
	if (!host) {
		t->job = t->instance;
		gt_job_request(t->instance, request, limit_s);
		return;
	}
	char scratch[SCRATCH_NAME];
	int folder = -1;
	name_scratch(t, place.instance, scratch);
	if (place.instance)
		gt_rundir_drop(r->rundir, scratch); // the last one may still be on its way out
	gt_code rc = gt_rundir_scratch(r->rundir, scratch, &folder, r->err);
	if (rc) { // no test is to blame for a disk that is full
		r->running_jobs--;
		gt_runner_fail(r, rc);
		gt_test_leave(t);
		return;
	}
	t->job = gt_job_start(&r->loop, host, place.instance, folder, request, limit_s, on_done, t,
	                      &err);
	close(folder);
	if (host == t->own) {
		gt_host_retire(host);
		t->own = NULL;
	}
	if (place.instance)
		t->instance = t->job;
	if (t->job)
		return;
	r->running_jobs--;
	if (!host->once && host->state == GT_HOST_ENDING)
		t->waits_for = host; // it has just died: the next one takes the job
	else
		fail_start(t, &err);
}

// The host for a new job, or NULL: then it comes with gt_test_host_changed(), or the stage has failed.
static struct gt_host *find_host(struct gt_test *t, enum gt_host_kind kind)
{
	struct gt_err err = {0};
	struct gt_host *host = t->own;
	if (!host && gt_pool_host(&t->runner->pools[kind], t->lost >= MAX_LOST, &host, &err)) {
		fail_start(t, &err);
		return NULL;
	}
	t->own = host->once ? host : NULL;
	t->waits_for = host->state == GT_HOST_READY ? NULL : host;
	return t->waits_for ? NULL : host;
}

static struct gt_placement place_stage(const struct gt_test *t)
{
	if (t->builtin)
		return (struct gt_placement){.host = GT_HOST_PLAIN};
	return gt_plan_place(&t->runner->config->plan, t->test, t->stage);
}

void gt_attempt_start(struct gt_test *t)
{
	struct gt_runner *r = t->runner;
	t->held = !gt_alone_may_start(t);
	if (t->held)
		return;
	const struct gt_plan *plan = &r->config->plan;
	struct gt_placement place = place_stage(t);
	struct gt_host *host = NULL; // none, if the instance is to go on
	if (!(t->instance && place.instance) && !(host = find_host(t, place.host)))
		return;
	struct gt_err err = {0};
	json_t *needs;
	if (gt_testdir_check(&t->dir, &err)) { // another test, or a test class that goes on
		gt_attempt_fail(t, "error", "");
		return;
	}
	if (gt_plan_loads(plan, t->stage))
		gt_record_begin_loading(gt_test_stages(t), gt_stage(t->stage)->name);
	if (gt_plan_check(plan, t->test, t->stage, gt_test_stages(t), &needs, &err)) {
		json_decref(needs);
		t->refused = true;
		gt_attempt_fail(t, "error", err.text);
		return;
	}
	json_decref(t->inputs); // of an earlier attempt
	t->inputs = gt_plan_inputs(plan, t->test, t->stage, gt_test_stages(t));
	char *request = make_request(t, needs);
	start_job(t, host, place, request);
	free(request);
}
