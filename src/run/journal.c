#include "run/journal.h"

#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

gt_code gt_journal_create(const char *folder, struct gt_journal *out, struct gt_err *err)
{
	char *path = gt_path_join(folder, "events.jsonl");
	*out = (struct gt_journal){.start = gt_clock_ns()};
	gt_code rc = GT_OK;
	if (unlink(path) != 0 && errno != ENOENT)
		rc = gt_fail_errno(err, "cannot replace '%s'", path);
	if (!rc) {
		out->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
		if (out->fd < 0)
			rc = gt_fail_errno(err, "cannot create '%s'", path);
	}
	free(path);
	return rc;
}

gt_code gt_journal_continue(const char *folder, const struct gt_journal_end *end,
                            struct gt_journal *out, struct gt_err *err)
{
	char *path = gt_path_join(folder, "events.jsonl");
	*out = (struct gt_journal){.seq = end->events, .start = gt_clock_ns() - end->t};
	gt_code rc = GT_OK;
	out->fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (out->fd < 0)
		rc = gt_fail_errno(err, "cannot open '%s' to go on with it", path);
	else if (ftruncate(out->fd, end->length) != 0)
		rc = gt_fail_errno(err, "cannot remove the torn end of '%s'", path);
	free(path);
	return rc;
}

gt_code gt_journal_append(struct gt_journal *j, json_t *event, struct gt_err *err)
{
	gt_json_set(event, "t", json_integer(gt_clock_ns() - j->start));
	char *line = gt_event_line(event, j->seq);
	gt_code rc = GT_OK;
	if (gt_write_all(j->fd, line, strlen(line)) != 0)
		rc = gt_fail_errno(err, "cannot write the journal events.jsonl");
	else
		j->seq++;
	free(line);
	return rc;
}

gt_code gt_journal_close(struct gt_journal *j, struct gt_err *err)
{
	gt_code rc = GT_OK;
	if (fdatasync(j->fd) != 0 && errno != EINVAL && errno != EROFS)
		rc = gt_fail_errno(err, "cannot bring the journal events.jsonl to the disk");
	close(j->fd);
	j->fd = -1;
	return rc;
}
