#include "run/test.h"

#include "base/utf8.h"
#include "run/job.h"
#include "run/record.h"
#include "run/retry.h"
#include "run/stagelog.h"
#include "run/testdir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// A stage that has cost so many hosts their life gets one of its own: the others are to live.
#define MAX_LOST 2

// What a test class has said last, while it goes.
struct farewell {
	struct gt_ending ending;
	char *output;
	json_t *identity;
};

struct gt_test {
	struct gt_runner *runner;
	size_t slot;
	const struct gt_case *test;
	struct gt_testdir dir;
	json_t *test_json;
	enum gt_stage_id stage;
	int attempt;
	struct gt_failures failures; // of this stage
	int lost;          // attempts that ended with a host that others shared
	bool begun;        // stage-start of this attempt is written
	const struct gt_host *waits_for;
	struct gt_host *own; // host for the next job only, until it has it
	bool builtin;      // the test class leaves this stage to the built-in code
	bool alone;        // the next attempt has to have the machine for itself
	bool suspended;    // by the user
	bool held;         // waits for that, or for another test that has it
	struct gt_job *job; // under way, or the idle instance
	struct gt_job *instance;
	bool leaving;      // the slot is free as soon as the instance is gone
	struct farewell *farewell; // the instance goes, and a stage waits for what it leaves behind
	struct gt_job_report left; // what it left
	json_t *records;   // stages.json
	json_t *inputs;    // of the stage that is under way; NULL if none is
	bool unreadable;   // stages.json of an earlier run is; it stays as it is
	bool evicted;      // its folder was removed or replaced, or cannot even be made
	bool refused;      // the stage may not begin: what is recorded of it stays as it is
};

static void start_stage(struct gt_test *t);
static void next_stage(struct gt_test *t);

static void give_back_machine(struct gt_test *t);

static void drop_own_host(struct gt_test *t)
{
	if (t->own)
		gt_host_stop(t->own);
	t->own = NULL;
}

static void on_instance_gone(struct gt_job *job, struct gt_ending *ending);

static void leave(struct gt_test *t)
{
	struct gt_runner *r = t->runner;
	give_back_machine(t);
	drop_own_host(t);
	t->waits_for = NULL;
	t->held = false;
	size_t slot = t->slot;
	if (t->instance) {
		gt_job_continue(t->instance); // it has to run in order to leave
		t->leaving = true;
		r->running_jobs++; // it may do as much as any job until it is gone
		gt_job_release(t->instance, on_instance_gone);
		return;
	}
	json_decref(t->test_json);
	json_decref(t->records);
	json_decref(t->inputs);
	gt_testdir_close(&t->dir);
	free(t);
	gt_runner_slot_free(r, slot);
}

static void end_test(struct gt_test *t, const char *status, const char *why, const char *stage,
                     const char *message)
{
	struct gt_runner *r = t->runner;
	gt_json_set(t->records, "artifacts", json_boolean(r->config->keep_artifacts));
	gt_code rc = GT_OK;
	if (!t->unreadable && !t->dir.unusable)
		rc = gt_record_write(t->dir.path, t->records, r->err);
	if (rc) {
		gt_runner_fail(r, rc);
	} else {
		if (!r->config->keep_artifacts)
			gt_testdir_remove_artifacts(&t->dir);
		gt_runner_emit(r, json_pack("{s:s,s:s,s:s,s:s,s:s,s:o}", "event", "test-end", "test",
		                            t->test->id, "status", status, "why", why, "stage", stage,
		                            "message", gt_json_text(message)));
	}
	leave(t);
}

static json_t *end_event(const struct gt_test *t, const struct gt_ending *e)
{
	json_t *event = json_pack("{s:s,s:s,s:s}", "event", "stage-end", "test", t->test->id, "stage",
	                          gt_stage(t->stage)->name);
	gt_record_facts(event, t->attempt, e);
	return event;
}

static json_t *stages_of(const struct gt_test *t)
{
	return json_object_get(t->records, "stages");
}

// What stages.json keeps of a stage, and later stages go by.
static void keep_record(struct gt_test *t, json_t *event, json_t *identity)
{
	const struct gt_plan *plan = &t->runner->config->plan;
	if (t->refused && json_object_get(stages_of(t), gt_stage(t->stage)->name))
		return; // what it left before is as good as it was
	json_t *inputs = t->inputs ? t->inputs : json_array();
	json_t *basis = gt_plan_basis(plan, t->test, t->stage, stages_of(t));
	t->inputs = NULL;
	gt_json_set(stages_of(t), gt_stage(t->stage)->name,
	            gt_record_make(event, inputs, basis, identity));
}

