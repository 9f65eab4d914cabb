#include "run/journal.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// What ended cannot be told from a journal that somebody has touched, nor can the run go on with it.
#define ADVICE \
	"what it told is lost: remove the run directory, or name another one with -r, and run again"

// Does the name still lead to the file that we write, and is all of it there?
static gt_code check_place(const struct gt_journal *j, struct gt_err *err)
{
	struct stat there;
	if (!gt_is_open_at(j->fd, j->path) || fstat(j->fd, &there) != 0)
		return gt_fail(err, GT_DISK, "the journal '%s' was removed or replaced during the run; " ADVICE,
		               j->path);
	if (there.st_size != j->length)
		return gt_fail(err, GT_DISK,
		               "the journal '%s' was changed during the run: it has %lld bytes where %lld were "
		               "written; " ADVICE, j->path, (long long)there.st_size, (long long)j->length);
	return GT_OK;
}

static gt_code forget(struct gt_journal *j, gt_code rc)
{
	if (j->fd >= 0)
		close(j->fd);
	if (j->written)
		gt_hasher_free(j->written);
	free(j->path);
	*j = (struct gt_journal){.fd = -1};
	return rc;
}

gt_code gt_journal_create(const char *folder, struct gt_journal *out, struct gt_err *err)
{
	char *path = gt_path_join(folder, "events.jsonl"), *fresh = gt_path_join(folder, GT_JOURNAL_NEW);
	*out = (struct gt_journal){.fd = -1, .path = path, .written = gt_hasher_new(),
	                           .start = gt_clock_ns()};
	// There is always one: without it nobody would know the folder for a run directory again.
	gt_code rc = gt_remove_tree(fresh, err);
	if (!rc)
		out->fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
	if (!rc && out->fd < 0)
		rc = gt_fail_errno(err, "cannot create '%s'", fresh);
	if (!rc && rename(fresh, path) != 0)
		rc = gt_fail_errno(err, "cannot replace '%s'", path);
	if (rc && out->fd >= 0)
		unlink(fresh);
	free(fresh);
	return rc ? forget(out, rc) : GT_OK;
}

gt_code gt_journal_continue(const char *folder, const struct gt_journal_end *end,
                            struct gt_journal *out, struct gt_err *err)
{
	char *path = gt_path_join(folder, "events.jsonl");
	*out = (struct gt_journal){.path = path, .seq = end->events, .length = end->length,
	                           .written = gt_hasher_new(), .start = gt_clock_ns() - end->t};
	gt_code rc = GT_OK;
	out->fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (out->fd < 0)
		rc = gt_fail_errno(err, "cannot open '%s' to go on with it", path);
	else if (ftruncate(out->fd, end->length) != 0)
		rc = gt_fail_errno(err, "cannot remove the torn end of '%s'", path);
	if (!rc)
		rc = gt_hasher_add_file(out->written, out->fd, path, (uint64_t)out->length, NULL, err);
	return rc ? forget(out, rc) : GT_OK;
}

gt_code gt_journal_append(struct gt_journal *j, json_t *event, struct gt_err *err)
{
	gt_json_set(event, "t", json_integer(gt_clock_ns() - j->start));
	char *line = gt_event_line(event, j->seq);
	size_t length = strlen(line);
	gt_code rc = check_place(j, err);
	if (!rc && gt_write_all(j->fd, line, length) != 0)
		rc = gt_fail_errno(err, "cannot write the journal events.jsonl");
	if (!rc) {
		gt_hasher_add(j->written, line, length);
		j->length += (int64_t)length;
		j->seq++;
	}
	free(line);
	return rc;
}

gt_code gt_journal_verify(const struct gt_journal *j, struct gt_err *err)
{
	struct gt_hasher *there = gt_hasher_new();
	char wanted[GT_HASH_SIZE], found[GT_HASH_SIZE];
	gt_code rc = check_place(j, err);
	if (!rc)
		rc = gt_hasher_add_file(there, j->fd, j->path, (uint64_t)j->length, NULL, err);
	gt_hasher_tell(j->written, wanted);
	gt_hasher_tell(there, found);
	gt_hasher_free(there);
	if (!rc && strcmp(wanted, found) != 0)
		rc = gt_fail(err, GT_DISK, "the journal '%s' was changed during the run; " ADVICE, j->path);
	return rc;
}

gt_code gt_journal_close(struct gt_journal *j, struct gt_err *err)
{
	if (j->fd < 0)
		return GT_OK;
	gt_code rc = GT_OK;
	if (fdatasync(j->fd) != 0 && errno != EINVAL && errno != EROFS)
		rc = gt_fail_errno(err, "cannot bring the journal events.jsonl to the disk");
	if (!rc)
		rc = check_place(j, err);
	return forget(j, rc);
}
