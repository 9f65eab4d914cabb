// Files and folders: whole reads and writes, trees that resist, paths.
#include "base/file.h"
#include "base/hash.h"
#include "base/temporary.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/gauntlet-file-XXXXXX";
static struct gt_err err;

static int begin(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/gauntlet-file-XXXXXX");
	err = (struct gt_err){0};
	alarm(120); // a test that blocks is a failure
	return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	alarm(0);
	return chdir("/") || gt_remove_tree(folder, NULL) || gt_is_folder(folder);
}

static void put(const char *path, const char *text)
{
	assert_int_equal(gt_file_write(path, text, strlen(text), NULL), GT_OK);
}

static void assert_holds(const char *path, const char *text)
{
	struct gt_buf b = {0};
	assert_int_equal(gt_file_read(path, 1 << 20, &b, &err), GT_OK);
	assert_string_equal(gt_buf_text(&b), text);
	gt_buf_free(&b);
}

static void assert_said(gt_code rc, gt_code wanted, const char *part)
{
	assert_int_equal(rc, wanted);
	if (!strstr(err.text, part))
		fail_msg("'%s' does not say '%s'", err.text, part);
}

static void test_read(void **state)
{
	(void)state;
	struct gt_buf b = {0};
	put("a", "hello");
	assert_int_equal(gt_file_read("a", 5, &b, &err), GT_OK);
	assert_int_equal(gt_file_read("a", 5, &b, &err), GT_OK); // appends; the limit is per file
	assert_string_equal(b.data, "hellohello");
	assert_said(gt_file_read("a", 4, &b, &err), GT_BAD_DATA, "5 bytes, more than the limit of 4");
	assert_said(gt_file_read("b", 4, &b, &err), GT_NOT_FOUND, "'b': No such file");
	assert_said(gt_file_read(".", 4, &b, &err), GT_BAD_DATA, "not a regular file");
	assert_said(gt_file_read("/dev/zero", 4, &b, &err), GT_BAD_DATA, "not a regular file");
	// /proc says 0 bytes and then gives more.
	assert_said(gt_file_read("/proc/self/status", 100, &b, &err), GT_BAD_DATA, "grew past");
	gt_buf_free(&b);
}

// Nobody writes to the pipe; whoever waits for that waits for ever.
static void test_pipe_with_a_name(void **state)
{
	(void)state;
	struct gt_buf b = {0};
	char hash[GT_HASH_SIZE];
	assert_int_equal(mkfifo("pipe", 0600), 0);
	assert_said(gt_file_read("pipe", 100, &b, &err), GT_BAD_DATA, "not a regular file");
	assert_said(gt_file_copy("pipe", "copy", &err), GT_BAD_DATA, "not a regular file");
	assert_said(gt_hash_file("pipe", hash, NULL, &err), GT_BAD_DATA, "not a regular file");
	assert_said(gt_hash_file("/dev/zero", hash, NULL, &err), GT_BAD_DATA, "not a regular file");
	assert_said(gt_hash_file(".", hash, NULL, &err), GT_BAD_DATA, "not a regular file");
	assert_false(gt_is_file("pipe") || gt_is_file("copy"));
	assert_int_equal(gt_file_size("pipe"), -1);
}

static void test_hash(void **state)
{
	(void)state;
	char whole[GT_HASH_SIZE], pieces[GT_HASH_SIZE];
	uint64_t bytes;
	char *big = malloc(200000);
	for (int i = 0; i < 200000; i++)
		big[i] = (char)(i * 7);
	assert_int_equal(gt_file_write("big", big, 200000, &err), GT_OK);
	gt_hash_bytes(big, 200000, whole);
	assert_int_equal(gt_hash_file("big", pieces, &bytes, &err), GT_OK);
	assert_string_equal(whole, pieces);
	assert_int_equal(bytes, 200000);
	gt_hash_bytes("", 0, whole); // XXH3-128 of nothing, from the algorithm's own test vectors
	assert_string_equal(whole, "99aa06d3014798d86001c324468d497f");
	assert_said(gt_hash_file("none", pieces, &bytes, &err), GT_NOT_FOUND, "'none'");
	free(big);
}

