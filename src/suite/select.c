#include "suite/select.h"

#include "base/utf8.h"
#include "suite/nearest.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

// ---- wanted names ----

// One name asked for; `found` once a case has it.
struct wanted {
	const char *name;
	bool found;
};

// The names of one source (command line or file), sorted and each once.
struct wanted_list {
	struct wanted *items;
	size_t count;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct wanted *)a)->name, ((const struct wanted *)b)->name);
}

// Borrows the names.
static struct wanted_list make_list(const struct gt_names *names)
{
	struct wanted_list list = {gt_zalloc(names->count, sizeof *list.items), 0};
	for (size_t i = 0; i < names->count; i++)
		list.items[i].name = names->items[i];
	if (names->count)
		qsort(list.items, names->count, sizeof *list.items, by_name);
	for (size_t i = 0; i < names->count; i++)
		if (i == 0 || strcmp(list.items[list.count - 1].name, list.items[i].name) != 0)
			list.items[list.count++] = list.items[i];
	return list;
}

static bool mark(struct wanted_list *list, const char *name)
{
	struct wanted key = {.name = name};
	struct wanted *hit = list->count ? bsearch(&key, list->items, list->count,
	                                           sizeof *list->items, by_name) : NULL;
	if (hit)
		hit->found = true;
	return hit;
}

// ---- sentences about unknown names ----

static const char *nearest(const struct gt_cases *cases, const char *text)
{
	const char *best = NULL;
	size_t best_rate = SIZE_MAX;
	for (size_t i = 0; i < cases->count; i++) {
		const char *names[] = {cases->items[i].name, cases->items[i].id};
		for (size_t k = 0; k < GT_COUNTOF(names); k++) {
			size_t r = gt_nearness(text, names[k]);
			if (r < best_rate) {
				best_rate = r;
				best = names[k];
			}
		}
	}
	return best;
}

// Fail if a name of the list is no case; `file` is where the list comes from, or NULL.
static gt_code check_found(const struct wanted_list *list, const char *file,
                           const struct gt_cases *cases, struct gt_err *err)
{
	const char *first = NULL;
	size_t missing = 0;
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i].found)
			continue;
		first = first ? first : list->items[i].name;
		missing++;
	}
	if (!missing)
		return GT_OK;
	struct gt_buf sentence = {0};
	if (file)
		gt_buf_printf(&sentence, "file of tests '%s': ", file);
	gt_buf_printf(&sentence, "there is no test '%s'", first);
	const char *near = nearest(cases, first);
	if (near)
		gt_buf_printf(&sentence, "; did you mean '%s'?", near);
	if (missing > 1)
		gt_buf_printf(&sentence, " (%zu more names are unknown)", missing - 1);
	gt_code rc = gt_fail(err, GT_BAD_USAGE, "%s", gt_buf_text(&sentence));
	gt_buf_free(&sentence);
	return rc;
}

// ---- the file of names ----

#define MAX_TESTS_FILE ((size_t)64 << 20)
#define BLANKS " \t\r\n\v\f"

static gt_code read_tests_file(const char *path, struct gt_names *out, struct gt_err *err)
{
	struct gt_buf text = {0};
	gt_code rc = gt_is_folder(path)
	                     ? gt_fail(err, GT_BAD_DATA, "'%s' is a folder", path)
	                     : gt_stream_read(path, MAX_TESTS_FILE, &text, err);
	if (rc == GT_NOT_FOUND && err)
		rc = err->code = GT_BAD_USAGE; // a wrong name of a file is not "no test"
	if (!rc && text.length && memchr(text.data, '\0', text.length))
		rc = gt_fail(err, GT_BAD_DATA, "'%s' is not a text file", path);
	const char *p = gt_buf_text(&text);
	if (strncmp(p, "\xEF\xBB\xBF", 3) == 0)
		p += 3; // a byte order mark is no part of the first name
	while (!rc && *(p += strspn(p, BLANKS))) {
		size_t n = *p == '#' ? strcspn(p, "\n") : strcspn(p, BLANKS);
		if (*p != '#') {
			char *name = gt_strndup(p, n);
			gt_names_add(out, name);
			free(name);
		}
		p += n;
	}
	if (!rc && out->count == 0)
		rc = gt_fail(err, GT_NOT_FOUND, "'%s' names no test", path);
	gt_buf_free(&text);
	return rc ? gt_err_context(err, "file of tests") : GT_OK;
}

// ---- the filter ----

// Names are short: an honest pattern needs a few hundred steps. The limits end the others after
// some milliseconds each.
#define MATCH_STEPS 200000
#define MATCH_HEAP_KIB 16384

struct filter {
	const char *text;
	pcre2_code *code;
	pcre2_match_data *data;
	pcre2_match_context *context;
};

static void free_filter(struct filter *f)
{
	pcre2_match_context_free(f->context);
	pcre2_match_data_free(f->data);
	pcre2_code_free(f->code);
}

static bool is_utf8(const char *text)
{
	size_t left = strlen(text);
	while (left) {
		size_t n = gt_utf8_sequence(text, left);
		if (n == 0)
			return false;
		text += n;
		left -= n;
	}
	return true;
}

