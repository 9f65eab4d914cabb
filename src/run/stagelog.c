#include "run/stagelog.h"

#include "base/file.h"
#include "base/quote.h"
#include "base/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Bytes of the first printed line that a message quotes.
#define MAX_QUOTE 300

static void put_head(struct gt_buf *text, const char *folder, const char *test, const char *stage,
                     const struct gt_ending *e)
{
	uint64_t crash = e->report.crash;
	gt_buf_puts(text, "test    ");
	gt_utf8_line(text, test);
	gt_buf_printf(text, "\nstage   %s\nwhy     %s\nmessage ", stage, e->why);
	gt_utf8_line(text, e->message);
	gt_buf_printf(text, "\nagain   gauntlet stage %s ", stage);
	gt_quote_word(text, folder);
	gt_buf_printf(text, "\ntime    %.3f s\n", e->seconds);
	if (crash)
		gt_buf_printf(text, "crash   %016" PRIx64 "\n", crash);
	if (e->backtrace)
		gt_buf_printf(text, "\nbacktrace\n%s", e->backtrace);
	gt_buf_puts(text, "\n");
}

// Whatever is there: a job may have put a folder in the place.
static void clear(const char *path)
{
	if (unlink(path) != 0 && errno != ENOENT)
		(void)!gt_remove_tree(path, NULL);
}

gt_code gt_stagelog_write(const char *folder, const char *test, enum gt_stage_id id,
                          const struct gt_ending *e, const char *output, struct gt_err *err)
{
	const char *stage = gt_stage(id)->name;
	struct gt_buf text = {0};
	char *log = gt_format("%s/%s.log", folder, stage);
	char *printed = gt_format("%s/%s.output", folder, stage);
	const char *path = e->ok ? printed : log;
	if (!e->ok)
		put_head(&text, folder, test, stage, e);
	gt_buf_puts(&text, output);
	clear(e->ok ? log : printed);
	gt_code rc = GT_OK;
	if (text.length) {
		gt_file_make_way(path);
		rc = gt_file_write(path, text.data, text.length, err);
	} else {
		clear(path);
	}
	gt_buf_free(&text);
	free(printed);
	free(log);
	return rc;
}

void gt_stagelog_quote(struct gt_ending *e, const char *output)
{
	if (strncmp(e->why, "crash", 5) != 0 && strcmp(e->why, "protocol") != 0)
		return;
	output += strspn(output, "\n ");
	size_t n = strcspn(output, "\n");
	if (n == 0)
		return;
	char *whole = gt_format("%s: %.*s", e->message, (int)(n < MAX_QUOTE ? n : MAX_QUOTE), output);
	free(e->message);
	e->message = whole;
}