static void test_write(void **state)
{
	(void)state;
	struct gt_names names = {0};
	put("a", "one");
	put("a", "");
	assert_holds("a", "");
	assert_int_equal(gt_file_size("a"), 0);
	// A link is replaced, not followed.
	put("target", "untouched");
	assert_int_equal(symlink("target", "link"), 0);
	put("link", "mine");
	assert_holds("link", "mine");
	assert_holds("target", "untouched");
	// Failures leave nothing behind, also when a temporary file of an earlier crash lies there.
	put(".a.tmp", "left by a crash");
	put("a", "two");
	assert_holds("a", "two");
	assert_int_equal(mkdir("d", 0755), 0);
	assert_said(gt_file_write("d", "x", 1, &err), GT_IO, "'d'");
	assert_int_equal(mkfifo("a_pipe", 0600), 0);
	assert_said(gt_file_write("a_pipe", "x", 1, &err), GT_IO, "not a regular file");
	struct stat st;
	assert_int_equal(lstat("a_pipe", &st), 0);
	assert_true(S_ISFIFO(st.st_mode)); // it was not replaced
	assert_int_equal(unlink("a_pipe"), 0);
	assert_said(gt_file_write("no/such", "x", 1, &err), GT_NOT_FOUND, "cannot create 'no/such'");
	assert_said(gt_file_write("a/b", "x", 1, &err), GT_IO, "cannot create 'a/b'");
	assert_int_equal(gt_list_folder(".", &names, &err), GT_OK);
	assert_int_equal(names.count, 4); // a d link target
	gt_names_free(&names);
}

// A file system of one megabyte that is full.
static void test_full_disk(void **state)
{
	(void)state;
	char big[65536];
	assert_int_equal(mkdir("small", 0755), 0);
	if (mount("none", "small", "tmpfs", 0, "size=256k") != 0) {
		print_message("skipped: may not mount: %s\n", strerror(errno));
		skip();
	}
	memset(big, 'x', sizeof big);
	assert_int_equal(gt_file_write("small/kept", "old", 3, &err), GT_OK);
	int filled = 0;
	gt_code rc = GT_OK;
	for (; !rc && filled < 10; filled++) {
		char name[32];
		snprintf(name, sizeof name, "small/%d", filled);
		rc = gt_file_write(name, big, sizeof big, &err);
	}
	assert_said(rc, GT_DISK, "No space left on device");
	assert_said(gt_file_write("small/kept", big, sizeof big, &err), GT_DISK, "cannot write");
	put("big", "");
	assert_int_equal(gt_file_write("big", big, sizeof big, &err), GT_OK);
	assert_said(gt_file_copy("big", "small/kept", &err), GT_DISK, "'small/kept': No space left");
	assert_holds("small/kept", "old");
	struct gt_names names = {0};
	assert_int_equal(gt_list_folder("small", &names, &err), GT_OK);
	for (size_t i = 0; i < names.count; i++)
		assert_null(strstr(names.items[i], ".tmp"));
	gt_names_free(&names);
	assert_int_equal(umount("small"), 0);
}

static void test_copy(void **state)
{
	(void)state;
	put("a", "content");
	assert_int_equal(gt_file_copy("a", "b", &err), GT_OK);
	assert_holds("b", "content");
	put("target", "untouched");
	assert_int_equal(symlink("target", "link"), 0);
	assert_int_equal(gt_file_copy("a", "link", &err), GT_OK);
	assert_holds("target", "untouched");
	assert_int_equal(gt_file_copy("a", "a", &err), GT_OK); // onto itself
	assert_holds("a", "content");
	assert_said(gt_file_copy("none", "b", &err), GT_NOT_FOUND, "cannot open 'none'");
	assert_said(gt_file_copy(".", "b", &err), GT_BAD_DATA, "'.' is not a regular file");
	assert_said(gt_file_copy("a", "no/b", &err), GT_NOT_FOUND, "cannot create 'no/b'");
	// Files that have no size before they are read.
	assert_int_equal(gt_file_copy("/proc/self/stat", "stat", &err), GT_OK);
	assert_true(gt_file_size("stat") > 0);
}

