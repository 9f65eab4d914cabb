#include "suite/expect.h"

#include "base/file.h"
#include "base/utf8.h"
#include "core/stages.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_FILE_BYTES ((size_t)64 << 20)
#define MAX_REASON 100 // bytes of a message that becomes a reason
#define BYTE_ORDER_MARK "\xEF\xBB\xBF"

#define NEW_FILE                                                                                   \
	"# Expected statuses, one test a line: name, status (or STATUS:WHY), reason.\n"            \
	"# Tests that are not listed must pass.\n"

// --- names ---

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// The name that `text` encodes; NULL if a '%' is not followed by the digits of a byte.
static char *decode_name(const char *text)
{
	struct gt_buf name = {0};
	for (; *text; text++) {
		char c = *text;
		if (c == '%') {
			int high = hex_digit(text[1]), low = high < 0 ? -1 : hex_digit(text[2]);
			if (low < 0 || high + low == 0) {
				gt_buf_free(&name);
				return NULL;
			}
			c = (char)(high * 16 + low);
			text += 2;
		}
		gt_buf_append(&name, &c, 1);
	}
	return gt_buf_take(&name);
}

static void encode_name(struct gt_buf *out, const char *name)
{
	for (; *name; name++) {
		unsigned char c = (unsigned char)*name;
		if (c > ' ' && c < 0x7F && c != '%' && c != '#')
			gt_buf_append(out, name, 1);
		else
			gt_buf_printf(out, "%%%02X", c);
	}
}

// --- lines ---

// True for PASS, Numerics and what a stage's failure is called, the latter two with any why.
static bool is_status(const char *status)
{
	size_t n = strcspn(status, ":");
	if (strcmp(status, GT_STATUS_PASS) == 0)
		return true;
	bool known = n == strlen(GT_STATUS_NUMERICS) && memcmp(status, GT_STATUS_NUMERICS, n) == 0;
	for (int i = 0; i < GT_STAGE_COUNT; i++) {
		const char *failed = gt_stage((enum gt_stage_id)i)->failed;
		known = known || (strlen(failed) == n && memcmp(status, failed, n) == 0);
	}
	return known && (!status[n] || status[n + 1]);
}

static char *take_field(const char **p)
{
	*p += strspn(*p, " \t");
	size_t n = strcspn(*p, " \t");
	char *field = gt_strndup(*p, n);
	*p += n;
	*p += strspn(*p, " \t");
	return field;
}

static void free_item(struct gt_expectation *item)
{
	free(item->test);
	free(item->status);
	free(item->reason);
	*item = (struct gt_expectation){0};
}

// One line without its newline; item->test stays NULL for a comment or an empty line.
static gt_code parse_line(const char *path, int number, const char *line,
                          struct gt_expectation *item, struct gt_err *err)
{
	*item = (struct gt_expectation){.line = number};
	const char *p = line + strspn(line, " \t");
	if (*p == '#' || !*p)
		return GT_OK;
	char *name = take_field(&p);
	item->status = take_field(&p);
	item->reason = gt_strdup(p);
	for (size_t n = strlen(p); n && strchr(" \t", p[n - 1]); n--)
		item->reason[n - 1] = '\0';
	gt_code rc = GT_OK;
	if (!*item->status)
		rc = gt_fail(err, GT_BAD_DATA, "'%s' line %d: no status follows '%s'", path, number,
		             name);
	else if (!is_status(item->status))
		rc = gt_fail(err, GT_BAD_DATA,
		             "'%s' line %d: '%s' is no status; it is PASS, Numerics or the name of a "
		             "stage, the latter two with \":\" and a reason if wanted",
		             path, number, item->status);
	if (!rc) {
		item->test = decode_name(name);
		if (!item->test)
			rc = gt_fail(err, GT_BAD_DATA,
			             "'%s' line %d: a '%%' in '%s' is not followed by the two "
			             "hexadecimal digits of a byte; a '%%' itself is %%25",
			             path, number, name);
	}
	free(name);
	if (rc)
		free_item(item);
	return rc;
}

// The lines of a file, newlines removed; the text is cut in place.
struct lines {
	struct gt_buf text;
	char **items;
	size_t count;
};

static void free_lines(struct lines *lines)
{
	gt_buf_free(&lines->text);
	free(lines->items);
	*lines = (struct lines){0};
}

