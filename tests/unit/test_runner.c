// Whole runs with real processes and without any engine: this program is its own five hosts, and the
// name of a test says what goes wrong in it: "STAGE:WHAT".
#include "run_support.h"

#include "run/runner.h"

#include <uv.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#define TEST_LIMIT_S 150
#define GRACE_TICKS 100 // of those who run when a run is interrupted, or more

static char folder[] = "/tmp/gauntlet-runner-XXXXXX";
static struct gt_options options;
static struct gt_toolchain tools;
static struct gt_cases cases;
static struct gt_run_config config;
static struct gt_rundir rundir;
static struct gt_result result;
static struct gt_err err;
static int signal_number;
static json_t *events;
static int ticks, struck_at; // struck_at: when a test of this file has done its deed
static int busy_seen;
static void (*on_tick)(void);
static void (*on_event)(const json_t *event);

// --- support

// Have as many said that they are busy, in this run?
static bool are_busy(int count)
{
	while (take_busy(folder))
		busy_seen++;
	return busy_seen >= count;
}

#define pid_of_host(kind) host_called(gt_host_name(kind))

static void kill_below(enum gt_host_kind kind, bool supervisors)
{
	kill_below_host(pid_of_host(kind), supervisors);
}

static void observe(void *user, const struct gt_result *r, const json_t *event)
{
	(void)user;
	(void)r;
	if (event)
		json_array_append_new(events, json_deep_copy(event));
	if (event && on_event)
		on_event(event);
	if (!event)
		ticks++;
	if (!event && on_tick)
		on_tick();
}

static void add_case(const char *name, enum gt_case_kind kind)
{
	struct gt_case *c = gt_cases_add(&cases);
	c->name = gt_strdup(name);
	c->suite = gt_strdup("s");
	c->model = gt_strdup("/nonexistent/model.onnx");
	c->kind = kind;
}

static void add_cases(size_t count, const char *const names[])
{
	for (size_t i = 0; i < count; i++)
		add_case(names[i], GT_CASE_ONNX);
}

#define ADD_CASES(...)                                           \
	do {                                                         \
		static const char *const names_[] = {__VA_ARGS__};       \
		add_cases(GT_COUNTOF(names_), names_);                   \
	} while (0)

static gt_code run_in(const char *where)
{
	gt_cases_name(&cases);
	char *path = gt_path_join(folder, where);
	gt_code rc = gt_rundir_open(path, &rundir, &err);
	free(path);
	if (rc)
		return rc;
	signal_number = 0;
	ticks = struck_at = 0;
	while (take_busy(folder)) // in an earlier run
		continue;
	busy_seen = 0;
	json_array_clear(events);
	gt_result_free(&result);
	rc = gt_run(&config, &rundir, &result, &signal_number, &err);
	gt_rundir_close(&rundir);
	gt_run_release_signals();
	return rc;
}

static const struct gt_test_result *test_named(const char *name)
{
	const struct gt_test_result *t = gt_result_find(&result, name);
	if (!t)
		fail_msg("no test '%s'", name);
	return t;
}

static void assert_test(const char *name, const char *status, const char *why, const char *part)
{
	const struct gt_test_result *t = test_named(name);
	if (strcmp(t->status, status) != 0 || strcmp(t->why, why) != 0 || !strstr(t->message, part))
		fail_msg("%s ended with '%s', '%s', '%s'", name, t->status, t->why, t->message);
}

static bool is_there(const char *format, const char *name)
{
	char *path = gt_format(format, folder, name);
	bool there = gt_is_file(path);
	free(path);
	return there;
}

// Events of one test, as "stage-start:setup:1 stage-end:setup:1 ...".
static char *way_of(const char *id)
{
	struct gt_buf text = {0};
	size_t i;
	json_t *e;
	json_array_foreach(events, i, e) {
		const char *kind = gt_json_string_or(e, "event", "");
		if (strcmp(gt_json_string_or(e, "test", ""), id) != 0 || strcmp(kind, "test") == 0)
			continue;
		gt_buf_printf(&text, "%s%s:%s:%d", text.length ? " " : "",
		              strncmp(kind, "stage-", 6) == 0 ? kind + 6 : kind,
		              gt_json_string_or(e, "stage", ""), (int)gt_json_integer_or(e, "attempt", 0));
	}
	return gt_buf_take(&text);
}