static void test_folders(void **state)
{
	(void)state;
	assert_int_equal(gt_make_folders("a/b//c/", &err), GT_OK);
	assert_int_equal(gt_make_folders("a/b/c", &err), GT_OK);
	assert_true(gt_is_folder("a/b/c"));
	assert_int_equal(gt_make_folders("/", &err), GT_OK);
	assert_said(gt_make_folders("", &err), GT_NOT_FOUND, "cannot make folder ''");
	put("file", "");
	assert_said(gt_make_folders("file/x", &err), GT_IO, "cannot make folder 'file'");
	struct gt_names names = {0};
	assert_int_equal(gt_list_folder(".", &names, &err), GT_OK);
	assert_int_equal(names.count, 2);
	assert_string_equal(names.items[0], "a");
	assert_true(gt_names_contain(&names, "file") && !gt_names_contain(&names, "fil"));
	assert_said(gt_list_folder("none", &names, &err), GT_NOT_FOUND, "cannot open folder 'none'");
	for (int i = 0; i < 100; i++)
		gt_names_add(&names, "x");
	assert_int_equal(names.count, 102);
	gt_names_free(&names);
	assert_int_equal(names.count, 0);
}

static void test_remove(void **state)
{
	(void)state;
	assert_int_equal(gt_remove_tree("none", &err), GT_OK);
	assert_int_equal(gt_make_folders("out", &err), GT_OK);
	put("out/precious", "here");
	assert_int_equal(gt_make_folders("t/a/b", &err), GT_OK);
	assert_int_equal(symlink("../out", "t/link"), 0);
	assert_int_equal(symlink("nowhere", "t/a/dangling"), 0);
	assert_int_equal(mkfifo("t/a/b/pipe", 0600), 0);
	assert_int_equal(chmod("t/a", 0), 0);
	assert_int_equal(gt_remove_tree("t", &err), GT_OK);
	assert_false(gt_is_folder("t"));
	assert_holds("out/precious", "here");
	assert_int_equal(symlink("out", "link"), 0);
	assert_int_equal(gt_remove_tree("link", &err), GT_OK);
	assert_holds("out/precious", "here");
}

// What a job leaves may be deeper than any path may be long, and wide as well.
static void test_remove_deep_tree(void **state)
{
	(void)state;
	assert_int_equal(mkdir("deep", 0755), 0);
	int fd = open("deep", O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 3000; i++) {
		assert_int_equal(mkdirat(fd, "sub", 0755), 0);
		if (i % 100 == 0) {
			int file = openat(fd, "file", O_WRONLY | O_CREAT, 0644);
			close(file);
			assert_int_equal(mkdirat(fd, "other", 0755), 0);
		}
		int next = openat(fd, "sub", O_RDONLY | O_DIRECTORY);
		assert_true(next >= 0);
		close(fd);
		fd = next;
	}
	close(fd);
	if (gt_remove_tree("deep", &err))
		fail_msg("%s", err.text);
	assert_false(gt_is_folder("deep"));
}

