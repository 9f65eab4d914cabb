// Every byte of every file of a small run is changed in three ways, and every file is cut at every
// length; then whoever reads the file reads it. The result is that of the undamaged file, or an
// error that names the file: never another verdict. docs/formats.md, "Damage".
#include "core/result.h"
#include "report/report.h"
#include "run/audit.h"
#include "run/plan.h"
#include "run/record.h"
#include "stage/serve.h"
#include "suite/expect.h"
#include "tensor/values.h"

#include <fcntl.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

extern char **environ;

// One real test that passes, one that differs, one that fails.
#define FAKES "{\"differs\":{\"compiled_inference\":\"wrong\"},\"broken\":{\"compilation\":\"error:no\"}}"
#define TESTS 3

static char home[] = "/tmp/gauntlet-damage-XXXXXX";
static char *run, *journal;
static struct gt_result whole;
static struct gt_buf whole_text; // its results.json

// What the records of a test say while they are whole.
static struct test {
	char *folder;
	json_t *records, *test_json;
	struct gt_case test;
	struct gt_options options;
} tests[TESTS];

// What is being read, for the message of a failure.
static const char *current;
static size_t place;
static const char *change;
static size_t readings;

#define broken(...)                                                                                \
	do {                                                                                       \
		fprintf(stderr, "%s, byte %zu %s: ", current, place, change);                      \
		fail_msg(__VA_ARGS__);                                                             \
	} while (0)

// --- the run