static void only_stages(size_t count, const enum gt_stage_id ids[])
{
	memset(config.plan.stages, 0, sizeof config.plan.stages);
	for (size_t i = 0; i < count; i++)
		config.plan.stages[ids[i]] = true;
}

// --- runs

static void test_all_endings(void **state)
{
	(void)state;
	ADD_CASES("fine", "setup:no", "import_model:exit 0", "compilation:abort", "compilation:session",
	          "native_inference:garbage", "comparison:nomatch", "comparison:no",
	          "construct_inputs:{\"ok\":1}", "preprocessing:print x");
	assert_int_equal(run_in("all"), GT_OK);
	assert_true(result.ended && result.complete);
	assert_int_equal(signal_number, 0);
	assert_test("fine", "PASS", "", "");
	assert_test("compilation:session", "PASS", "", "");
	assert_test("preprocessing:print x", "PASS", "", "");
	assert_test("setup:no", "setup", "error", "it does not like it");
	assert_test("import_model:exit 0", "import_model", "protocol", "exit code 0");
	assert_test("compilation:abort", "compilation", "crash:SIGABRT", "crashed");
	assert_test("native_inference:garbage", "native_inference", "protocol", "no result");
	assert_test("comparison:nomatch", "Numerics", "value", "");
	assert_test("comparison:no", "results-summary", "error", "");
	assert_test("construct_inputs:{\"ok\":1}", "construct_inputs", "protocol", "reply");
	assert_true(is_there("%s/all/compilation%%3Aabort/%s", "compilation.log"));
	assert_true(is_there("%s/all/fine/%s", "stages.json"));

	char *way = way_of("compilation:abort");
	assert_string_equal(way, "start:setup:1 end:setup:1 start:import_model:1 end:import_model:1 "
	                         "start:preprocessing:1 end:preprocessing:1 start:compilation:1 "
	                         "end:compilation:1 test-end:compilation:0");
	free(way);
	// What was told is what was written, and the journal folds into the same result.
	struct gt_result again = {0};
	char *path = gt_path_join(folder, "all");
	assert_int_equal(gt_result_load(path, &again, &err), GT_OK);
	struct gt_buf a = {0}, b = {0};
	gt_result_write(&result, &a);
	gt_result_write(&again, &b);
	assert_string_equal(gt_buf_text(&a), gt_buf_text(&b));
	gt_buf_free(&a);
	gt_buf_free(&b);
	free(path);
	gt_result_free(&again);
	assert_string_equal(gt_json_string_or(json_array_get(events, 0), "event", ""), "run-start");
	json_t *last = json_array_get(events, json_array_size(events) - 1);
	assert_string_equal(gt_json_string_or(last, "event", ""), "run-end");
	assert_true(gt_json_bool_or(last, "complete", false));
}

// Nobody reaches a stage with so short a limit who could meet it only by standing still.
static void test_limits(void **state)
{
	(void)state;
	ADD_CASES("compiled_inference:busy");
	config.plan.limits_s[GT_COMPILED_INFERENCE] = 0.5;
	assert_int_equal(run_in("late"), GT_OK);
	assert_test("compiled_inference:busy", "compiled_inference", "timeout", "0.5 s");
	gt_cases_free(&cases);
	add_case("postprocessing:busy", GT_CASE_PYTHON);
	config.plan.limits_s[GT_COMPILED_INFERENCE] = config.plan.limits_s[GT_SETUP];
	config.plan.limits_s[GT_POSTPROCESSING] = 0.5;
	assert_int_equal(run_in("late"), GT_OK);
	assert_test("postprocessing:busy", "postprocessing", "timeout", "the test class");
}

