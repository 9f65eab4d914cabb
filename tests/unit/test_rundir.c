// The run directory: whose it is, who holds it, what is in it when a test begins.
#include "run/rundir.h"

#include <errno.h>
#include <fcntl.h>
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
static struct gt_rundir dir;
static struct gt_err err;

static int begin(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/gauntlet-rundir-XXXXXX");
	err = (struct gt_err){0};
	dir = (struct gt_rundir){.lock = -1};
	alarm(20);
	return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	alarm(0);
	return chdir("/") || gt_remove_tree(folder, NULL);
}

static void assert_refused(const char *path, gt_code code, const char *part)
{
	assert_int_equal(gt_rundir_open(path, &dir, &err), code);
	if (!strstr(err.text, part))
		fail_msg("'%s' does not say '%s'", err.text, part);
	assert_null(dir.path);
	assert_int_equal(dir.lock, -1);
}

static void open_and_close(const char *path)
{
	if (gt_rundir_open(path, &dir, &err))
		fail_msg("%s", err.text);
	gt_rundir_close(&dir);
}

static void test_ours(void **state)
{
	(void)state;
	assert_int_equal(gt_rundir_open("a/b", &dir, &err), GT_OK);
	assert_true(dir.path[0] == '/' && gt_is_folder(dir.tmp));
	char *tmp = gt_strdup(dir.tmp);
	gt_rundir_close(&dir);
	assert_false(gt_is_folder(tmp));
	free(tmp);
	open_and_close("a/b");
	// A run that was killed before its first event leaves a lock and working folders.
	assert_int_equal(gt_make_folders("a/b/tmp/job-0/x", &err), GT_OK);
	open_and_close("a/b");
	assert_int_equal(gt_make_folders("other", &err), GT_OK);
	assert_int_equal(gt_file_write("other/precious", "x", 1, &err), GT_OK);
	assert_refused("other", GT_BAD_USAGE, "is not empty and no run has made it");
	assert_true(gt_is_file("other/precious"));
	assert_int_equal(gt_file_write("other/events.jsonl", "", 0, &err), GT_OK);
	open_and_close("other");
	assert_true(gt_is_file("other/precious"));
	assert_refused("other/precious", GT_IO, "cannot make folder");
	assert_refused("other/precious/x", GT_IO, "cannot make folder");
	assert_refused("bad\xFF" "name", GT_BAD_USAGE, "is not UTF-8");
}

static void test_lock(void **state)
{
	(void)state;
	struct gt_rundir second;
	assert_int_equal(gt_rundir_open("run", &dir, &err), GT_OK);
	assert_int_equal(gt_rundir_open("run", &second, &err), GT_BAD_USAGE);
	assert_non_null(strstr(err.text, "another gauntlet is running in"));
	assert_true(gt_is_folder(dir.tmp));
	// Links and detours lead to the same lock.
	assert_int_equal(symlink("run", "link"), 0);
	assert_int_equal(gt_rundir_open("./link/../link", &second, &err), GT_BAD_USAGE);
	// Whoever is started by us does not keep it.
	pid_t pid = fork();
	if (pid == 0) {
		execl("/bin/sleep", "sleep", "5", (char *)NULL);
		_exit(1);
	}
	usleep(100000);
	gt_rundir_close(&dir);
	int rc = gt_rundir_open("run", &dir, &err);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(rc, GT_OK);
	gt_rundir_close(&dir);
	// A lock that is a link is not followed.
	assert_int_equal(unlink("run/run.lock"), 0);
	assert_int_equal(symlink("/tmp/elsewhere", "run/run.lock"), 0);
	assert_refused("run", GT_IO, "cannot open");
}

// IREE pastes folder names into a shell command: such a name gets working folders elsewhere.
static void test_names_that_a_shell_reads(void **state)
{
	(void)state;
	assert_int_equal(gt_rundir_open("a;touch b", &dir, &err), GT_OK);
	assert_true(gt_path_is_plain(dir.tmp) && gt_is_folder(dir.tmp));
	char *tmp = gt_strdup(dir.tmp);
	gt_rundir_close(&dir);
	assert_false(gt_is_folder(tmp));
	free(tmp);
}

static void test_scratch(void **state)
{
	(void)state;
	int first = -1, second = -1;
	assert_int_equal(gt_rundir_open("run", &dir, &err), GT_OK);
	assert_int_equal(gt_rundir_scratch(&dir, "job-0", &first, &err), GT_OK);
	assert_int_equal(mkdirat(first, "sub", 0), 0);
	assert_int_equal(gt_rundir_scratch(&dir, "job-0", &second, &err), GT_OK);
	assert_int_equal(faccessat(second, "sub", F_OK, 0), -1);
	// A process of the last job that still runs can do nothing to the next.
	assert_int_equal(mkdirat(first, "late", 0755), -1);
	assert_int_equal(errno, ENOENT);
	close(first);
	close(second);
	gt_rundir_close(&dir);
}

static void put(const char *name)
{
	char *path = gt_format("run/t/%s", name);
	char *slash = strrchr(path, '/');
	*slash = '\0';
	assert_int_equal(gt_make_folders(path, &err), GT_OK);
	*slash = '/';
	assert_int_equal(gt_file_write(path, "{\"old\":1}", 9, &err), GT_OK);
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

static void test_folder_of_a_test(void **state)
{
	(void)state;
	struct gt_case test = {.id = (char[]){"t"}, .name = (char[]){"t"}, .suite = (char[]){"s"},
	                       .folder = (char[]){"t"}, .model = (char[]){"/m"}};
	json_t *options = json_object(), *records;
	assert_int_equal(gt_rundir_open("run", &dir, &err), GT_OK);
	put("stages.json");
	put("input.json");
	put("input.0.bin");
	put("inputs");
	put("data_set_1/input.0.bin");
	put("compilation.log");
	// Not fresh: everything stays, and the record is read.
	assert_int_equal(gt_rundir_test(&dir, &test, options, false, false, &records, &err), GT_OK);
	assert_int_equal(gt_json_integer_or(records, "old", 0), 1);
	json_decref(records);
	assert_int_equal(count_files(), 7);
	// Fresh, but with its inputs.
	assert_int_equal(gt_rundir_test(&dir, &test, options, true, true, &records, &err), GT_OK);
	assert_int_equal(gt_json_integer_or(records, "old", 0), 1);
	json_decref(records);
	assert_int_equal(count_files(), 4); // input.json input.0.bin data_set_1 test.json
	// Fresh.
	assert_int_equal(gt_rundir_test(&dir, &test, options, true, false, &records, &err), GT_OK);
	assert_int_equal(json_object_size(records), 0);
	json_decref(records);
	assert_int_equal(count_files(), 1);
	json_t *json;
	assert_int_equal(gt_json_read("run/t/test.json", &json, &err), GT_OK);
	assert_string_equal(gt_json_string_or(json_object_get(json, "test"), "model", ""), "/m");
	json_decref(json);
	assert_int_equal(gt_file_write("run/t/stages.json", "[", 1, &err), GT_OK);
	assert_int_equal(gt_rundir_test(&dir, &test, options, false, false, &records, &err),
	                 GT_BAD_DATA);
	assert_int_equal(json_object_size(records), 0);
	json_decref(records);
	json_decref(options);
	gt_rundir_close(&dir);
}

#define DIR_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(test_ours),    DIR_TEST(test_lock), DIR_TEST(test_names_that_a_shell_reads),
		DIR_TEST(test_scratch), DIR_TEST(test_folder_of_a_test),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
