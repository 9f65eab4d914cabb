// The folder of a test: what is in it when the test begins, and what becomes of one that the test does
// not leave alone.
#include "run/record.h"
#include "run/testdir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static struct gt_rundir run;
static struct gt_case test = {.id = (char[]){"t"}, .name = (char[]){"t"}, .suite = (char[]){"s"},
                              .folder = (char[]){"t"}, .model = (char[]){"/m"}};
static json_t *options;
static struct gt_testdir dir;
static json_t *records;
static struct gt_err err;

static int begin(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/gauntlet-testdir-XXXXXX");
	err = (struct gt_err){0};
	options = json_object();
	alarm(120);
	return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	alarm(0);
	json_decref(options);
	return chdir("/") || gt_remove_tree(folder, NULL);
}

static void put(const char *name)
{
	char *path = gt_format("run/t/%s", name);
	char *slash = strrchr(path, '/');
	*slash = '\0';
	assert_int_equal(gt_make_folders(path, &err), GT_OK);
	*slash = '/';
	assert_int_equal(gt_file_write(path, "x", 1, &err), GT_OK);
	free(path);
}

static size_t count_files(void)
{
	struct gt_names names = {0};
	assert_int_equal(gt_list_folder("run/t", &names, &err), GT_OK);
	size_t n = names.count;
	gt_names_free(&names);
	return n;
}

static void open_folder(bool fresh, bool keep_inputs, gt_code wanted)
{
	assert_int_equal(gt_testdir_open(&run, &test, options, fresh, keep_inputs, &dir, &records, &err),
	                 wanted);
	assert_false(dir.unusable);
}

static void close_folder(void)
{
	json_decref(records);
	records = NULL;
	gt_testdir_close(&dir);
}

static void test_open(void **state)
{
	(void)state;
	assert_int_equal(gt_rundir_open("run", &run, &err), GT_OK);
	put("input.json");
	json_t *old = gt_record_new();
	gt_json_set(old, "old", json_integer(1));
	assert_int_equal(gt_record_write("run/t", old, &err), GT_OK);
	json_decref(old);
	put("input.0.bin");
	put("inputs");
	put("data_set_1/input.0.bin");
	put("compilation.log");
	// Not fresh: everything stays, and the record is read.
	open_folder(false, false, GT_OK);
	assert_int_equal(gt_json_integer_or(records, "old", 0), 1);
	close_folder();
	assert_int_equal(count_files(), 7);
	// Fresh, but with its inputs.
	open_folder(true, true, GT_OK);
	assert_int_equal(gt_json_integer_or(records, "old", 0), 1);
	close_folder();
	assert_int_equal(count_files(), 5); // input.json input.0.bin data_set_1 test.json stages.json
	// Fresh.
	open_folder(true, false, GT_OK);
	assert_int_equal(json_object_size(json_object_get(records, "stages")), 0);
	close_folder();
	assert_int_equal(count_files(), 1);
	json_t *json;
	assert_int_equal(gt_record_read_test("run/t", &json, &err), GT_OK);
	assert_string_equal(gt_json_string_or(json_object_get(json, "test"), "model", ""), "/m");
	json_decref(json);
	// What cannot be read, or is of a later program, is neither used nor touched.
	static const char *const bad[] = {"[", "{}", "{\"format\":2,\"stages\":{}}",
	                                  "{\n  \"format\": 1,\n  \"stages\": {}\n}\n",
	                                  "{\n  \"format\": 3,\n  \"stages\": {}\n}\n"};
	for (size_t i = 0; i < GT_COUNTOF(bad); i++) {
		assert_int_equal(gt_file_write("run/t/stages.json", bad[i], strlen(bad[i]), &err), GT_OK);
		assert_int_equal(unlink("run/t/test.json") == 0 || i > 0, 1);
		open_folder(false, false, GT_BAD_DATA);
		assert_non_null(strstr(err.text, "stages.json'"));
		assert_int_equal(json_object_size(json_object_get(records, "stages")), 0);
		assert_int_equal(gt_file_size("run/t/stages.json"), (int64_t)strlen(bad[i]));
		assert_false(gt_is_file("run/t/test.json"));
		close_folder();
	}
	gt_rundir_close(&run);
}

