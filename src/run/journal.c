#include "run/journal.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// What ended cannot be told from a journal that somebody has touched, nor can the run go on with it.
#define ADVICE \
	"what it told is lost: remove the run directory, or name another one with -r, and run again"

static void add_line(uint64_t *sum, const char *line, size_t length)
{
	uint64_t both[] = {*sum, gt_hash64(line, length)};
	*sum = gt_hash64(both, sizeof both);
}

// The sum of the first `length` bytes.
static gt_code sum_lines(int fd, int64_t length, const char *path, uint64_t *sum,
                         struct gt_err *err)
{
	struct gt_buf line = {0};
	char chunk[16384]; // a stack may be small (ulimit -s)
	gt_code rc = GT_OK;
	*sum = 0;
	for (int64_t at = 0; !rc && at < length;) {
		size_t most = length - at < (int64_t)sizeof chunk ? (size_t)(length - at) : sizeof chunk;
		ssize_t n = pread(fd, chunk, most, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = gt_fail_errno(err, "cannot read '%s'", path);
		if (n <= 0)
			break;
		at += n;
		for (const char *from = chunk, *end = chunk + n; from < end;) {
			const char *newline = memchr(from, '\n', (size_t)(end - from));
			size_t part = newline ? (size_t)(newline - from) + 1 : (size_t)(end - from);
			gt_buf_append(&line, from, part);
			from += part;
			if (newline) {
				add_line(sum, line.data, line.length);
				line.length = 0;
			}
		}
	}
	if (line.length)
		add_line(sum, line.data, line.length);
	gt_buf_free(&line);
	return rc;
}

// Does the name still lead to the file that we write, and is all of it there?
static gt_code check_place(const struct gt_journal *j, struct gt_err *err)
{
	struct stat there;
	if (stat(j->path, &there) != 0 || there.st_dev != j->device || there.st_ino != j->inode)
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
	free(j->path);
	*j = (struct gt_journal){.fd = -1};
	return rc;
}

static gt_code remember_place(struct gt_journal *j, struct gt_err *err)
{
	struct stat st;
	if (fstat(j->fd, &st) != 0)
		return gt_fail_errno(err, "cannot look at '%s'", j->path);
	j->device = st.st_dev;
	j->inode = st.st_ino;
	return GT_OK;
}

gt_code gt_journal_create(const char *folder, struct gt_journal *out, struct gt_err *err)
{
	char *path = gt_path_join(folder, "events.jsonl");
	*out = (struct gt_journal){.fd = -1, .path = path, .start = gt_clock_ns()};
	gt_code rc = GT_OK;
	if (unlink(path) != 0 && errno != ENOENT)
		rc = gt_fail_errno(err, "cannot replace '%s'", path);
	if (!rc) {
		out->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
		if (out->fd < 0)
			rc = gt_fail_errno(err, "cannot create '%s'", path);
	}
	if (!rc)
		rc = remember_place(out, err);
	return rc ? forget(out, rc) : GT_OK;
}

gt_code gt_journal_continue(const char *folder, const struct gt_journal_end *end,
                            struct gt_journal *out, struct gt_err *err)
{
	char *path = gt_path_join(folder, "events.jsonl");
	*out = (struct gt_journal){.path = path, .seq = end->events, .length = end->length,
	                           .start = gt_clock_ns() - end->t};
	gt_code rc = GT_OK;
	out->fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (out->fd < 0)
		rc = gt_fail_errno(err, "cannot open '%s' to go on with it", path);
	else if (ftruncate(out->fd, end->length) != 0)
		rc = gt_fail_errno(err, "cannot remove the torn end of '%s'", path);
	if (!rc)
		rc = remember_place(out, err);
	if (!rc)
		rc = sum_lines(out->fd, out->length, path, &out->sum, err);
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
		add_line(&j->sum, line, length);
		j->length += (int64_t)length;
		j->seq++;
	}
	free(line);
	return rc;
}

gt_code gt_journal_verify(const struct gt_journal *j, struct gt_err *err)
{
	uint64_t sum = 0;
	gt_code rc = check_place(j, err);
	if (!rc)
		rc = sum_lines(j->fd, j->length, j->path, &sum, err);
	if (!rc && sum != j->sum)
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