// Is the stage tried again after this ending, which is counted in `failures`? What went with a shared
// host always is, and costs none of the tries that the test has: it ends on a host of its own.
static bool is_tried_again(const struct gt_test *t, const struct gt_ending *e,
                           struct gt_failures *failures)
{
	const struct gt_retries *retries = &t->runner->config->plan.retries;
	if (t->evicted) // with all that it would need
		return false;
	return e->host_gone || (!e->ok && gt_retry_again(retries, failures, e->why));
}

static void after_stage(struct gt_test *t, const struct gt_ending *e)
{
	const struct gt_stage_row *row = gt_stage(t->stage);
	json_t *detail = json_object_get(e->reply, "detail");
	if (is_tried_again(t, e, &t->failures)) {
		t->attempt++;
		t->lost += e->host_gone;
		t->alone = gt_retry_alone(&t->failures);
		next_stage(t);
	} else if (!e->ok) {
		end_test(t, row->failed, e->why, row->name, e->message);
	} else if (t->stage == GT_COMPARISON && !gt_json_bool_or(detail, "match", false)) {
		end_test(t, GT_STATUS_NUMERICS, gt_json_string_or(detail, "difference", "value"),
		         row->name, gt_json_string_or(detail, "message", ""));
	} else {
		t->stage++;
		t->attempt = 1;
		t->failures = (struct gt_failures){0};
		t->lost = 0;
		t->builtin = false;
		next_stage(t);
	}
}

// No test is to blame for a disk that is full or broken: such a failure ends the run.
static gt_code check_disk(const struct gt_test *t, const struct gt_ending *e)
{
	struct gt_runner *r = t->runner;
	const char *code = gt_json_string_or(e->reply, "code", "");
	if (strcmp(code, gt_code_name(GT_DISK)) == 0)
		return gt_fail(r->err, GT_DISK, "%s", e->message);
	return gt_rundir_check_disk(r->rundir, r->err);
}

// The test is to blame for what became of its folder, not the job, whose reply names files there, nor
// the disk.
static void blame_folder(struct gt_ending *e, const char *sentence)
{
	bool said = !e->ok && *e->message;
	char *message = gt_format("%s%s%s", sentence, said ? "; " : "", said ? e->message : "");
	free(e->message);
	e->message = message;
	e->ok = e->host_gone = false;
	snprintf(e->why, sizeof e->why, "error");
	json_decref(e->reply);
	e->reply = NULL;
}

// A test whose folder is gone when a stage ends, or is elsewhere, has failed there. It gets a new one, for
// its log and its records.
static gt_code keep_folder(struct gt_test *t, struct gt_ending *e)
{
	struct gt_err err = {0};
	bool lost;
	gt_code rc = gt_testdir_keep(&t->dir, &lost, &err);
	if (rc && rc != GT_BAD_DATA)
		return gt_fail(t->runner->err, rc, "%s", err.text);
	if (rc) {
		blame_folder(e, err.text);
		t->evicted = true;
	}
	if (lost) { // what was in it has gone with it
		gt_record_lose_files(t->records);
		t->unreadable = false;
	}
	return GT_OK;
}

static void finish_stage(struct gt_test *t, struct gt_ending *e, const char *output,
                         json_t *identity)
{
	struct gt_runner *r = t->runner;
	t->begun = false;
	// An interrupted stage has not ended: a later run does it again.
	if (r->fatal || strcmp(e->why, "interrupted") == 0) {
		leave(t);
		return;
	}
	gt_code rc = keep_folder(t, e);
	if (!rc && !e->ok) {
		gt_stagelog_quote(e, output);
		rc = check_disk(t, e);
	}
	if (!rc && !t->dir.unusable)
		rc = gt_stagelog_write(t->dir.path, t->test->id, t->stage, e, output, r->err);
	if (rc) {
		gt_runner_fail(r, rc);
		leave(t);
		return;
	}
	json_t *event = end_event(t, e);
	keep_record(t, event, identity);
	gt_runner_emit(r, event);
	if (r->fatal)
		leave(t);
	else
		after_stage(t, e);
}

// A test class may define no inputs of its own: then they are generated as for any other test.
static bool is_left_to_us(const struct gt_test *t, const struct gt_ending *e)
{
	const json_t *detail = json_object_get(e->reply, "detail");
	return e->ok && !t->builtin && gt_json_bool_or(detail, "builtin", false);
}

#define SCRATCH_NAME 32