static gt_code read_lines(const char *path, struct lines *out, struct gt_err *err)
{
	*out = (struct lines){0};
	gt_code rc = gt_file_read(path, MAX_FILE_BYTES, &out->text, err);
	if (!rc && out->text.length && memchr(out->text.data, '\0', out->text.length))
		rc = gt_fail(err, GT_BAD_DATA, "'%s' holds a NUL byte: it is not a text file", path);
	if (rc) {
		free_lines(out);
		return rc;
	}
	char *p = out->text.data, *end = p + out->text.length;
	if (p && strncmp(p, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0)
		p += strlen(BYTE_ORDER_MARK);
	while (p < end) {
		char *stop = memchr(p, '\n', (size_t)(end - p));
		stop = stop ? stop : end;
		*stop = '\0';
		if (stop > p && stop[-1] == '\r')
			stop[-1] = '\0';
		if (out->count % 256 == 0)
			out->items = gt_realloc(out->items, out->count + 256, sizeof *out->items);
		out->items[out->count++] = p;
		p = stop + 1;
	}
	return GT_OK;
}

// --- the list ---

static gt_code add_item(struct gt_expectations *e, struct gt_expectation *item, struct gt_err *err)
{
	// Keyed by the name as it is encoded: names are bytes, keys of JSON objects are UTF-8.
	struct gt_buf key = {0};
	encode_name(&key, item->test);
	const json_t *before = json_object_get(e->index, gt_buf_text(&key));
	gt_code rc = GT_OK;
	if (before) {
		rc = gt_fail(err, GT_BAD_DATA, "'%s' line %d: test '%s' has a line already, line %d",
		             e->path, item->line, item->test,
		             e->items[json_integer_value(before)].line);
		free_item(item);
	} else {
		gt_json_set(e->index, gt_buf_text(&key), json_integer((json_int_t)e->count));
		if ((e->count & (e->count - 1)) == 0) // room doubles at every power of two
			e->items = gt_realloc(e->items, e->count ? e->count * 2 : 1, sizeof *e->items);
		e->items[e->count++] = *item;
	}
	gt_buf_free(&key);
	return rc;
}

static gt_code parse_lines(const char *path, const struct lines *lines,
                           struct gt_expectations *out, struct gt_err *err)
{
	gt_code rc = GT_OK;
	out->path = gt_strdup(path);
	out->index = json_object();
	for (size_t i = 0; !rc && i < lines->count; i++) {
		struct gt_expectation item;
		rc = parse_line(path, (int)i + 1, lines->items[i], &item, err);
		if (!rc && item.test)
			rc = add_item(out, &item, err);
	}
	if (rc)
		gt_expect_free(out);
	return rc;
}

gt_code gt_expect_load(const char *path, struct gt_expectations *out, struct gt_err *err)
{
	struct lines lines;
	*out = (struct gt_expectations){0};
	gt_code rc = read_lines(path, &lines, err);
	if (rc)
		return rc;
	rc = parse_lines(path, &lines, out, err);
	free_lines(&lines);
	return rc;
}

void gt_expect_free(struct gt_expectations *e)
{
	for (size_t i = 0; i < e->count; i++)
		free_item(&e->items[i]);
	free(e->items);
	free(e->path);
	json_decref(e->index);
	*e = (struct gt_expectations){0};
}

static const struct gt_expectation *find_one(const struct gt_expectations *e, const char *test)
{
	struct gt_buf key = {0};
	encode_name(&key, test);
	const json_t *at = json_object_get(e->index, gt_buf_text(&key));
	gt_buf_free(&key);
	return at ? &e->items[json_integer_value(at)] : NULL;
}

const struct gt_expectation *gt_expect_find(const struct gt_expectations *e, const char *id,
                                            const char *name)
{
	const struct gt_expectation *found = find_one(e, id);
	return found ? found : find_one(e, name);
}

// --- the update ---

// What a run says of a test that ended for reasons outside of it, or ran some stages only, is no
// reason to expect anything.
static bool tells_nothing(const struct gt_test_result *t)
{
	return !*t->status || strcmp(t->why, GT_WHY_PARTIAL) == 0 || gt_why_is_surroundings(t->why);
}

static bool passed(const struct gt_test_result *t)
{
	return strcmp(t->status, GT_STATUS_PASS) == 0;
}

static bool fits(const struct gt_expectation *item, const struct gt_test_result *t)
{
	enum gt_verdict v = gt_verdict_of(item->status, t->status, t->why);
	return v == GT_VERDICT_PASS || v == GT_VERDICT_XFAIL;
}

// The name of a test whose id is "<suite>.<name>" because names collide, else its id.
static const char *name_of(const struct gt_test_result *t)
{
	size_t n = strlen(t->suite);
	bool prefixed = strncmp(t->id, t->suite, n) == 0 && t->id[n] == '.' && t->id[n + 1];
	return prefixed ? t->id + n + 1 : t->id;
}

// The line that names `t` by its bare name, which may be another test's too.
static const struct gt_expectation *shared_line(const struct gt_expectations *e,
                                                const struct gt_test_result *t)
{
	const char *name = name_of(t);
	return name == t->id ? NULL : find_one(e, name);
}

// True if the file lists passing tests as a habit, not only to except one from a shared line.
static bool lists_passing(const struct gt_expectations *e, const struct gt_result *r)
{
	for (size_t i = 0; i < e->count; i++) {
		if (strcmp(e->items[i].status, GT_STATUS_PASS) != 0)
			continue;
		const struct gt_test_result *t = gt_result_find(r, e->items[i].test);
		if (!t || !shared_line(e, t))
			return true;
	}
	return false;
}

// `text` as one line of at most MAX_REASON bytes.
static char *short_reason(const char *text)
{
	struct gt_buf line = {0};
	gt_utf8_line(&line, text);
	size_t length = 0, n = 0;
	while (length < line.length && length + n <= MAX_REASON) {
		length += n;
		n = gt_utf8_sequence(line.data + length, line.length - length);
	}
	char *reason = gt_strndup(gt_buf_text(&line), length);
	gt_buf_free(&line);
	return reason;
}

static void put_line(struct gt_buf *out, const struct gt_test_result *t)
{
	encode_name(out, t->id);
	gt_buf_printf(out, " %s", t->status);
	if (!passed(t) && strcmp(t->why, "error") != 0)
		gt_buf_printf(out, ":%s", t->why);
	char *reason = passed(t) ? gt_strdup("") : short_reason(t->message);
	gt_buf_printf(out, "%s%s\n", *reason ? " " : "", reason);
	free(reason);
}

// True if the new file needs a line for `t`, which has none of its own in the old one.
static bool needs_new_line(const struct gt_expectations *e, const struct gt_test_result *t,
                           bool passing_too)
{
	const struct gt_expectation *shared = shared_line(e, t);
	if (tells_nothing(t) || find_one(e, t->id))
		return false;
	return shared ? !fits(shared, t) : !passed(t) || passing_too;
}

static void write_update(const struct lines *lines, const struct gt_expectations *e,
                         const struct gt_result *r, struct gt_buf *out)
{
	bool passing_too = lists_passing(e, r);
	size_t next = 0; // first item behind the line
	for (size_t i = 0; i < lines->count; i++) {
		const struct gt_expectation *item = NULL;
		if (next < e->count && e->items[next].line == (int)i + 1)
			item = &e->items[next++];
		const struct gt_test_result *t = item ? gt_result_find(r, item->test) : NULL;
		if (!t || tells_nothing(t) || fits(item, t))
			gt_buf_printf(out, "%s\n", lines->items[i]);
		else if (!passed(t) || passing_too || shared_line(e, t))
			put_line(out, t);
	}
	for (size_t i = 0; i < r->test_count; i++)
		if (needs_new_line(e, &r->tests[i], passing_too))
			put_line(out, &r->tests[i]);
}

gt_code gt_expect_update(const char *path, const struct gt_result *r, struct gt_err *err)
{
	struct lines lines = {0};
	struct gt_expectations old = {0};
	struct gt_buf out = {0};
	gt_code rc = GT_OK;
	if (access(path, F_OK) == 0)
		rc = read_lines(path, &lines, err);
	else
		gt_buf_puts(&out, NEW_FILE);
	if (!rc)
		rc = parse_lines(path, &lines, &old, err);
	if (!rc) {
		write_update(&lines, &old, r, &out);
		rc = gt_file_write(path, gt_buf_text(&out), out.length, err);
	}
	gt_expect_free(&old);
	free_lines(&lines);
	gt_buf_free(&out);
	return rc;
}
