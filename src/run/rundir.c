#include "run/rundir.h"

#include "base/utf8.h"
#include "run/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

// With less than this left on the disk a failure is not believed: a tool that found no room may have
// made some by removing what it had begun.
#define MIN_ROOM (16 << 20)

// How long the jobs of a run that was killed may take to die.
#define LAST_JOBS_MS 10000

// In working folders that lie elsewhere: a link to the run directory they belong to.
#define OWNER ".run"

// How long a lock may be held by who is on the way out, or has but a report to write.
#define LAST_HOLDER_MS 2000

// A folder with other people's files is not ours to empty.
static gt_code check_ours(const char *path, struct gt_err *err)
{
	struct gt_names names = {0};
	gt_code rc = gt_list_folder(path, &names, err);
	bool ours = gt_names_contain(&names, "events.jsonl"), begun = true;
	for (size_t i = 0; i < names.count; i++) // of a run that ended before its first event
		begun = begun && (strcmp(names.items[i], "run.lock") == 0 ||
		                  strcmp(names.items[i], "tmp") == 0 ||
		                  strcmp(names.items[i], GT_JOURNAL_NEW) == 0);
	ours = ours || begun;
	if (!rc && !ours)
		rc = gt_fail(err, GT_BAD_USAGE,
		             "'%s' is not empty and no run has made it: name another run directory with -r",
		             path);
	gt_names_free(&names);
	return rc;
}

// Requests and records are JSON: a name that is no text would be another one there.
static gt_code check_text(const char *path, struct gt_err *err)
{
	char *clean = gt_utf8_clean(path);
	bool same = strcmp(clean, path) == 0;
	free(clean);
	return same ? GT_OK
	            : gt_fail(err, GT_BAD_USAGE,
	                      "the run directory's path '%s' is not UTF-8: name another one with -r",
	                      path);
}

// As flock(), but not at the first refusal: a runner that was killed holds its lock until the system
// has cleared it away, and a report for as long as it writes. Looks are counted, not time, so that those
// of a machine that stood still are not spent.
static int lock_soon(int fd, int operation)
{
	int rc = flock(fd, operation | LOCK_NB);
	for (int i = 0; rc != 0 && errno == EWOULDBLOCK && i < LAST_HOLDER_MS / 10; i++) {
		usleep(10000);
		rc = flock(fd, operation | LOCK_NB);
	}
	return rc;
}

static gt_code take_lock(struct gt_rundir *r, struct gt_err *err)
{
	char *path = gt_path_join(r->path, "run.lock");
	gt_code rc = GT_OK;
	r->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (r->lock < 0)
		rc = gt_fail_errno(err, "cannot open '%s'", path);
	else if (lock_soon(r->lock, LOCK_EX) == 0)
		rc = GT_OK;
	else if (errno != EWOULDBLOCK)
		rc = gt_fail_errno(err, "cannot lock '%s'", path);
	else
		rc = gt_fail(err, GT_BAD_USAGE,
		             "another gauntlet is running in '%s': wait for it, or name another run "
		             "directory with -r", r->path);
	free(path);
	return rc;
}

// What a link holds, allocated; NULL if it is none.
static char *read_link(const char *path)
{
	char text[PATH_MAX];
	ssize_t n = readlink(path, text, sizeof text);
	return n > 0 && (size_t)n < sizeof text ? gt_strndup(text, (size_t)n) : NULL;
}

// Working folders of a run that was killed. Those elsewhere are removed only if they say that they
// are this directory's: it may be a copy of one that another run holds.
static gt_code remove_left_over(const struct gt_rundir *r, const char *tmp, struct gt_err *err)
{
	char *elsewhere = read_link(tmp);
	if (elsewhere) {
		char *back = gt_path_join(elsewhere, OWNER);
		char *owner = read_link(back);
		if (owner && strcmp(owner, r->path) == 0)
			(void)!gt_remove_tree(elsewhere, NULL);
		free(owner);
		free(back);
		free(elsewhere);
	}
	return gt_remove_tree(tmp, err); // of a link, only the link
}

// The process that works below `folder`; 0 if there is none.
static pid_t find_worker(const char *folder)
{
	struct gt_names names = {0};
	pid_t found = 0;
	size_t n = strlen(folder);
	(void)!gt_list_folder("/proc", &names, NULL);
	for (size_t i = 0; !found && i < names.count; i++) {
		char *path = gt_format("/proc/%s/cwd", names.items[i]);
		char *cwd = read_link(path); // of processes only, and only of those that we may look at
		pid_t pid = (pid_t)atol(names.items[i]);
		if (cwd && pid != getpid() && strncmp(cwd, folder, n) == 0 && cwd[n] == '/')
			found = pid;
		free(cwd);
		free(path);
	}
	gt_names_free(&names);
	return found;
}