static void name_scratch(const struct gt_test *t, bool instance, char name[SCRATCH_NAME])
{
	snprintf(name, SCRATCH_NAME, instance ? "instance-%zu" : "job-%zu", t->slot);
}

// Has the job's whole tree ended by itself? Only then is nobody left in its working folder.
static bool left_nobody(const struct gt_ending *e)
{
	const struct gt_job_report *p = &e->report;
	return p->magic == GT_REPORT_MAGIC && p->isolated && !p->killed && p->leftovers == 0;
}

// What the instance has left running is the fault of the last stage that it served, which also tells what
// all of them have used. How it ended after its last reply is nobody's.
static void add_left(struct gt_test *t, struct gt_ending *e)
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
	*left = (struct gt_job_report){0};
}

static void conclude(struct gt_test *t, struct gt_ending *e, const char *worker,
                     const char *output, json_t *identity)
{
	if (is_left_to_us(t, e) && !t->runner->stopping) {
		t->builtin = true;
		start_stage(t);
		return;
	}
	add_left(t, e);
	if (t->runner->config->plan.leak_fails)
		gt_ending_judge_leak(e, worker);
	// A process of one job says with its reply which engine it has loaded.
	json_t *tool = json_object_get(e->reply, "tool");
	finish_stage(t, e, output, json_is_object(tool) ? tool : identity);
}

static void on_instance_gone(struct gt_job *job, struct gt_ending *ending)
{
	struct gt_test *t = job->user;
	struct farewell *f = t->farewell;
	t->runner->running_jobs--;
	t->instance = NULL;
	t->farewell = NULL;
	t->left = ending->report;
	gt_ending_free(ending);
	if (f)
		conclude(t, &f->ending, gt_job_worker(job), f->output, f->identity);
	else
		leave(t);
	if (f) {
		gt_ending_free(&f->ending);
		json_decref(f->identity);
		free(f->output);
		free(f);
	}
}

// Has the instance nothing more to do after this ending?
static bool is_farewell(const struct gt_test *t, const struct gt_ending *e)
{
	const struct gt_plan *plan = &t->runner->config->plan;
	struct gt_failures failures = t->failures; // counted when the stage ends, not here
	if (!e->ok)
		return !is_tried_again(t, e, &failures);
	for (enum gt_stage_id s = t->stage + 1; s < GT_STAGE_COUNT; s++)
		if (plan->stages[s] && gt_plan_place(plan, t->test, s).instance)
			return false;
	return true;
}

// Let the instance go before its last stage ends: what it leaves running belongs to that.
static void say_farewell(struct gt_test *t, struct gt_ending *e, char *output)
{
	t->farewell = gt_zalloc(1, sizeof *t->farewell);
	*t->farewell = (struct farewell){
		.ending = *e, .output = output, .identity = json_incref(t->instance->identity)};
	t->runner->running_jobs++;
	gt_job_release(t->instance, on_instance_gone);
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
			leave(t);
		else
			start_stage(t);
		return;
	}
	if (!is_left_to_us(t, ending)) // then this attempt goes on with a second job
		give_back_machine(t);
	char *output = gt_job_output(job);
	if (t->instance == job && is_farewell(t, ending)) {
		say_farewell(t, ending, output);
		return;
	}
	conclude(t, ending, gt_job_worker(job), output, job->identity);
	free(output);
	gt_ending_free(ending);
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
	leave(t);
	return false;
}

// A stage that could not even be asked for.
static void fail_stage(struct gt_test *t, const char *why, const char *message)
{
	struct gt_ending e = {.message = gt_strdup(message)};
	snprintf(e.why, sizeof e.why, "%s", why);
	drop_own_host(t);
	if (begin(t))
		finish_stage(t, &e, "", NULL);
	gt_ending_free(&e);
}

// The run cannot go on, and no test is to blame.
static void fail_run(struct gt_test *t, const struct gt_err *err)
{
	if (!t->runner->fatal)
		*t->runner->err = *err;
	gt_runner_fail(t->runner, err->code);
	leave(t);
}