static int start(char *const argv[])
{
	pid_t pid;
	int status = -1;
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	if (posix_spawn(&pid, argv[0], &actions, NULL, argv, environ) == 0)
		waitpid(pid, &status, 0);
	posix_spawn_file_actions_destroy(&actions);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static gt_code read_test(struct test *t, struct gt_err *err)
{
	json_t *json = NULL;
	gt_code rc = gt_record_read_test(t->folder, &json, err);
	t->test_json = json;
	if (!rc)
		rc = gt_case_from_json(json_object_get(json, "test"), &t->test, err);
	if (!rc)
		rc = gt_options_from_json(json_object_get(json, "options"), &t->options, err);
	return rc;
}

static void free_test(struct test *t)
{
	gt_case_free(&t->test);
	gt_options_free(&t->options);
	json_decref(t->test_json);
	json_decref(t->records);
	*t = (struct test){.folder = t->folder};
}

static int begin(void **state)
{
	(void)state;
	char *binary = getenv("GAUNTLET_BINARY");
	struct gt_err err = {0};
	assert_non_null(mkdtemp(home));
	assert_int_equal(chdir(home), 0);
	setenv("GAUNTLET_FAKE", "1", 1);
	assert_int_equal(gt_file_write("f.fake", FAKES, strlen(FAKES), NULL), GT_OK);
	char *argv[] = {binary, (char[]){"run"}, (char[]){"-r"}, (char[]){"run"},
	                (char[]){"--suite"}, (char[]){"f.fake"}, (char[]){"--suite"},
	                (char[]){"onnx-node"}, (char[]){"differs"}, (char[]){"broken"},
	                (char[]){"test_abs"}, (char[]){"--expect"}, (char[]){"expect.txt"},
	                (char[]){"--update-expect"}, NULL};
	int code = binary ? start(argv) : 2;
	if (code)
		fprintf(stderr, "no run to damage: %s\n", binary ? binary : "no GAUNTLET_BINARY");
	assert_int_equal(code, 0);
	run = gt_path_absolute("run");
	journal = gt_path_join(run, "events.jsonl");
	assert_int_equal(gt_result_load(run, &whole, &err), GT_OK);
	assert_true(whole.complete && whole.test_count == TESTS);
	gt_result_write(&whole, &whole_text);
	for (size_t i = 0; i < TESTS; i++) {
		tests[i].folder = gt_path_join(run, whole.tests[i].folder);
		assert_int_equal(gt_record_read(tests[i].folder, &tests[i].records, &err), GT_OK);
		assert_int_equal(read_test(&tests[i], &err), GT_OK);
	}
	return 0;
}

static int end(void **state)
{
	(void)state;
	for (size_t i = 0; i < TESTS; i++) {
		free_test(&tests[i]);
		free(tests[i].folder);
	}
	gt_result_free(&whole);
	gt_buf_free(&whole_text);
	free(journal);
	free(run);
	return chdir("/") || gt_remove_tree(home, NULL) ? -1 : 0;
}

// --- what readers must say

static void expect_sentence(const struct gt_err *err, const char *file)
{
	if (!strstr(err->text, file) || strchr(err->text, '\n'))
		broken("the error does not name '%s' in a sentence: %s", file, err->text);
}

// What a journal still says of a test is what it said, and it says all or is incomplete.
static void expect_prefix(const struct gt_result *r)
{
	for (size_t i = 0; i < r->test_count; i++) {
		const struct gt_test_result *is = &r->tests[i], *was = &whole.tests[i];
		bool same = strcmp(is->status, was->status) == 0 && strcmp(is->why, was->why) == 0 &&
		            is->verdict == was->verdict && strcmp(is->message, was->message) == 0;
		if (strcmp(is->id, was->id) != 0 || (*is->status && !same))
			broken("'%s' ended as %s %s", is->id, is->status, is->why);
	}
	struct gt_buf text = {0};
	if (r->complete)
		gt_result_write(r, &text);
	if (r->complete && strcmp(gt_buf_text(&text), gt_buf_text(&whole_text)) != 0)
		broken("a run that looks complete has other results");
	gt_buf_free(&text);
}

static gt_code read_journal(struct gt_err *err)
{
	struct gt_result r;
	gt_code rc = gt_result_load(run, &r, err);
	if (!rc) {
		struct gt_buf text = {0};
		expect_prefix(&r);
		if (place % 64 == 0)
			gt_report_summary(&r, run, true, 80, false, &text);
		gt_buf_free(&text);
	} else if (!strstr(err->text, "line ")) {
		broken("no line is named: %s", err->text);
	}
	gt_result_free(&r);
	return rc;
}

static void journal_reader(const struct test *t, const char *file)
{
	(void)t;
	struct gt_err err;
	if (read_journal(&err))
		expect_sentence(&err, file);
}

static bool is_compared(const struct gt_test_result *t)
{
	return strcmp(t->status, GT_STATUS_NUMERICS) == 0 || strcmp(t->status, GT_STATUS_PASS) == 0;
}

static void record_reader(const struct test *t, const char *file)
{
	struct gt_err err;
	json_t *records;
	struct gt_names findings = {0};
	gt_code rc = gt_record_read(t->folder, &records, &err);
	if (rc)
		expect_sentence(&err, file);
	else if (!json_equal(records, t->records))
		broken("another record is believed");
	json_decref(records);
	struct gt_result alone = {.tests = &whole.tests[t - tests], .test_count = 1};
	gt_audit(&alone, run, &findings);
	if (findings.count != (rc != GT_OK))
		broken("the audit finds %zu", findings.count);
	gt_names_free(&findings);
}

static void test_reader(const struct test *t, const char *file)
{
	struct gt_err err;
	struct test again = {.folder = t->folder};
	if (read_test(&again, &err))
		expect_sentence(&err, file);
	else if (!json_equal(again.test_json, t->test_json))
		broken("another test is believed");
	free_test(&again);
}

// The hashes that a stage alone wants of the files before it.
static json_t *needs_of(const struct test *t, enum gt_stage_id stage)
{
	struct gt_plan plan = {.options = &t->options};
	struct gt_err err;
	json_t *needs;
	plan.stages[stage] = true;
	(void)!gt_plan_check(&plan, &t->test, stage, json_object_get(t->records, "stages"), &needs, &err);
	return needs;
}

// Going on with any stage that reads the file.
static void stage_reader(const struct test *t, const char *file)
{
	struct gt_err err;
	static json_t *needs; // of the file that is being damaged
	static const char *of;
	if (of != file) {
		json_decref(needs);
		needs = json_object();
		of = file;
		for (enum gt_stage_id id = 0; id < GT_STAGE_COUNT; id++) {
			json_t *all = needs_of(t, id), *hash = json_object_get(all, file);
			if (hash)
				gt_json_set(needs, file, json_incref(hash));
			json_decref(all);
		}
		// A test that failed has no more files for the stages behind.
		if (json_object_size(needs) == 0 && is_compared(&whole.tests[t - tests]))
			broken("no stage reads it");
	}
	if (json_object_size(needs) == 0)
		return;
	if (gt_stage_check_records(t->folder, needs, &err) == GT_OK)
		broken("no stage sees that the file has changed");
	expect_sentence(&err, file);
}

// The comparison itself, as a run of this stage alone has it done.
static void comparison_reader(const struct test *t, const char *file)
{
	struct gt_server server = {.quiet = true};
	json_t *request = json_pack("{s:s,s:s,s:s,s:O,s:O,s:o}", "action", "stage", "stage", "comparison",
	                            "folder", t->folder, "test", json_object_get(t->test_json, "test"),
	                            "options", json_object_get(t->test_json, "options"), "records",
	                            needs_of(t, GT_COMPARISON));
	char *text = json_dumps(request, 0), *answer = gt_stage_serve(&server, text);
	json_t *reply = json_loads(answer, 0, NULL);
	if (gt_json_bool_or(reply, "ok", true))
		broken("the comparison goes on: %s", answer);
	if (!strstr(gt_json_string_or(reply, "message", ""), file))
		broken("the message does not name '%s': %s", file, answer);
	json_decref(reply);
	json_decref(request);
	free(answer);
	free(text);
}

// The values by themselves: elements are always checked, a record only for being one.
static void value_reader(const struct test *t, const char *file)
{
	struct gt_err err = {0};
	struct gt_values values;
	char *stem = gt_strndup(file, strcspn(file, "."));
	gt_code rc = gt_values_load(t->folder, stem, &values, &err);
	if (rc)
		expect_sentence(&err, file);
	else if (strstr(file, ".bin"))
		broken("other elements are believed");
	gt_values_free(&values);
	free(stem);
	stage_reader(t, file);
}

static void output_reader(const struct test *t, const char *file)
{
	value_reader(t, file);
	comparison_reader(t, file);
}

static void expectation_reader(const struct test *t, const char *file)
{
	(void)t;
	struct gt_err err;
	struct gt_expectations e;
	if (gt_expect_load("expect.txt", &e, &err))
		expect_sentence(&err, file);
	gt_expect_free(&e);
}

// --- damage

// Another character of the same class, or a byte with another case.
static char like(char c)
{
	if (c >= '0' && c <= '9')
		return c == '9' ? '0' : (char)(c + 1);
	if ((c >= 'a' && c < 'z') || (c >= 'A' && c < 'Z'))
		return (char)(c + 1);
	return (char)(c ^ 0x20);
}

static void damage(const char *path, const struct test *t, const char *file,
                   void (*read)(const struct test *t, const char *file))
{
	struct gt_buf text = {0};
	assert_int_equal(gt_file_read(path, 1 << 20, &text, NULL), GT_OK);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	current = path;
	for (place = 0; place < text.length; place++) {
		char was = text.data[place];
		const char other[] = {(char)(was ^ 1), (char)(was ^ 0x80), like(was)};
		static const char *const names[] = {"in its lowest bit", "in its highest bit", "changed"};
		for (size_t i = 0; i < sizeof other; i++) {
			change = names[i];
			assert_int_equal(pwrite(fd, &other[i], 1, (off_t)place), 1);
			read(t, file);
			readings++;
		}
		assert_int_equal(pwrite(fd, &was, 1, (off_t)place), 1);
	}
	change = "and all behind it cut off";
	while (place > 0) {
		assert_int_equal(ftruncate(fd, (off_t)--place), 0);
		read(t, file);
		readings++;
	}
	assert_int_equal(pwrite(fd, text.data, text.length, 0), text.length);
	close(fd);
	gt_buf_free(&text);
}

// Who reads a file of a test's folder; NULL: nobody, nothing follows from it.
static const struct {
	const char *name;
	void (*read)(const struct test *t, const char *file);
} readers[] = {
	{"test.json", test_reader},
	{"stages.json", record_reader},
	{"model.onnx", stage_reader},
	{"model.torch_onnx.mlir", stage_reader},
	{"import.json", stage_reader},
	{"compiled_model.vmfb", stage_reader},
	{"input.json", value_reader},
	{"input.0.bin", value_reader},
	{"golden_output.json", output_reader},
	{"golden_output.0.bin", output_reader},
	{"output.json", output_reader},
	{"output.0.bin", output_reader},
	{"model.torch.mlir", NULL},    // read with --torchtolinalg
	{"model.modified.mlir", NULL}, // the same
	{"comparison.json", NULL},
	{"inference_comparison.log", NULL},
	{"compilation.log", NULL},
};

static void test_files_of_tests(void **state)
{
	(void)state;
	for (size_t i = 0; i < TESTS; i++) {
		struct gt_names names = {0};
		assert_int_equal(gt_list_folder(tests[i].folder, &names, NULL), GT_OK);
		for (size_t k = 0; k < names.count; k++) {
			size_t r = 0;
			while (r < GT_COUNTOF(readers) && strcmp(readers[r].name, names.items[k]) != 0)
				r++;
			if (r == GT_COUNTOF(readers))
				fail_msg("who reads '%s'? say it here and in docs/formats.md", names.items[k]);
			char *path = gt_path_join(tests[i].folder, names.items[k]);
			if (readers[r].read)
				damage(path, &tests[i], readers[r].name, readers[r].read);
			free(path);
		}
		gt_names_free(&names);
	}
	assert_true(readings > 100000);
}

static void test_files_of_the_run(void **state)
{
	(void)state;
	struct gt_names names = {0};
	static const char *const known[] = {"broken", "differs", "test_abs", "events.jsonl",
	                                    "results.json", "run.lock"};
	assert_int_equal(gt_list_folder(run, &names, NULL), GT_OK);
	assert_int_equal(names.count, GT_COUNTOF(known));
	for (size_t i = 0; i < GT_COUNTOF(known); i++)
		assert_true(gt_names_contain(&names, known[i]));
	gt_names_free(&names);
	damage(journal, NULL, "events.jsonl", journal_reader);
	damage("expect.txt", NULL, "expect.txt", expectation_reader);
}

// --- journals that something else has happened to

static struct gt_buf lines[200];
static size_t line_count;

static void split_journal(void)
{
	struct gt_buf text = {0};
	assert_int_equal(gt_file_read(journal, 1 << 20, &text, NULL), GT_OK);
	line_count = 0;
	for (char *p = text.data, *next; p < text.data + text.length; p = next) {
		next = strchr(p, '\n') + 1;
		lines[line_count] = (struct gt_buf){0};
		gt_buf_append(&lines[line_count++], p, (size_t)(next - p));
	}
	gt_buf_free(&text);
}

static void write_lines(size_t count, const size_t *order, const char *newline, const char *tail,
                        size_t tail_length)
{
	struct gt_buf text = {0};
	for (size_t i = 0; i < count; i++) {
		const struct gt_buf *line = &lines[order[i]];
		gt_buf_append(&text, line->data, line->length - 1);
		gt_buf_puts(&text, newline);
	}
	gt_buf_append(&text, tail, tail_length);
	assert_int_equal(gt_file_write(journal, gt_buf_text(&text), text.length, NULL), GT_OK);
	gt_buf_free(&text);
}

// NULL: it is read.
static void expect_journal(const char *says, bool complete)
{
	struct gt_err err = {0};
	struct gt_result r;
	gt_code rc = gt_result_load(run, &r, &err);
	if (says ? !rc || !strstr(err.text, says) || !strstr(err.text, journal) : rc)
		broken("'%s' instead of '%s'", rc ? err.text : "no error", says ? says : "none");
	if (!rc) {
		expect_prefix(&r);
		assert_int_equal(r.complete, complete);
	}
	gt_result_free(&r);
}

static void test_lines_that_moved(void **state)
{
	(void)state;
	size_t order[200], n;
	current = journal;
	split_journal();
	assert_true(line_count > 30 && line_count < 100);
	for (place = 0; place < line_count; place++) {
		for (n = 0; n < line_count; n++)
			order[n] = n;
		char *at = gt_format("line %zu", place + 1), *behind = gt_format("line %zu", place + 2);
		change = "in a line that changed places with the next";
		if (place + 1 < line_count) {
			order[place] = place + 1;
			order[place + 1] = place;
			write_lines(n, order, "\n", "", 0);
			expect_journal(at, false);
		}
		change = "in a line that is there twice";
		for (n = 0; n <= line_count; n++)
			order[n] = n - (n > place);
		write_lines(n, order, "\n", "", 0);
		expect_journal(behind, false);
		change = "in a line that is not there";
		for (n = 0; n + 1 < line_count; n++)
			order[n] = n + (n >= place);
		write_lines(n, order, "\n", "", 0);
		expect_journal(place + 1 < line_count ? at : NULL, false);
		change = "begins the rest of another journal";
		for (n = 0; n < place + line_count; n++)
			order[n] = n < place ? n : n - place;
		write_lines(n, order, "\n", "", 0);
		expect_journal(place ? at : NULL, true);
		free(behind);
		free(at);
	}
}

static void test_other_journals(void **state)
{
	(void)state;
	size_t order[200];
	static char zeros[70000];
	current = journal;
	place = 0;
	for (size_t n = 0; n < line_count; n++)
		order[n] = n;
	change = "followed by zeros, as after a power cut";
	write_lines(line_count, order, "\n", zeros, sizeof zeros);
	expect_journal(NULL, true);
	write_lines(line_count - 3, order, "\n", zeros, sizeof zeros);
	expect_journal(NULL, false);
	change = "with the line ends of another system";
	write_lines(line_count, order, "\r\n", "", 0);
	expect_journal("line 1", false);
	change = "empty";
	write_lines(0, order, "\n", "", 0);
	expect_journal(NULL, false);
	change = "a pipe";
	unlink(journal);
	assert_int_equal(mkfifo(journal, 0600), 0);
	expect_journal("is not a regular file", false);
	change = "a folder";
	unlink(journal);
	assert_int_equal(mkdir(journal, 0700), 0);
	expect_journal("is not a regular file", false);
	rmdir(journal);
	change = "gone";
	expect_journal("cannot open", false);
	change = "readable only";
	write_lines(line_count, order, "\n", "", 0);
	assert_int_equal(chmod(journal, 0400), 0);
	expect_journal(NULL, true);
}

static long peak_kb(void)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss;
}