// Inputs that are kept keep their record, and no other: on the disk, before anything else happens.
static void test_record_of_kept_inputs(void **state)
{
	(void)state;
	assert_int_equal(gt_rundir_open("run", &run, &err), GT_OK);
	assert_int_equal(gt_make_folders("run/t", &err), GT_OK);
	json_t *old = gt_record_new();
	static const char *const done[] = {"setup", "construct_inputs"};
	for (int i = 0; i < 2; i++)
		gt_json_set(json_object_get(old, "stages"), done[i],
		            json_pack("{s:b,s:[],s:[],s:i}", "ok", 1, "files", "inputs", "x", i + 1));
	assert_int_equal(gt_record_write("run/t", old, &err), GT_OK);
	open_folder(true, true, GT_OK);
	for (int from_disk = 0; from_disk < 2; from_disk++) {
		const json_t *stages = json_object_get(records, "stages");
		assert_int_equal(json_object_size(stages), 1);
		const json_t *inputs = json_object_get(stages, "construct_inputs");
		assert_int_equal(gt_json_integer_or(inputs, "x", 0), 2);
		close_folder();
		if (!from_disk)
			assert_int_equal(gt_record_read("run/t", &records, &err), GT_OK);
	}
	json_decref(old);
	gt_rundir_close(&run);
}

// What somebody put a link in the place of is left alone, whatever the run does.
static void test_links(void **state)
{
	(void)state;
	assert_int_equal(gt_rundir_open("run", &run, &err), GT_OK);
	for (int fresh = 0; fresh < 4; fresh++) {
		assert_int_equal(gt_remove_tree("run/t", &err), GT_OK);
		assert_int_equal(gt_make_folders("precious/sub", &err), GT_OK);
		assert_int_equal(gt_file_write("precious/sub/x", "x", 1, &err), GT_OK);
		if (fresh < 2)
			assert_int_equal(symlink("../precious", "run/t"), 0);
		put("input.json");
		if (fresh >= 2)
			assert_int_equal(symlink("../../precious", "run/t/data_set_1"), 0);
		open_folder(fresh % 2, false, GT_OK);
		close_folder();
		struct gt_names names = {0};
		assert_int_equal(gt_list_folder("precious", &names, &err), GT_OK);
		assert_int_equal(names.count, fresh < 2 ? 2 : 1); // input.json came through the link above
		gt_names_free(&names);
		assert_true(gt_is_file("precious/sub/x") && gt_is_file("run/t/test.json"));
		assert_int_equal(gt_remove_tree("precious", &err), GT_OK);
	}
	gt_rundir_close(&run);
}

// The test has done that to its folder: it is told, and can go on with it afterwards.
static void assert_mended(const char *says, bool wanted_lost)
{
	bool lost;
	err = (struct gt_err){0};
	assert_int_equal(gt_testdir_check(&dir, &err), GT_BAD_DATA);
	assert_int_equal(gt_testdir_keep(&dir, &lost, &err), GT_BAD_DATA);
	if (!strstr(err.text, says))
		fail_msg("'%s' does not say '%s'", err.text, says);
	assert_int_equal(lost, wanted_lost);
	assert_true(gt_is_file("run/t/test.json"));
	assert_false(dir.unusable);
	assert_int_equal(gt_testdir_check(&dir, &err), GT_OK);
	assert_int_equal(gt_testdir_keep(&dir, &lost, &err), GT_OK);
	assert_false(lost);
}