// Nothing could be started. No test is to blame for what the system has no more of.
static void fail_start(struct gt_test *t, const struct gt_err *err)
{
	if (err->code == GT_NO_MEMORY)
		fail_run(t, err);
	else
		fail_stage(t, "host", err->text);
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
		leave(t);
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

// May no process of the test run, because the user wants that or another stage is to be alone?
static bool is_still(const struct gt_test *t)
{
	return t->suspended || (t->runner->quiet && t->runner->alone != t);
}

static void still(struct gt_test *t)
{
	struct gt_job *jobs[] = {t->job, t->instance != t->job ? t->instance : NULL};
	for (size_t i = 0; i < GT_COUNTOF(jobs); i++)
		if (jobs[i])
			(is_still(t) ? gt_job_pause : gt_job_continue)(jobs[i]);
}

static void set_quiet(struct gt_runner *r, bool quiet)
{
	if (r->quiet == quiet)
		return;
	r->quiet = quiet;
	for (int i = 0; i < r->config->jobs; i++)
		if (r->slots[i])
			still(r->slots[i]);
}

// Nothing else runs beside a stage that has to be alone.
static bool may_start(struct gt_test *t)
{
	struct gt_runner *r = t->runner;
	if (t->alone && !r->alone)
		r->alone = t;
	if (r->alone == t && r->running_jobs == 0)
		set_quiet(r, true);
	return r->alone == t ? r->quiet : !r->alone;
}

static void give_back_machine(struct gt_test *t)
{
	t->alone = false;
	if (t->runner->alone != t)
		return;
	set_quiet(t->runner, false);
	t->runner->alone = NULL;
}

static void start_stage(struct gt_test *t)
{
	struct gt_runner *r = t->runner;
	t->held = !may_start(t);
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
		fail_stage(t, "error", "");
		return;
	}
	if (gt_plan_check(plan, t->test, t->stage, stages_of(t), &needs, &err)) {
		json_decref(needs);
		t->refused = true;
		fail_stage(t, "error", err.text);
		return;
	}
	json_decref(t->inputs); // of an earlier attempt
	t->inputs = gt_plan_inputs(plan, t->test, t->stage, stages_of(t));
	char *request = make_request(t, needs);
	start_job(t, host, place, request);
	free(request);
}

static void next_stage(struct gt_test *t)
{
	struct gt_runner *r = t->runner;
	const struct gt_plan *plan = &r->config->plan;
	t->stage = gt_plan_next(plan, t->stage);
	if (r->fatal) {
		leave(t);
	} else if (t->stage == GT_STAGE_COUNT) {
		end_test(t, GT_STATUS_PASS, plan->stages[GT_COMPARISON] ? "" : GT_WHY_PARTIAL, "", "");
	} else if (r->stopping) {
		leave(t);
	} else {
		start_stage(t);
	}
}

void gt_test_host_changed(struct gt_test *t, const struct gt_host *host)
{
	if (t->waits_for != host)
		return;
	t->waits_for = NULL;
	bool own_gone = host == t->own && host->state != GT_HOST_READY;
	if (own_gone)
		t->own = NULL;
	if (t->runner->stopping && is_still(t))
		t->held = true; // it leaves when the stage that is alone has ended
	else if (t->runner->stopping)
		leave(t);
	else if (own_gone)
		fail_stage(t, "host", host->failure ? host->failure : host->surprise_text);
	else
		start_stage(t);
}

void gt_test_pause(struct gt_test *t, bool pause)
{
	t->suspended = pause;
	still(t);
}

void gt_test_go_on(struct gt_test *t)
{
	if (!t->held || is_still(t))
		return;
	if (t->runner->stopping)
		leave(t);
	else
		start_stage(t);
}

void gt_test_stop(struct gt_test *t)
{
	if (t->job)
		gt_job_stop(t->job);
	else if (t->leaving || t->farewell)
		gt_job_stop(t->instance);
	else if (t->waits_for || t->held)
		leave(t);
}

// What an earlier run left cannot be read: the first stage fails with that.
static void begin_refused(struct gt_test *t, const char *message)
{
	t->unreadable = true;
	t->stage = gt_plan_next(&t->runner->config->plan, t->stage);
	fail_stage(t, "error", message);
}

void gt_test_start(struct gt_runner *r, size_t slot, const struct gt_case *test)
{
	const struct gt_plan *plan = &r->config->plan;
	struct gt_test *t = gt_zalloc(1, sizeof *t);
	*t = (struct gt_test){.runner = r, .slot = slot, .test = test, .attempt = 1,
	                      .test_json = gt_case_to_json(test)};
	r->slots[slot] = t;
	struct gt_err err = {0};
	gt_code rc = gt_testdir_open(r->rundir, test, r->options, plan->stages[GT_SETUP],
	                             plan->options->load_inputs, &t->dir, &t->records, &err);
	gt_json_set(t->records, "test", gt_json_text(test->id));
	t->evicted = t->dir.unusable;
	if (!rc)
		next_stage(t);
	else if (rc == GT_DISK || rc == GT_NO_MEMORY)
		fail_run(t, &err);
	else
		begin_refused(t, err.text);
}