// The jobs of a run that was killed die with it, but not in the same moment: until then they may
// write into the folders of tests.
static gt_code wait_for_jobs(const char *tmp, struct gt_err *err)
{
	char *folder = read_link(tmp);
	if (!folder)
		folder = gt_strdup(tmp);
	pid_t pid = 0;
	for (int i = 0; i < LAST_JOBS_MS / 10 && gt_is_folder(folder); i++) {
		pid = find_worker(folder);
		if (!pid)
			break;
		usleep(10000);
	}
	gt_code rc = !pid ? GT_OK
	                  : gt_fail(err, GT_IO, "process %ld of an earlier run still works in '%s': end it",
	                            (long)pid, folder);
	free(folder);
	return rc;
}

static gt_code make_link(const char *to, const char *path, struct gt_err *err)
{
	return symlink(to, path) == 0 ? GT_OK : gt_fail_errno(err, "cannot make the link '%s'", path);
}

// TMPDIR of a job ends up in a shell command that IREE does not quote. Where the path of the run
// directory cannot be used there, its tmp is a link to a folder that can.
static gt_code make_tmp(struct gt_rundir *r, struct gt_err *err)
{
	char *tmp = gt_path_join(r->path, "tmp");
	gt_code rc = wait_for_jobs(tmp, err);
	if (!rc)
		rc = remove_left_over(r, tmp, err);
	if (!rc && gt_path_is_plain(tmp)) {
		r->tmp = gt_strdup(tmp);
		rc = gt_make_folders(r->tmp, err);
	} else if (!rc) {
		rc = gt_temporary_make("run", &r->elsewhere, err);
		r->tmp = rc ? NULL : gt_strdup(r->elsewhere.path);
		char *back = rc ? NULL : gt_path_join(r->tmp, OWNER);
		if (!rc)
			rc = make_link(r->path, back, err);
		if (!rc)
			rc = make_link(r->tmp, tmp, err);
		free(back);
	}
	free(tmp);
	return rc;
}

gt_code gt_rundir_share(const char *folder, int *lock, struct gt_err *err)
{
	char *path = gt_format("%s/../run.lock", folder);
	gt_code rc = GT_OK;
	*lock = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK); // a FIFO must not hang us
	if (*lock < 0 && errno != ENOENT)
		rc = gt_fail_errno(err, "cannot open '%s'", path);
	else if (*lock >= 0 && lock_soon(*lock, LOCK_SH) != 0)
		rc = errno == EWOULDBLOCK
		             ? gt_fail(err, GT_BAD_USAGE,
		                       "another gauntlet is running in the run directory of '%s': wait "
		                       "for it", folder)
		             : gt_fail_errno(err, "cannot lock '%s'", path);
	if (rc && *lock >= 0) {
		close(*lock);
		*lock = -1;
	}
	free(path);
	return rc;
}