static void test_hostile_replies(void **state)
{
	(void)state;
	ADD_CASES("setup:{\"ok\":true}", "setup:{\"ok\":true,\"files\":7,\"detail\":[]}",
	          "setup:{\"ok\":true,\"files\":[7,{\"name\":5},{\"name\":\"x\",\"hash\":[]}]}",
	          "setup:{\"ok\":false}", "setup:{\"ok\":false,\"message\":5,\"code\":[]}",
	          "setup:{\"ok\":true,\"ok\":true}", "setup:{\"ok\":false,\"message\":\"a\\u0000b\"}",
	          "setup:{\"ok\":false,\"message\":\"\\u001b[2J\",\"code\":\"unsupported\"}");
	static const enum gt_stage_id ids[] = {GT_SETUP};
	only_stages(1, ids);
	assert_int_equal(run_in("hostile"), GT_OK);
	assert_true(result.complete);
	static const char *const whys[] = {"partial", "partial", "partial", "error", "error",
	                                   "protocol", "protocol", "unsupported"};
	for (size_t i = 0; i < GT_COUNTOF(whys); i++)
		assert_string_equal(result.tests[i].why, whys[i]);
}

static void test_stages_of_earlier_runs(void **state)
{
	(void)state;
	static const enum gt_stage_id first[] = {GT_SETUP, GT_IMPORT_MODEL, GT_CONSTRUCT_INPUTS};
	static const enum gt_stage_id second[] = {GT_COMPILATION, GT_COMPILED_INFERENCE};
	static const enum gt_stage_id third[] = {GT_COMPARISON};
	ADD_CASES("fine", "other");
	only_stages(GT_COUNTOF(first), first);
	assert_int_equal(run_in("parts"), GT_OK);
	assert_test("fine", "PASS", "partial", "");
	// Results beside a journal that they are not from would be believed.
	char *old = gt_path_join(folder, "parts/results.json");
	assert_int_equal(gt_file_write(old, "{}", 2, NULL), GT_OK);
	only_stages(GT_COUNTOF(second), second);
	assert_int_equal(run_in("parts"), GT_OK);
	assert_false(gt_is_file(old));
	free(old);
	assert_int_equal(run_in("parts"), GT_OK);
	assert_test("fine", "PASS", "partial", "");
	assert_true(is_there("%s/parts/fine/%s", "model.onnx"));
	only_stages(GT_COUNTOF(third), third);
	assert_int_equal(run_in("parts"), GT_OK);
	assert_test("fine", "results-summary", "error",
	            "comparison reads 'golden_output.json', but stage native_inference was left out");
	// A record that cannot be read costs its own test, not the run.
	char *path = gt_format("%s/parts/fine/stages.json", folder);
	assert_int_equal(gt_file_write(path, "{broken", 7, NULL), GT_OK);
	free(path);
	only_stages(GT_COUNTOF(second), second);
	assert_int_equal(run_in("parts"), GT_OK);
	assert_true(result.complete);
	assert_test("fine", "compilation", "error", "stages.json' is damaged");
	assert_test("other", "PASS", "partial", "");
	// With setup everything begins anew.
	only_stages(GT_COUNTOF(first), first);
	assert_int_equal(run_in("parts"), GT_OK);
	assert_test("fine", "PASS", "partial", "");
	assert_false(is_there("%s/parts/fine/%s", "compiled_model.vmfb"));
}

static int kills_left;

static void kill_host_once(void)
{
	if (kills_left > 0 && are_busy(1)) {
		kills_left--;
		kill(pid_of_host(GT_HOST_COMPILER), SIGKILL);
	}
}

static void kill_hosts(void)
{
	pid_t host = pid_of_host(GT_HOST_COMPILER);
	if (host)
		kill(host, SIGKILL);
}

// Slow enough to be killed, then fine: the first attempt sleeps until it dies, the second does not.
static void use_slow_case(const char *name)
{
	add_case(name, GT_CASE_ONNX);
	add_case("fine", GT_CASE_ONNX);
}

static void test_host_killed(void **state)
{
	(void)state;
	use_slow_case("compilation:once busy");
	kills_left = 1;
	on_tick = kill_host_once;
	assert_int_equal(run_in("killed"), GT_OK);
	assert_int_equal(kills_left, 0);
	assert_test("fine", "PASS", "", "");
	assert_test("compilation:once busy", "PASS", "", "");
	char *way = way_of("compilation:once busy");
	assert_non_null(strstr(way, "start:compilation:1 end:compilation:1 start:compilation:2 "
	                            "end:compilation:2 start:construct_inputs:1"));
	free(way);
	// The log of the attempt that failed is not that of the stage that passed.
	assert_false(is_there("%s/killed/compilation%%3Aonce%%20busy/%s", "compilation.log"));
}