// Anything of 200 MB: a line without end costs the bound of a line and no more.
static void test_large_journal(void **state)
{
	(void)state;
	long before = peak_kb();
	static char garbage[1 << 20];
	memset(garbage, 'x', sizeof garbage);
	current = journal;
	change = "garbage";
	int fd = open(journal, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	for (int i = 0; i < 200; i++)
		assert_int_equal(write(fd, garbage, sizeof garbage), sizeof garbage);
	close(fd);
	expect_journal("more than", false);
	assert_true(peak_kb() - before < 300000);
}

// --- something else in the place of a file

static void test_no_files(void **state)
{
	(void)state;
	current = "a file that is none";
	place = 0;
	for (size_t i = 0; i < 4; i++) {
		static const char *const names[] = {"a pipe", "a folder", "a link to nothing", "a loop"};
		const struct test *t = &tests[2];
		struct gt_err err = {0};
		json_t *json = NULL;
		change = names[i];
		for (size_t r = 0; r < GT_COUNTOF(readers); r++) {
			char *path = gt_path_join(t->folder, readers[r].name), *aside = gt_format("%s~", path);
			if (!readers[r].read || !gt_is_file(path)) {
				free(aside);
				free(path);
				continue;
			}
			assert_int_equal(rename(path, aside), 0);
			assert_int_equal(i == 0   ? mkfifo(path, 0600)
			                 : i == 1 ? mkdir(path, 0700)
			                          : symlink(i == 2 ? "nothing" : readers[r].name, path), 0);
			if (readers[r].read == record_reader) { // nothing at all is what a new test has
				gt_code rc = gt_record_read(t->folder, &json, &err);
				assert_int_equal(rc == GT_OK, i == 2);
				assert_null(json);
			} else {
				readers[r].read(t, readers[r].name);
			}
			assert_int_equal(i == 1 ? rmdir(path) : unlink(path), 0);
			assert_int_equal(rename(aside, path), 0);
			free(aside);
			free(path);
		}
	}
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(test_files_of_tests),   cmocka_unit_test(test_no_files),
		cmocka_unit_test(test_files_of_the_run), cmocka_unit_test(test_lines_that_moved),
		cmocka_unit_test(test_other_journals),   cmocka_unit_test(test_large_journal),
	};
	return cmocka_run_group_tests(all, begin, end);
}