static gt_code compile_filter(const char *text, struct filter *out, struct gt_err *err)
{
	int number;
	size_t where;
	uint32_t options = PCRE2_ANCHORED | PCRE2_NEVER_BACKSLASH_C; // \C would split a letter
	if (is_utf8(text))
		options |= PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF;
	out->text = text;
	out->code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, options, &number, &where,
	                          NULL);
	if (!out->code) {
		PCRE2_UCHAR reason[256];
		if (pcre2_get_error_message(number, reason, sizeof reason) < 0)
			reason[0] = '\0';
		return gt_fail(err, GT_BAD_USAGE,
		               "the filter '%s' is no regular expression: %s at position %zu", text,
		               (const char *)reason, where);
	}
	out->data = pcre2_match_data_create(1, NULL);
	out->context = pcre2_match_context_create(NULL);
	if (!out->data || !out->context)
		return gt_fail(err, GT_NO_MEMORY, "no memory for the filter '%s'", text);
	pcre2_set_match_limit(out->context, MATCH_STEPS);
	pcre2_set_heap_limit(out->context, MATCH_HEAP_KIB);
	return GT_OK;
}

static gt_code match_name(const struct filter *f, const char *name, bool *matches,
                          struct gt_err *err)
{
	int rc = pcre2_match(f->code, (PCRE2_SPTR)name, strlen(name), 0, 0, f->data, f->context);
	*matches = rc >= 0;
	if (rc >= 0 || rc == PCRE2_ERROR_NOMATCH || rc == PCRE2_ERROR_PARTIAL)
		return GT_OK;
	if (rc == PCRE2_ERROR_MATCHLIMIT || rc == PCRE2_ERROR_HEAPLIMIT ||
	    rc == PCRE2_ERROR_DEPTHLIMIT)
		return gt_fail(err, GT_BAD_USAGE,
		               "the filter '%s' takes too many steps to match '%s'; repetitions "
		               "inside repetitions, as in (a+)+, are the usual cause",
		               f->text, name);
	PCRE2_UCHAR reason[256];
	if (pcre2_get_error_message(rc, reason, sizeof reason) < 0)
		reason[0] = '\0';
	return gt_fail(err, GT_BAD_USAGE, "the filter '%s' cannot be matched with '%s': %s",
	               f->text, name, (const char *)reason);
}

static gt_code apply_filter(const char *text, const struct gt_cases *cases, bool *keep,
                            struct gt_err *err)
{
	struct filter f = {0};
	gt_code rc = compile_filter(text, &f, err);
	for (size_t i = 0; !rc && i < cases->count; i++) {
		const struct gt_case *c = &cases->items[i];
		bool matches = false;
		if (!keep[i])
			continue;
		rc = match_name(&f, c->id, &matches, err);
		if (!rc && !matches && strcmp(c->id, c->name) != 0)
			rc = match_name(&f, c->name, &matches, err);
		keep[i] = matches;
	}
	free_filter(&f);
	return rc;
}

// ---- all together ----

static gt_code apply_names(const struct gt_names *names, const char *file,
                           const struct gt_cases *cases, bool *keep, struct gt_err *err)
{
	struct wanted_list list = make_list(names);
	for (size_t i = 0; i < cases->count; i++) {
		bool by_id = mark(&list, cases->items[i].id);
		bool by_own = mark(&list, cases->items[i].name);
		keep[i] = keep[i] && (by_id || by_own);
	}
	gt_code rc = check_found(&list, file, cases, err);
	free(list.items);
	return rc;
}

#define MAX_NAMES 3 // of those on the command line, in a sentence

static gt_code fail_empty(const struct gt_selection *s, size_t count, struct gt_err *err)
{
	struct gt_buf by = {0};
	size_t n = s->names.count, shown = n < MAX_NAMES ? n : MAX_NAMES;
	for (size_t i = 0; i < shown; i++)
		gt_buf_printf(&by, "%s'%s'", i == 0 ? " and is called " : i + 1 == n ? " or " : ", ",
		              s->names.items[i]);
	if (n > shown)
		gt_buf_printf(&by, " or one of %zu more names", n - shown);
	if (s->tests_file)
		gt_buf_printf(&by, " and is listed in '%s'", s->tests_file);
	if (s->filter)
		gt_buf_printf(&by, " and matches the filter '%s'", s->filter);
	const char *conditions = gt_buf_text(&by);
	gt_code rc = by.length ? gt_fail(err, GT_NOT_FOUND, "none of %zu test%s %s", count,
	                                 count == 1 ? "" : "s", conditions + strlen(" and "))
	                       : gt_fail(err, GT_NOT_FOUND, "there is no test");
	gt_buf_free(&by);
	return rc;
}

gt_code gt_select(const struct gt_selection *selection, struct gt_cases *cases, struct gt_err *err)
{
	struct gt_names listed = {0};
	bool *keep = gt_zalloc(cases->count, sizeof *keep);
	for (size_t i = 0; i < cases->count; i++)
		keep[i] = true;
	gt_code rc = GT_OK;
	if (selection->names.count)
		rc = apply_names(&selection->names, NULL, cases, keep, err);
	if (!rc && selection->tests_file) {
		rc = read_tests_file(selection->tests_file, &listed, err);
		if (!rc)
			rc = apply_names(&listed, selection->tests_file, cases, keep, err);
	}
	if (!rc && selection->filter)
		rc = apply_filter(selection->filter, cases, keep, err);
	size_t left = 0;
	for (size_t i = 0; i < cases->count; i++)
		left += keep[i];
	if (!rc && left == 0)
		rc = fail_empty(selection, cases->count, err);
	for (size_t i = 0, kept = 0; !rc && i < cases->count; i++) {
		if (keep[i])
			cases->items[kept++] = cases->items[i];
		else
			gt_case_free(&cases->items[i]);
	}
	if (!rc)
		cases->count = left;
	gt_names_free(&listed);
	free(keep);
	return rc;
}