// The kernel tells of a child's end once, and the telling can be lost: nobody waits for ever.
static void kill_host_unheard(void)
{
	struct sigaction deaf = {.sa_handler = SIG_DFL}, before;
	siginfo_t info;
	int left = kills_left;
	sigaction(SIGCHLD, &deaf, &before);
	kill_host_once();
	if (kills_left < left)
		waitid(P_ALL, 0, &info, WEXITED | WNOWAIT);
	sigaction(SIGCHLD, &before, NULL);
}

static void test_host_dies_unheard(void **state)
{
	(void)state;
	use_slow_case("compilation:once busy");
	kills_left = 1;
	on_tick = kill_host_unheard;
	assert_int_equal(run_in("unheard"), GT_OK);
	assert_int_equal(kills_left, 0);
	assert_test("compilation:once busy", "PASS", "", "");
}

static void test_host_killed_for_ever(void **state)
{
	(void)state;
	ADD_CASES("compilation:busy", "compilation:stop", "fine");
	on_tick = kill_hosts;
	assert_int_equal(run_in("killed"), GT_OK);
	assert_true(result.complete);
	assert_test("compilation:busy", "compilation", "host", "");
	assert_test("compilation:stop", "compilation", "host", "");
}

static void kill_supervisor_once(void)
{
	if (kills_left > 0 && are_busy(1)) {
		kills_left--;
		kill_below(GT_HOST_COMPILER, true);
	}
}

static void kill_busy(void)
{
	for (pid_t pid; (pid = take_busy(folder));)
		kill(pid, SIGKILL);
}

static void test_supervisor_killed(void **state)
{
	(void)state;
	use_slow_case("compilation:once busy");
	kills_left = 1;
	on_tick = kill_supervisor_once;
	assert_int_equal(run_in("killed"), GT_OK);
	assert_test("compilation:once busy", "PASS", "", "");
	char *way = way_of("compilation:once busy");
	assert_non_null(strstr(way, "start:compilation:2 end:compilation:2"));
	free(way);
}

// Nobody knows who killed it: once is an accident, twice is a verdict.
static void test_child_killed(void **state)
{
	(void)state;
	use_slow_case("compilation:once busy");
	add_case("compilation:busy", GT_CASE_ONNX);
	on_tick = kill_busy;
	assert_int_equal(run_in("killed"), GT_OK);
	assert_test("compilation:busy", "compilation", "killed", "was killed from outside");
	char *way = way_of("compilation:busy");
	assert_non_null(strstr(way, "end:compilation:2 test-end"));
	free(way);
	assert_test("fine", "PASS", "", "");
	assert_test("compilation:once busy", "PASS", "", "");
}

static void interrupt_twice(void)
{
	bool begins = !struck_at && are_busy(2);
	if (begins)
		struck_at = ticks;
	if (begins || (struck_at && ticks == struck_at + 3))
		raise(SIGINT);
}

static void interrupt_once(void)
{
	if (!struck_at && are_busy(2)) {
		struck_at = ticks;
		raise(SIGTERM);
	} else if (struck_at && ticks == struck_at + 2) {
		give_way(folder, "gate");
	}
}

static void test_interrupted(void **state)
{
	(void)state;
	ADD_CASES("compilation:busy", "fine", "compilation:session", "compilation:busy 2",
	          "compilation:stop", "never");
	on_tick = interrupt_twice;
	config.jobs = 2;
	assert_int_equal(run_in("interrupted"), GT_OK);
	assert_int_equal(signal_number, SIGINT);
	assert_in_range(ticks, struck_at + 3, struck_at + GRACE_TICKS - 20);
	assert_true(result.ended && !result.complete);
	assert_string_equal(test_named("compilation:busy")->status, "");
	assert_string_equal(test_named("never")->status, "");
	json_t *last = json_array_get(events, json_array_size(events) - 1);
	assert_string_equal(gt_json_string_or(last, "reason", ""), "interrupted");
	assert_false(gt_json_bool_or(last, "complete", true));
}