static void test_folder_that_was_lost(void **state)
{
	(void)state;
	assert_int_equal(gt_rundir_open("run", &run, &err), GT_OK);
	open_folder(true, false, GT_OK);
	put("x");
	assert_int_equal(gt_testdir_check(&dir, &err), GT_OK);
	assert_int_equal(gt_remove_tree("run/t", &err), GT_OK);
	assert_mended("/run/t' was removed: a test must leave its folder alone", true);
	assert_false(gt_is_file("run/t/x"));
	// Another folder is not it, whatever it holds, as often as one comes and goes.
	for (int i = 0; i < 20; i++) {
		assert_int_equal(gt_remove_tree("run/t", &err), GT_OK);
		put("x");
		assert_mended("/run/t' was replaced by another one", true);
		assert_true(gt_is_file("run/t/x"));
	}
	assert_int_equal(gt_remove_tree("run/t", &err), GT_OK);
	assert_int_equal(gt_file_write("run/t", "x", 1, &err), GT_OK);
	assert_mended("/run/t' was replaced by what is no folder", true);
	// Where a link leads nothing is touched, be it another test's folder.
	assert_int_equal(gt_make_folders("run/other", &err), GT_OK);
	assert_int_equal(gt_file_write("run/other/test.json", "x", 1, &err), GT_OK);
	static const char *const targets[] = {"other", "t", "nowhere", "/"};
	for (size_t i = 0; i < GT_COUNTOF(targets); i++) {
		assert_int_equal(gt_remove_tree("run/t", &err), GT_OK);
		assert_int_equal(symlink(targets[i], "run/t"), 0);
		assert_mended("/run/t' was replaced by a link", true);
		assert_int_equal(gt_file_size("run/other/test.json"), 1);
	}
	// What stands in the place of test.json, or of what it is at first, is ours too.
	static const char *const names[] = {"run/t/test.json", "run/t/.test.json.tmp"};
	for (size_t i = 0; i < GT_COUNTOF(names) * 2; i++) {
		assert_int_equal(gt_remove_tree("run/t", &err), GT_OK);
		assert_int_equal(mkdir("run/t", 0755), 0);
		assert_int_equal((i < 2 ? mkdir : mkfifo)(names[i % 2], 0755), 0);
		assert_mended("/run/t' was replaced by another one", true);
	}
	close_folder();
	gt_rundir_close(&run);
}

// No folder is made where the run directory is gone, and no test is to blame for that.
static void test_run_directory_that_is_gone(void **state)
{
	(void)state;
	bool lost;
	assert_int_equal(gt_rundir_open("run", &run, &err), GT_OK);
	open_folder(true, false, GT_OK);
	assert_int_equal(rename("run", "moved"), 0);
	assert_int_equal(gt_testdir_keep(&dir, &lost, &err), GT_DISK);
	assert_non_null(strstr(err.text, "/run' was removed or replaced during the run"));
	close_folder();
	assert_int_equal(gt_testdir_open(&run, &test, options, true, false, &dir, &records, &err), GT_DISK);
	assert_non_null(strstr(err.text, "/run' was removed or replaced during the run"));
	close_folder();
	assert_false(gt_is_folder("run"));
	gt_rundir_close(&run);
}

static void be_nobody(void)
{
	if (geteuid() == 0 && (chown(folder, 65534, 65534) != 0 || setgid(65534) || setuid(65534)))
		_exit(1);
}

static void assert_child_succeeds(pid_t pid)
{
	int status = -1;
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

// Root may do anything: this is for the others.
static void test_folder_that_was_closed(void **state)
{
	(void)state;
	pid_t pid = fork();
	if (pid == 0) {
		be_nobody();
		assert_int_equal(gt_rundir_open("run", &run, &err), GT_OK);
		open_folder(true, false, GT_OK);
		put("x");
		static const mode_t modes[] = {0, 0500, 0300, 0600};
		for (size_t i = 0; i < GT_COUNTOF(modes); i++) {
			assert_int_equal(chmod("run/t", modes[i]), 0);
			assert_mended("/run/t' was closed to us", false);
			assert_true(gt_is_file("run/t/x"));
		}
		close_folder();
		assert_int_equal(gt_rundir_check_place(&run, &err), GT_OK);
		assert_int_equal(chmod("run", 0500), 0);
		assert_int_equal(gt_rundir_check_place(&run, &err), GT_DISK);
		assert_non_null(strstr(err.text, "can no longer be written to: Permission denied"));
		assert_int_equal(chmod("run", 0700), 0);
		gt_rundir_close(&run);
		_exit(0);
	}
	assert_child_succeeds(pid);
}

// What is another user's can be neither used nor mended: one test's trouble, told once, and no other's.
static void test_folder_of_somebody_else(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: only root can give folders away\n");
		skip();
	}
	assert_int_equal(gt_make_folders("run/t", &err), GT_OK);
	assert_int_equal(gt_file_write("run/events.jsonl", "", 0, &err), GT_OK);
	assert_int_equal(chown("run", 65534, 65534), 0);
	pid_t pid = fork();
	if (pid == 0) {
		bool lost;
		be_nobody();
		assert_int_equal(gt_rundir_open("run", &run, &err), GT_OK);
		gt_code rc = gt_testdir_open(&run, &test, options, false, false, &dir, &records, &err);
		assert_true(rc != GT_OK && rc != GT_BAD_DATA && rc != GT_DISK);
		assert_non_null(strstr(err.text, "cannot write to the test's folder"));
		assert_true(dir.unusable);
		assert_int_equal(gt_testdir_keep(&dir, &lost, &err), GT_OK);
		assert_false(lost);
		close_folder();
		gt_rundir_close(&run);
		_exit(0);
	}
	assert_child_succeeds(pid);
}