// Folders that their owner has made unreadable, for one who is not root.
static void test_remove_locked_tree(void **state)
{
	(void)state;
	assert_int_equal(chmod(folder, 0777), 0);
	pid_t pid = fork();
	if (pid == 0) {
		if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
			_exit(9);
		if (mkdir("t", 0755) || mkdir("t/a", 0755) || mkdir("t/a/b", 0755) ||
		    gt_file_write("t/a/b/f", "x", 1, NULL) || chmod("t/a/b", 0) || chmod("t/a", 0500) ||
		    chmod("t", 0))
			_exit(8);
		_exit(gt_remove_tree("t", NULL) ? 1 : 0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_false(gt_is_folder("t"));
}

static void test_paths(void **state)
{
	(void)state;
	static const char *const joined[][3] = {
		{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"/", "b", "/b"}, {"a", "/b", "/b"},
		{"", "b", "b"}, {"a", "", "a/"},
	};
	for (size_t i = 0; i < GT_COUNTOF(joined); i++) {
		char *path = gt_path_join(joined[i][0], joined[i][1]);
		assert_string_equal(path, joined[i][2]);
		free(path);
	}
	char here[4096];
	assert_non_null(getcwd(here, sizeof here));
	char *path = gt_path_absolute(".");
	assert_string_equal(path, here);
	free(path);
	path = gt_path_absolute("not/there");
	assert_true(path[0] == '/' && strstr(path, "not/there"));
	free(path);
	assert_true(gt_path_is_plain("/a/B-9_x.y+z"));
	assert_true(gt_path_is_plain(""));
	static const char *const bad[] = {"a b", "a;b", "a$b", "a'b", "a\nb", "\xC3\xA9", "a~"};
	for (size_t i = 0; i < GT_COUNTOF(bad); i++)
		assert_false(gt_path_is_plain(bad[i]));
}

static void test_names_below(void **state)
{
	(void)state;
	static const char *const below[] = {"a", "a.bin", "x/y.bin", "..a", "a..", "a/...", "./a"};
	static const char *const outside[] = {"", "/", "/etc/passwd", "..", "../a", "a/..", "a/../b",
	                                      "x/y/.."};
	for (size_t i = 0; i < GT_COUNTOF(below); i++)
		assert_true(gt_path_stays_below(below[i]));
	for (size_t i = 0; i < GT_COUNTOF(outside); i++)
		assert_false(gt_path_stays_below(outside[i]));
}

#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

static void test_temporary_folder(void **state)
{
	(void)state;
	struct gt_temporary made;
	char *old = getenv("TMPDIR") ? gt_strdup(getenv("TMPDIR")) : NULL;
	char *here = gt_path_absolute("."), *odd = gt_path_join(here, "a b;c");
	static const char *const useless[] = {"", "relative", "/nonexistent/x", NULL};
	assert_int_equal(gt_make_folders(odd, &err), GT_OK);
	for (size_t i = 0; i < GT_COUNTOF(useless); i++) {
		setenv("TMPDIR", useless[i] ? useless[i] : odd, 1);
		assert_int_equal(gt_temporary_make("x", &made, &err), GT_OK);
		assert_int_equal(strncmp(made.path, "/tmp/gauntlet-x-", 16), 0);
		gt_temporary_remove(&made);
	}
	setenv("TMPDIR", here, 1);
	assert_int_equal(gt_temporary_make("x", &made, &err), GT_OK);
	assert_int_equal(strncmp(made.path, here, strlen(here)), 0);
	assert_true(gt_is_folder(made.path));
	char *inside = gt_path_join(made.path, "file"), *path = gt_strdup(made.path);
	put(inside, "text");
	gt_temporary_remove(&made);
	assert_null(made.path);
	assert_false(gt_is_folder(path));
	gt_temporary_remove(&made); // there is none
	free(inside);
	free(path);
	if (old)
		setenv("TMPDIR", old, 1);
	else
		unsetenv("TMPDIR");
	rmdir(odd);
	free(odd);
	free(here);
	free(old);
}

static size_t temporary_folders(void)
{
	struct gt_names names = {0};
	assert_int_equal(gt_list_folder(".", &names, &err), GT_OK);
	size_t n = names.count;
	gt_names_free(&names);
	return n;
}

// A child that makes one, says its name, and waits.
static pid_t make_in_child(const char *purpose, int *said, char name[256])
{
	int pair[2];
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct gt_temporary mine;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (gt_temporary_make(purpose, &mine, NULL))
			_exit(1);
		(void)!write(pair[1], mine.path, strlen(mine.path) + 1);
		for (;;)
			pause();
	}
	close(pair[1]);
	*said = pair[0];
	assert_true(read(pair[0], name, 256) > 0);
	return pid;
}

static void end_child(pid_t pid, int said)
{
	close(said);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

// What a killed program leaves is removed by the next one of its kind; what is in use stays.
static void test_abandoned_temporary_folders(void **state)
{
	(void)state;
	struct gt_temporary first, other, next;
	char name[256], file[300], same[256];
	int said, said_too;
	setenv("TMPDIR", folder, 1);
	assert_int_equal(gt_temporary_make("x", &first, &err), GT_OK);
	pid_t killed = make_in_child("x", &said, name), waits = make_in_child("x", &said_too, same);
	snprintf(file, sizeof file, "%s/file", name);
	put(file, "left");
	assert_int_equal(mkdir("gauntlet-x-abcdefg", 0700), 0); // not of our making
	assert_int_equal(mkdir("gauntlet-y-abcdef", 0700), 0);
	assert_int_equal(symlink("gauntlet-y-abcdef", "gauntlet-x-abcdef"), 0);
	put("gauntlet-x-uvwxyz", "a file");
	end_child(killed, said);
	assert_true(gt_is_folder(name));
	assert_int_equal(gt_temporary_make("z", &other, &err), GT_OK);
	assert_true(gt_is_folder(name)); // of another kind
	assert_int_equal(gt_temporary_make("x", &next, &err), GT_OK);
	assert_false(gt_is_folder(name));
	assert_true(gt_is_folder(first.path) && gt_is_folder(same) && gt_is_folder(next.path));
	assert_int_equal(temporary_folders(), 8);
	end_child(waits, said_too);
	gt_temporary_remove(&next);
	gt_temporary_remove(&other);
	gt_temporary_remove(&first);
	if (geteuid() == 0) { // another user's, which nobody holds
		assert_int_equal(chown(same, 1, 1), 0);
		assert_int_equal(gt_temporary_make("x", &next, &err), GT_OK);
		gt_temporary_remove(&next);
		assert_true(gt_is_folder(same));
	}
	unsetenv("TMPDIR");
}

// Many at once make and remove them; nobody's is taken from him.
static void test_race_for_temporary_folders(void **state)
{
	(void)state;
	pid_t pids[4];
	setenv("TMPDIR", folder, 1);
	for (size_t i = 0; i < GT_COUNTOF(pids); i++) {
		pids[i] = fork();
		for (int round = 0; pids[i] == 0 && round < 500; round++) {
			struct gt_temporary mine;
			if (gt_temporary_make("x", &mine, NULL))
				_exit(1);
			for (int look = 0; look < 3; look++)
				if (!gt_is_folder(mine.path))
					_exit(2);
			gt_temporary_remove(&mine);
		}
		if (pids[i] == 0)
			_exit(0);
	}
	for (size_t i = 0; i < GT_COUNTOF(pids); i++) {
		int status = -1;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(temporary_folders(), 0);
	unsetenv("TMPDIR");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FILE_TEST(test_read),
		FILE_TEST(test_pipe_with_a_name),
		FILE_TEST(test_hash),
		FILE_TEST(test_write),
		FILE_TEST(test_full_disk),
		FILE_TEST(test_copy),
		FILE_TEST(test_folders),
		FILE_TEST(test_remove),
		FILE_TEST(test_remove_deep_tree),
		FILE_TEST(test_remove_locked_tree),
		FILE_TEST(test_paths),
		FILE_TEST(test_names_below),
		FILE_TEST(test_temporary_folder),
		FILE_TEST(test_abandoned_temporary_folders),
		FILE_TEST(test_race_for_temporary_folders),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