// What runs may end by itself for a while: a test that does is a result.
static void test_interrupted_gently(void **state)
{
	(void)state;
	ADD_CASES("setup:gate", "setup:gate 2", "never");
	static const enum gt_stage_id ids[] = {GT_SETUP};
	only_stages(1, ids);
	config.jobs = 2;
	on_tick = interrupt_once;
	assert_int_equal(run_in("gently"), GT_OK);
	assert_int_equal(signal_number, SIGTERM);
	assert_test("setup:gate", "PASS", "partial", "");
	assert_string_equal(test_named("never")->status, "");
	assert_false(result.complete);
}

static void interrupt_now(void)
{
	if (ticks == 2)
		raise(SIGINT);
}

static void test_interrupted_at_start(void **state)
{
	(void)state;
	ADD_CASES("fine");
	free(tools.worker_library);
	tools.worker_library = gt_strdup("silent");
	on_tick = interrupt_now;
	assert_int_equal(run_in("start"), GT_OK);
	assert_int_equal(signal_number, SIGINT);
	assert_null(result.run);
	assert_true(ticks < GRACE_TICKS - 20);
}

// While a test waits for a host that is being started again, the run is interrupted.
static void kill_and_interrupt(void)
{
	if (!struck_at && are_busy(2)) {
		struck_at = ticks;
		kill(pid_of_host(GT_HOST_COMPILER), SIGKILL);
		raise(SIGINT);
	}
}

static void test_interrupted_while_waiting(void **state)
{
	(void)state;
	ADD_CASES("compilation:busy", "compilation:busy 2");
	on_tick = kill_and_interrupt;
	assert_int_equal(run_in("waiting"), GT_OK);
	assert_int_equal(signal_number, SIGINT);
	assert_in_range(ticks, struck_at, struck_at + GRACE_TICKS - 20); // no grace for what no longer runs
	assert_false(result.complete);
}

static void test_no_host(void **state)
{
	(void)state;
	ADD_CASES("fine");
	assert_int_equal(run_in("hosts"), GT_OK);
	free(tools.python);
	tools.python = gt_strdup("/nonexistent/python");
	assert_int_equal(run_in("hosts"), GT_ENGINE);
	assert_non_null(strstr(err.text, "/nonexistent/python"));
	assert_true(is_there("%s/hosts/%s", "events.jsonl")); // of the run before
	char *path = gt_path_join(folder, "hosts");
	struct gt_result before = {0};
	assert_int_equal(gt_result_load(path, &before, &err), GT_OK);
	assert_true(before.complete);
	gt_result_free(&before);
	free(path);
}

static void test_second_runner(void **state)
{
	(void)state;
	struct gt_rundir first;
	char *path = gt_path_join(folder, "shared");
	assert_int_equal(gt_rundir_open(path, &first, &err), GT_OK);
	ADD_CASES("fine");
	assert_int_equal(run_in("shared"), GT_BAD_USAGE);
	assert_non_null(strstr(err.text, "another gauntlet is running"));
	assert_true(gt_is_folder(first.tmp)); // the first one's is untouched
	gt_rundir_close(&first);
	assert_int_equal(run_in("shared"), GT_OK);
	free(path);
}

// --- instances

static void test_instance(void **state)
{
	(void)state;
	static const char *const names[] = {"fine", "construct_inputs:builtin", "setup:no",
	                                    "native_inference:abort", "construct_inputs:garbage"};
	for (size_t i = 0; i < GT_COUNTOF(names); i++)
		add_case(names[i], GT_CASE_PYTHON);
	config.plan.stages[GT_COMPARISON] = false; // reads files that only a real class makes
	assert_int_equal(run_in("python"), GT_OK);
	assert_true(result.complete);
	assert_test("fine", "PASS", "partial", "");
	assert_test("construct_inputs:builtin", "PASS", "partial", "");
	assert_test("setup:no", "setup", "error", "does not like");
	assert_test("native_inference:abort", "native_inference", "crash:SIGABRT", "the test class");
	assert_test("construct_inputs:garbage", "construct_inputs", "protocol", "no result");
}

// The idle instance dies while another host does a stage of its test.
static void kill_instances(const json_t *event)
{
	if (strcmp(gt_json_string_or(event, "event", ""), "stage-end") == 0 &&
	    strcmp(gt_json_string_or(event, "stage", ""), "setup") == 0)
		kill_below(GT_HOST_FRONTEND, false);
}