// A file where a test needs its folder may be somebody's: no run begins there.
static void test_file_in_the_way(void **state)
{
	(void)state;
	struct gt_case spaced = {.id = (char[]){"a t"}, .folder = (char[]){"t"}};
	struct gt_cases cases = {.items = &spaced, .count = 1};
	assert_int_equal(gt_rundir_open("run", &run, &err), GT_OK);
	assert_int_equal(gt_testdir_check_places(&run, &cases, &err), GT_OK);
	assert_int_equal(symlink("nowhere", "run/t"), 0);
	assert_int_equal(gt_testdir_check_places(&run, &cases, &err), GT_OK);
	assert_int_equal(unlink("run/t"), 0);
	assert_int_equal(gt_file_write("run/t", "x", 1, &err), GT_OK);
	assert_int_equal(gt_testdir_check_places(&run, &cases, &err), GT_BAD_USAGE);
	assert_non_null(strstr(err.text, "/run/t' is in the place of the folder of test 'a t': move it"));
	gt_rundir_close(&run);
}

static void test_artifacts(void **state)
{
	(void)state;
	assert_int_equal(gt_rundir_open("run", &run, &err), GT_OK);
	open_folder(true, false, GT_OK);
	static const char *const files[] = {"setup.log", "a.output", "b.json", "model.onnx", "log",
	                                    "sub/c.json", "dir.log/d.bin"};
	for (size_t i = 0; i < GT_COUNTOF(files); i++)
		put(files[i]);
	gt_testdir_remove_artifacts(dir.path, NULL);
	for (size_t i = 0; i < GT_COUNTOF(files); i++) {
		char *path = gt_path_join("run/t", files[i]);
		assert_int_equal(gt_is_file(path), gt_testdir_keeps(files[i]));
		assert_int_equal(gt_is_file(path), i < 3 || i == 6);
		free(path);
	}
	assert_false(gt_is_folder("run/t/sub"));
	// What is lent stays, in folders too, but never behind a link.
	static const char *const lent[] = {"model.onnx", "sub/c.json", "sub/deep/d.bin", "sub/x", "link/x"};
	json_t *names = json_array();
	for (size_t i = 0; i < GT_COUNTOF(lent); i++)
		json_array_append_new(names, json_string(lent[i]));
	for (size_t i = 0; i < 4; i++)
		put(lent[i]);
	put("sub/e.json");
	put("sub/deeper/d.bin");
	put("model.onnx.data");
	assert_int_equal(gt_make_folders("precious", &err), GT_OK);
	assert_int_equal(gt_file_write("precious/y", "x", 1, &err), GT_OK);
	assert_int_equal(symlink("../../precious", "run/t/link"), 0);
	gt_testdir_remove_artifacts(dir.path, names);
	for (size_t i = 0; i < 4; i++) {
		char *path = gt_path_join("run/t", lent[i]);
		assert_true(gt_is_file(path));
		free(path);
	}
	assert_false(gt_is_file("run/t/sub/e.json") || gt_is_folder("run/t/sub/deeper"));
	assert_false(gt_is_file("run/t/model.onnx.data"));
	assert_int_equal(access("run/t/link", F_OK), -1);
	assert_true(gt_is_file("precious/y"));
	json_decref(names);
	close_folder();
	gt_rundir_close(&run);
}

#define DIR_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(test_open),
		DIR_TEST(test_record_of_kept_inputs),
		DIR_TEST(test_links),
		DIR_TEST(test_folder_that_was_lost),
		DIR_TEST(test_run_directory_that_is_gone),
		DIR_TEST(test_folder_that_was_closed),
		DIR_TEST(test_folder_of_somebody_else),
		DIR_TEST(test_file_in_the_way),
		DIR_TEST(test_artifacts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