void gt_rundir_visit(const char *rundir, int *lock, bool *held)
{
	char *path = gt_path_join(rundir, "run.lock");
	*lock = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	*held = *lock >= 0 && flock(*lock, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
	if (*held) {
		close(*lock);
		*lock = -1;
	}
	free(path);
}

// Of a run that was killed before its journal took the place of an older one.
static void remove_new_journal(const struct gt_rundir *r)
{
	char *path = gt_path_join(r->path, GT_JOURNAL_NEW);
	(void)!gt_remove_tree(path, NULL);
	free(path);
}

gt_code gt_rundir_open(const char *path, struct gt_rundir *out, struct gt_err *err)
{
	*out = (struct gt_rundir){.lock = -1};
	char *wanted = gt_path_absolute(path);
	gt_code rc = check_text(wanted, err);
	if (!rc)
		rc = gt_make_folders(wanted, err);
	out->path = gt_path_absolute(wanted); // links are followed once, now that it exists
	free(wanted);
	if (!rc)
		rc = check_text(out->path, err);
	if (!rc)
		rc = check_ours(out->path, err);
	if (!rc)
		rc = take_lock(out, err);
	if (!rc)
		remove_new_journal(out);
	if (!rc)
		rc = make_tmp(out, err);
	if (rc)
		gt_rundir_close(out);
	return rc;
}

void gt_rundir_remove_tmp(struct gt_rundir *r)
{
	if (!r->tmp)
		return;
	char *link = gt_path_join(r->path, "tmp");
	(void)!gt_remove_tree(r->tmp, NULL);
	(void)!gt_remove_tree(link, NULL);
	gt_temporary_remove(&r->elsewhere);
	free(link);
	free(r->tmp);
	r->tmp = NULL;
}

void gt_rundir_close(struct gt_rundir *r)
{
	gt_rundir_remove_tmp(r);
	if (r->lock >= 0)
		close(r->lock);
	free(r->path);
	*r = (struct gt_rundir){.lock = -1};
}

// What resists is left aside for the end of the run.
static void drop(const struct gt_rundir *r, const char *path)
{
	static unsigned stuck;
	if (!gt_remove_tree(path, NULL))
		return;
	char *aside = gt_format("%s/stuck-%u", r->tmp, stuck++);
	(void)!rename(path, aside);
	free(aside);
}

void gt_rundir_drop(const struct gt_rundir *r, const char *name)
{
	char *path = gt_path_join(r->tmp, name);
	drop(r, path);
	free(path);
}

// Is an open folder empty, and as it was when it was made? Every change of content, mode or attributes
// changes its ctime; where the file system does not say when it was made, it is not taken for new.
static bool is_untouched(int fd)
{
	struct statx st;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_CTIME | STATX_BTIME, &st) != 0 ||
	    !(st.stx_mask & STATX_BTIME) || st.stx_ctime.tv_sec != st.stx_btime.tv_sec ||
	    st.stx_ctime.tv_nsec != st.stx_btime.tv_nsec)
		return false;
	// An old kernel's clock stands still for some milliseconds: look inside as well.
	_Alignas(struct dirent64) char entries[1024];
	ssize_t n = getdents64(fd, entries, sizeof entries);
	int names = 0;
	for (ssize_t at = 0; at < n; at += ((struct dirent64 *)(void *)(entries + at))->d_reclen)
		names++;
	return n > 0 && names == 2; // itself and the one above
}

gt_code gt_rundir_scratch(const struct gt_rundir *r, const char *name, int *fd, struct gt_err *err)
{
	static const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
	char *path = gt_path_join(r->tmp, name);
	gt_code rc = GT_OK;
	*fd = open(path, flags);
	if (*fd >= 0 && is_untouched(*fd)) {
		free(path);
		return GT_OK;
	}
	if (*fd >= 0 || errno != ENOENT)
		drop(r, path);
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	rc = gt_make_folders(path, err);
	if (!rc) {
		*fd = open(path, flags);
		if (*fd < 0)
			rc = gt_fail_errno(err, "cannot open '%s'", path);
	}
	free(path);
	return rc;
}

static gt_code check_room(const char *path, const char *advice, struct gt_err *err)
{
	struct statvfs fs;
	if (statvfs(path, &fs) != 0)
		return gt_fail_errno(err, "cannot look at the disk of '%s'", path);
	bool root = geteuid() == 0; // may use what is reserved
	uint64_t bytes = (uint64_t)(root ? fs.f_bfree : fs.f_bavail) * fs.f_frsize;
	uint64_t files = root ? fs.f_ffree : fs.f_favail;
	// Some file systems count no files, and some count nothing.
	if (fs.f_blocks && (bytes < MIN_ROOM || (fs.f_files && files == 0)))
		return gt_fail(err, GT_DISK, "the disk of '%s' is full: make room, or name another %s", path,
		               advice);
	return GT_OK;
}

gt_code gt_rundir_check_place(const struct gt_rundir *r, struct gt_err *err)
{
	char *path = gt_path_join(r->path, "run.lock");
	bool same = gt_is_open_at(r->lock, path);
	free(path);
	if (!same)
		return gt_fail(err, GT_DISK,
		               "the run directory '%s' was removed or replaced during the run", r->path);
	if (access(r->path, R_OK | W_OK | X_OK) != 0)
		return gt_fail(err, GT_DISK, "the run directory '%s' can no longer be written to: %s", r->path,
		               strerror(errno));
	return GT_OK;
}

gt_code gt_rundir_check_disk(const struct gt_rundir *r, struct gt_err *err)
{
	gt_code rc = gt_rundir_check_place(r, err);
	if (!rc)
		rc = check_room(r->path, "run directory with -r", err);
	return rc ? rc : check_room(r->tmp, "folder with TMPDIR", err);
}