static void interrupt_before_inputs(const json_t *event)
{
	if (strcmp(gt_json_string_or(event, "event", ""), "stage-start") == 0 &&
	    strcmp(gt_json_string_or(event, "stage", ""), "construct_inputs") == 0)
		raise(SIGINT);
}

// A stage that the class leaves to us has not been done by its half of it.
static void test_interrupted_before_our_half(void **state)
{
	(void)state;
	static const enum gt_stage_id ids[] = {GT_SETUP, GT_CONSTRUCT_INPUTS};
	only_stages(GT_COUNTOF(ids), ids);
	add_case("construct_inputs:builtin", GT_CASE_PYTHON);
	on_event = interrupt_before_inputs;
	assert_int_equal(run_in("half"), GT_OK);
	assert_int_equal(signal_number, SIGINT);
	assert_false(result.complete);
	assert_string_equal(test_named("construct_inputs:builtin")->status, "");
	char *way = way_of("construct_inputs:builtin");
	assert_string_equal(way, "start:setup:1 end:setup:1 start:construct_inputs:1");
	free(way);
}

static void test_instance_dies_between_hooks(void **state)
{
	(void)state;
	add_case("fine", GT_CASE_PYTHON);
	on_event = kill_instances;
	config.plan.stages[GT_COMPARISON] = false;
	assert_int_equal(run_in("idle"), GT_OK);
	assert_true(result.complete);
	const struct gt_test_result *t = test_named("fine");
	// A new instance is tried; that it knows nothing of the first is for the frontend to see to.
	assert_true(strcmp(t->status, "PASS") == 0 || strcmp(t->why, "killed") == 0);
	char *way = way_of("fine");
	assert_non_null(strstr(way, "start:construct_inputs:2"));
	free(way);
}

// --- many

// Who is killed now has the end of the test, or all that it needs to be run again.
static void look_when_a_test_ends(const json_t *event)
{
	const char *id = gt_json_string_or(event, "test", "");
	if (strcmp(gt_json_string_or(event, "event", ""), "test-end") != 0)
		return;
	char *folder_name = gt_folder_name(id);
	assert_true(is_there("%s/many/%s/model.onnx", folder_name));
	free(folder_name);
}

static void test_many(void **state)
{
	(void)state;
	for (int i = 0; i < 200; i++) {
		char name[32];
		snprintf(name, sizeof name, i % 10 == 3 ? "construct_inputs:abort %d" : "quick %d", i);
		add_case(name, GT_CASE_ONNX);
	}
	static const enum gt_stage_id ids[] = {GT_SETUP, GT_CONSTRUCT_INPUTS};
	only_stages(GT_COUNTOF(ids), ids);
	config.jobs = 8;
	config.keep_artifacts = false;
	on_event = look_when_a_test_ends;
	assert_int_equal(run_in("many"), GT_OK);
	assert_true(result.complete);
	assert_int_equal(result.test_count, 200);
	assert_int_equal(result.verdicts[GT_VERDICT_PASS], 180);
	assert_int_equal(result.verdicts[GT_VERDICT_FAIL], 20);
	assert_false(is_there("%s/many/quick%%200/%s", "model.onnx"));
	assert_true(is_there("%s/many/quick%%200/%s", "stages.json"));
}

// --- a full disk

static void fill_when_a_stage_starts(const json_t *event)
{
	if (strcmp(gt_json_string_or(event, "event", ""), "stage-start") != 0)
		return;
	char *path = gt_path_join(folder, "small/filler");
	fill_disk(path);
	free(path);
}

static void run_on_small_disk(const char *part)
{
	char *small = gt_path_join(folder, "small");
	assert_true(mkdir(small, 0755) == 0 || errno == EEXIST);
	if (mount("none", small, "tmpfs", 0, "size=512k") != 0) {
		print_message("skipped: may not mount: %s\n", strerror(errno));
		free(small);
		skip();
	}
	gt_code rc = run_in("small/run");
	bool said = strstr(err.text, part) || strstr(err.text, "small/run' is full");
	if (!said)
		print_error("'%s' does not say '%s'\n", err.text, part);
	char *path = gt_path_join(small, "run");
	struct gt_result again = {0};
	gt_code load = gt_result_load(path, &again, NULL);
	bool complete = again.complete;
	gt_result_free(&again);
	free(path);
	umount(small);
	free(small);
	assert_int_equal(rc, GT_DISK);
	assert_true(said);
	assert_int_equal(load, GT_OK);
	assert_false(complete);
	for (size_t i = 0; i < result.test_count; i++)
		assert_string_equal(result.tests[i].status, ""); // nobody is blamed for the disk
}

