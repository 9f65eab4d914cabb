#include "core/event.h"

#include "base/file.h"
#include "base/hash.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// A line ends in ,"sum":"0123456789abcdef"} whatever stands before.
#define SUM_KEY ",\"sum\":\""
#define SUM_KEY_LENGTH (sizeof SUM_KEY - 1)
#define SUM_DIGITS 16u
#define SUM_LENGTH (SUM_KEY_LENGTH + SUM_DIGITS + 2)

// Longer lines are not ours; the bound keeps a damaged file from eating the memory.
#define MAX_LINE ((size_t)64 << 20)

static void sum_text(const char *bytes, size_t length, char out[SUM_LENGTH + 1])
{
	snprintf(out, SUM_LENGTH + 1, SUM_KEY "%016" PRIx64 "\"}", gt_hash64(bytes, length));
}

char *gt_event_line(const json_t *event, uint64_t seq)
{
	json_t *all = json_object();
	gt_json_set(all, "seq", json_integer((json_int_t)seq));
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)event, key, value) {
		if (strcmp(key, "seq") != 0 && strcmp(key, "sum") != 0)
			gt_json_set(all, key, json_incref(value));
	}
	char *text = json_dumps(all, JSON_COMPACT);
	json_decref(all);
	if (!text)
		abort(); // a string that is not UTF-8 or a real that is no number cannot be in a json_t
	size_t length = strlen(text) - 1; // without the closing brace
	char sum[SUM_LENGTH + 1];
	sum_text(text, length, sum);
	text = gt_realloc(text, length + SUM_LENGTH + 2, 1);
	memcpy(text + length, sum, SUM_LENGTH);
	memcpy(text + length + SUM_LENGTH, "\n", 2);
	return text;
}

static bool sum_fits(const char *line, size_t length)
{
	if (length < SUM_LENGTH)
		return false;
	char sum[SUM_LENGTH + 1];
	sum_text(line, length - SUM_LENGTH, sum);
	return memcmp(line + length - SUM_LENGTH, sum, SUM_LENGTH) == 0;
}

gt_code gt_event_parse(const char *line, size_t length, uint64_t expected_seq, json_t **event,
                       struct gt_err *err)
{
	*event = NULL;
	if (!sum_fits(line, length))
		return gt_fail(err, GT_BAD_DATA, "the checksum of event %" PRIu64 " is wrong",
		               expected_seq);
	json_error_t why;
	json_t *all = json_loadb(line, length, JSON_REJECT_DUPLICATES, &why);
	if (!all)
		return gt_fail(err, GT_BAD_DATA, "event %" PRIu64 " is not JSON: column %d: %s",
		               expected_seq, why.column, why.text);
	gt_code rc = GT_OK;
	const json_t *seq = json_object_get(all, "seq");
	if (!json_is_integer(seq))
		rc = gt_fail(err, GT_BAD_DATA, "event %" PRIu64 " has no number", expected_seq);
	else if (json_integer_value(seq) < 0 || (uint64_t)json_integer_value(seq) != expected_seq)
		rc = gt_fail(err, GT_BAD_DATA, "an event has number %lld where %" PRIu64 " follows",
		             (long long)json_integer_value(seq), expected_seq);
	else if (!json_is_string(json_object_get(all, "event")))
		rc = gt_fail(err, GT_BAD_DATA, "event %" PRIu64 " does not say what it is",
		             expected_seq);
	if (rc) {
		json_decref(all);
		return rc;
	}
	json_object_del(all, "seq");
	json_object_del(all, "sum");
	*event = all;
	return GT_OK;
}

// Reads lines of a file and knows where each begins.
struct reader {
	int fd;
	const char *path;
	char chunk[16384]; // a stack may be small (ulimit -s)
	size_t at, filled;  // what of it has been taken, and what is there
	struct gt_buf line; // without its newline
	bool whole;         // a newline ended it
	int64_t offset;     // of its first byte
	int64_t next;       // of the byte behind it
	uint64_t lines;     // before it
};

// Have bytes in the chunk; 0 at the end of the file, -1 with errno.
static int fill(struct reader *r)
{
	ssize_t n = 1;
	if (r->at == r->filled) {
		do
			n = read(r->fd, r->chunk, sizeof r->chunk);
		while (n < 0 && errno == EINTR);
		r->at = 0;
		r->filled = n > 0 ? (size_t)n : 0;
	}
	return n > 0 ? 1 : (int)n;
}

// The next line; *end is set when there is none.
static gt_code next_line(struct reader *r, bool *end, struct gt_err *err)
{
	r->line.length = 0;
	r->whole = false;
	r->offset = r->next;
	int more = 1;
	while (!r->whole && (more = fill(r)) > 0) {
		const char *bytes = r->chunk + r->at;
		const char *newline = memchr(bytes, '\n', r->filled - r->at);
		size_t n = newline ? (size_t)(newline - bytes) : r->filled - r->at;
		if (r->line.length + n > MAX_LINE)
			return gt_fail(err, GT_BAD_DATA, "'%s' has a line of more than %zu bytes", r->path,
			               MAX_LINE);
		gt_buf_append(&r->line, bytes, n);
		r->whole = newline != NULL;
		r->at += n + r->whole;
		r->next += (int64_t)(n + r->whole);
	}
	if (more < 0)
		return gt_fail_errno(err, "cannot read '%s'", r->path);
	*end = !r->whole && r->line.length == 0;
	return GT_OK;
}

static bool at_end(struct reader *r)
{
	return fill(r) == 0;
}

// One line: visit its event, or find it torn.
static gt_code take_line(struct reader *r, gt_event_visit *visit, void *user, bool *torn,
                         struct gt_err *err)
{
	const char *text = gt_buf_text(&r->line);
	*torn = !r->whole || (!sum_fits(text, r->line.length) && at_end(r));
	if (*torn)
		return GT_OK;
	json_t *event;
	gt_code rc = gt_event_parse(text, r->line.length, GT_EVENT_FIRST + r->lines, &event, err);
	if (!rc) {
		rc = visit(user, event, err);
		json_decref(event);
	}
	if (rc)
		gt_err_context(err, "'%s' line %" PRIu64, r->path, r->lines + 1);
	return rc;
}

gt_code gt_event_read_file(const char *path, gt_event_visit *visit, void *user, int64_t *torn,
                           struct gt_err *err)
{
	struct reader r = {.path = path};
	*torn = -1;
	gt_code rc = gt_file_open(path, &r.fd, err);
	if (rc)
		return rc;
	for (r.lines = 0; !rc; r.lines++) {
		bool end = false, is_torn = false;
		rc = next_line(&r, &end, err);
		if (rc || end)
			break;
		rc = take_line(&r, visit, user, &is_torn, err);
		if (is_torn) {
			*torn = r.offset;
			break;
		}
	}
	gt_buf_free(&r.line);
	close(r.fd);
	return rc;
}