static void test_full_disk(void **state)
{
	(void)state;
	ADD_CASES("fine", "two", "three");
	on_event = fill_when_a_stage_starts;
	run_on_small_disk("No space left on device"); // or, a moment later, that it is full
}

// The stage cannot write, the runner just can.
static void test_disk_full_for_a_stage(void **state)
{
	(void)state;
	ADD_CASES("setup:fill", "two", "three");
	config.jobs = 1;
	run_on_small_disk("small/run' is full");
}

// --- the rest

static size_t descriptors_before;

static int begin_test(void **state)
{
	(void)state;
	new_mark();
	prctl(PR_SET_NAME, mark);
	mark[0] = 'h';
	alarm(TEST_LIMIT_S);
	gt_options_init(&options);
	events = json_array();
	on_tick = NULL;
	on_event = NULL;
	tools = (struct gt_toolchain){.python = gt_strdup("/proc/self/exe"),
	                              .frontend_folder = gt_strdup(folder),
	                              .worker_library = gt_strdup("")};
	config = (struct gt_run_config){.plan.options = &options, .cases = &cases, .tools = &tools,
	                                .argv = json_array(), .jobs = 3, .keep_artifacts = true,
	                                .observe = observe};
	for (int s = 0; s < GT_STAGE_COUNT; s++) {
		config.plan.stages[s] = true;
		config.plan.limits_s[s] = 60;
	}
	gt_retries_init(&config.plan.retries);
	err = (struct gt_err){0};
	descriptors_before = own_descriptors();
	return 0;
}

static int end_test(void **state)
{
	(void)state;
	alarm(0);
	gt_result_free(&result);
	gt_cases_free(&cases);
	gt_options_free(&options);
	json_decref((json_t *)(uintptr_t)config.argv);
	json_decref(events);
	free(tools.python);
	free(tools.frontend_folder);
	free(tools.worker_library);
	return !nothing_is_left(descriptors_before);
}

#define RUN_TEST(f) cmocka_unit_test_setup_teardown(f, begin_test, end_test)

int main(int argc, char **argv)
{
	if (argc >= 4 && strcmp(argv[1], "host") == 0)
		return be_host(argv[2], "");
	if (argc >= 6 && strcmp(argv[1], "-I") == 0)
		return be_host("frontend", argv[5]);
	assert_int_equal(argc, 1); // never the tests again, within a test
	const struct CMUnitTest tests[] = {
		RUN_TEST(test_all_endings),
		RUN_TEST(test_limits),
		RUN_TEST(test_hostile_replies),
		RUN_TEST(test_stages_of_earlier_runs),
		RUN_TEST(test_host_killed),
		RUN_TEST(test_host_dies_unheard),
		RUN_TEST(test_host_killed_for_ever),
		RUN_TEST(test_supervisor_killed),
		RUN_TEST(test_child_killed),
		RUN_TEST(test_interrupted),
		RUN_TEST(test_interrupted_gently),
		RUN_TEST(test_interrupted_at_start),
		RUN_TEST(test_interrupted_while_waiting),
		RUN_TEST(test_no_host),
		RUN_TEST(test_second_runner),
		RUN_TEST(test_instance),
		RUN_TEST(test_instance_dies_between_hooks),
		RUN_TEST(test_interrupted_before_our_half),
		RUN_TEST(test_many),
		RUN_TEST(test_full_disk),
		RUN_TEST(test_disk_full_for_a_stage),
	};
	if (!mkdtemp(folder))
		return 1;
	uv_loop_t first; // libuv keeps a few descriptors for ever: they are there before we count
	uv_signal_t any;
	if (uv_loop_init(&first) || uv_signal_init(&first, &any))
		return 1;
	uv_close((uv_handle_t *)&any, NULL);
	uv_run(&first, UV_RUN_DEFAULT);
	uv_loop_close(&first);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)!gt_remove_tree(folder, NULL);
	return failed;
}
