#include "report/report.h"
#include "report/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIN_WIDTH 72 // narrower terminals wrap
#define REASONS_AT 50 // columns of the table before the reasons
#define SLOWEST 5
#define DIFFERENCES 20
#define DIFFERENCE_LINES 3
#define INDENT 6
#define MAX_NAME 240 // columns; shorter names are never cut in the list: people copy them

struct summary {
	const struct gt_result *result;
	const char *folder; // run directory
	const struct gt_palette *color;
	size_t width;
	struct gt_buf *out;
};

static void heading(struct summary *s, const char *text)
{
	gt_buf_printf(s->out, "\n%s%s%s\n", s->color->bold, text, s->color->off);
}

// --- where the tests stopped ---

struct row {
	const char *status;
	size_t count, expected;
};

static struct row count_row(const struct gt_result *r, const char *status)
{
	struct row row = {.status = status};
	if (!*status)
		row.count = gt_result_selected(r) - r->test_count;
	for (size_t i = 0; i < r->test_count; i++) {
		const struct gt_test_result *t = &r->tests[i];
		if (strcmp(t->status, status) != 0)
			continue;
		row.count++;
		row.expected += t->verdict == GT_VERDICT_PASS || t->verdict == GT_VERDICT_XFAIL;
	}
	return row;
}

struct tally {
	const char *why; // up to its colon: crashes are counted together
	size_t length;
	size_t count;
};

static bool is_plain(const struct tally *t)
{
	return strncmp(t->why, "error", t->length) == 0;
}

// A plain "error" comes last: its number follows from the others if the line is cut.
static int by_count(const void *a, const void *b)
{
	const struct tally *x = a, *y = b;
	int plain = is_plain(x) - is_plain(y);
	if (plain)
		return plain;
	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return strcmp(x->why, y->why);
}

// The reasons of a row, most frequent first, as many as fit.
static char *reasons(const struct gt_result *r, const char *status, size_t columns)
{
	struct tally *all = NULL;
	size_t count = 0;
	for (size_t i = 0; i < r->test_count; i++) {
		const char *why = r->tests[i].why;
		if (strcmp(r->tests[i].status, status) != 0 || !*why)
			continue;
		size_t k = 0, length = strcspn(why, ":");
		while (k < count && (all[k].length != length || strncmp(all[k].why, why, length) != 0))
			k++;
		if (k == count) {
			all = gt_realloc(all, ++count, sizeof *all);
			all[k] = (struct tally){.why = why, .length = length};
		}
		all[k].count++;
	}
	if (count > 1)
		qsort(all, count, sizeof *all, by_count);
	struct gt_buf text = {0};
	for (size_t k = 0; k < count; k++) {
		char *head = gt_strndup(all[k].why, all[k].length);
		char *why = gt_text_line(head);
		free(head);
		char *item = gt_format("%s%zu %s", k ? ", " : "", all[k].count, why);
		size_t rest = k + 1 < count ? strlen(", …") - 2 : 0;
		bool fits = text.length + gt_text_columns(item) + rest <= columns;
		gt_buf_puts(&text, fits ? item : k ? ", …" : "…");
		free(why);
		free(item);
		if (!fits)
			break;
	}
	free(all);
	return gt_buf_take(&text);
}

static void print_row(struct summary *s, const char *status, const char *label)
{
	const struct gt_palette *c = s->color;
	struct row row = count_row(s->result, status);
	if (row.count == 0)
		return;
	gt_buf_printf(s->out, "  %-18s %6zu", label, row.count);
	if (*status) {
		size_t other = row.count - row.expected;
		gt_buf_printf(s->out, " %9zu %s%10zu%s", row.expected, other ? c->red : "", other,
		              other ? c->off : "");
		char *why = reasons(s->result, status, s->width - REASONS_AT);
		gt_buf_printf(s->out, "%s%s", *why ? "  " : "", why);
		free(why);
	}
	gt_buf_puts(s->out, "\n");
}

// As many names as fit.
static void print_list(struct summary *s, size_t count, const char *what, struct gt_buf *names)
{
	char *line = gt_format("%zu %s: %s", count, what, gt_buf_text(names));
	gt_buf_puts(s->out, "  ");
	gt_text_wrap(s->out, line, s->width - 3, 4, DIFFERENCE_LINES);
	gt_buf_puts(s->out, "\n");
	free(line);
}

// Tests that ended differently when a stage was tried again.
static void print_flaky(struct summary *s)
{
	size_t count = 0;
	struct gt_buf names = {0};
	for (size_t i = 0; i < s->result->test_count; i++) {
		if (!s->result->tests[i].flaky)
			continue;
		char *name = gt_text_line(s->result->tests[i].id);
		gt_buf_printf(&names, "%s%s", count++ ? ", " : "", name);
		free(name);
	}
	if (count)
		print_list(s, count, "flaky, changed when tried again", &names);
	gt_buf_free(&names);
}

// Tests that left processes behind.
static void print_leaks(struct summary *s)
{
	size_t count = 0;
	struct gt_buf names = {0};
	for (size_t i = 0; i < s->result->test_count; i++) {
		const struct gt_test_result *t = &s->result->tests[i];
		if (!t->leftovers)
			continue;
		char *name = gt_text_line(t->id), *processes = gt_text_line(t->leaked);
		gt_buf_printf(&names, "%s%s: %s", count++ ? "; " : "", name, *processes ? processes : "?");
		free(processes);
		free(name);
	}
	if (count)
		print_list(s, count, "left processes running, which were ended", &names);
	gt_buf_free(&names);
}

// What happened to hosts.
static void print_notes(struct summary *s)
{
	for (size_t i = 0; i < s->result->note_count; i++) {
		const struct gt_note *n = &s->result->notes[i];
		char *clean = gt_text_line(n->message);
		char *line = n->count > 1 ? gt_format("note: %s (and %zu more such)", clean, n->count - 1)
		                          : gt_format("note: %s", clean);
		gt_buf_puts(s->out, "  ");
		gt_text_wrap(s->out, line, s->width - 3, 4, DIFFERENCE_LINES);
		gt_buf_puts(s->out, "\n");
		free(line);
		free(clean);
	}
}

static void print_stages(struct summary *s)
{
	const struct gt_result *r = s->result;
	if (gt_result_selected(r) == 0)
		return;
	heading(s, "Status                tests  expected unexpected  why");
	for (int i = 0; i < GT_STAGE_COUNT; i++) {
		const char *status = gt_stage((enum gt_stage_id)i)->failed;
		print_row(s, status, status);
	}
	print_row(s, GT_STATUS_NUMERICS, GT_STATUS_NUMERICS);
	print_row(s, GT_STATUS_PASS, GT_STATUS_PASS);
	print_row(s, "", "no result");
	size_t vacuous = 0, passed = 0;
	for (size_t i = 0; i < r->test_count; i++) {
		bool pass = strcmp(r->tests[i].status, GT_STATUS_PASS) == 0;
		passed += pass;
		vacuous += pass && r->tests[i].vacuous;
	}
	print_flaky(s);
	print_leaks(s);
	if (vacuous)
		gt_buf_printf(s->out, "  %zu of the %zu that passed would pass with all-zero outputs too\n",
		              vacuous, passed);
	print_notes(s);
}

// --- slowest tests ---

static int by_seconds(const void *a, const void *b)
{
	const struct gt_test_result *x = *(const struct gt_test_result *const *)a;
	const struct gt_test_result *y = *(const struct gt_test_result *const *)b;
	if (x->seconds != y->seconds)
		return x->seconds < y->seconds ? 1 : -1;
	return strcmp(x->id, y->id);
}

// "compilation 11.9 s": the stage that took most of the time.
static char *longest_stage(const struct gt_test_result *t)
{
	int longest = 0;
	for (int i = 1; i < GT_STAGE_COUNT; i++)
		if (t->stages[i].seconds > t->stages[longest].seconds)
			longest = i;
	struct gt_buf text = {0};
	gt_buf_printf(&text, "%s ", gt_stage((enum gt_stage_id)longest)->name);
	gt_text_seconds(&text, t->stages[longest].seconds);
	return gt_buf_take(&text);
}

static void print_slow_test(struct summary *s, const struct gt_test_result *t)
{
	struct gt_buf time = {0};
	gt_text_seconds(&time, t->seconds);
	char *name = gt_text_line(t->id), *stage = longest_stage(t);
	size_t room = s->width - 14 - gt_text_columns(stage) - 2;
	gt_buf_printf(s->out, "  %10s  ", gt_buf_text(&time));
	gt_text_pad(s->out, name, room);
	gt_buf_printf(s->out, "  %s%s%s\n", s->color->dim, stage, s->color->off);
	gt_buf_free(&time);
	free(name);
	free(stage);
}

static void print_slowest(struct summary *s)
{
	const struct gt_result *r = s->result;
	const struct gt_test_result **order = gt_zalloc(r->test_count, sizeof *order);
	size_t count = 0;
	for (size_t i = 0; i < r->test_count; i++)
		if (r->tests[i].seconds > 0)
			order[count++] = &r->tests[i];
	if (count > 1) {
		qsort(order, count, sizeof *order, by_seconds);
		heading(s, "Slowest tests");
		for (size_t i = 0; i < count && i < SLOWEST; i++)
			print_slow_test(s, order[i]);
	}
	free(order);
}

// --- differences from what was expected ---

// Where the whole of it can be read, for people to copy: never cut.
static void print_log(struct summary *s, const struct gt_test_result *t)
{
	bool compared = strcmp(t->status, GT_STATUS_NUMERICS) == 0;
	if (strcmp(t->status, GT_STATUS_PASS) == 0 || !*t->folder || !*t->stage)
		return;
	char *path = gt_format("%s/%s/%s.log", s->folder, t->folder,
	                       compared ? "inference_comparison" : t->stage);
	char *clean = gt_text_line(path);
	gt_buf_printf(s->out, "%*slog  %s\n", INDENT, "", clean);
	free(clean);
	free(path);
}

static void print_difference(struct summary *s, const struct gt_test_result *t)
{
	const struct gt_palette *c = s->color;
	char *name = gt_text_line(t->id), *expected = gt_text_line(t->expected);
	char *why = gt_text_why(t, true), *reason = gt_text_line(t->reason);
	gt_buf_printf(s->out, "  %s", gt_text_verdict_color(c, t->verdict));
	gt_text_cut(s->out, name, MAX_NAME);
	gt_buf_printf(s->out, "%s\n", c->off);
	struct gt_buf line = {0};
	gt_buf_printf(&line, "%s -> %s", expected, t->status);
	if (*why)
		gt_buf_printf(&line, "  %s", why);
	else if (*reason)
		gt_buf_printf(&line, "  (expected because: %s)", reason);
	gt_buf_printf(s->out, "%*s", INDENT, "");
	gt_text_wrap(s->out, gt_buf_text(&line), s->width - 1 - INDENT, 2 * INDENT, DIFFERENCE_LINES);
	gt_buf_puts(s->out, "\n");
	print_log(s, t);
	gt_buf_free(&line);
	char *texts[] = {name, expected, why, reason};
	for (size_t i = 0; i < GT_COUNTOF(texts); i++)
		free(texts[i]);
}

static void print_differences(struct summary *s)
{
	const struct gt_result *r = s->result;
	size_t all = gt_result_failures(r), shown = 0;
	if (!all)
		return;
	heading(s, "Differences from the expected statuses");
	for (size_t i = 0; i < r->test_count && shown < DIFFERENCES; i++) {
		if (!gt_verdict_is_failure(r->tests[i].verdict))
			continue;
		print_difference(s, &r->tests[i]);
		shown++;
	}
	if (shown < all)
		gt_buf_printf(s->out, "  and %zu more in results.json\n", all - shown);
}

// --- the last lines ---

struct count {
	enum gt_verdict verdict;
	const char *one, *many;
};

static const struct count counts[] = {
	{GT_VERDICT_PASS, "pass", "pass"},
	{GT_VERDICT_XFAIL, "expected failure", "expected failures"},
	{GT_VERDICT_XPASS, "unexpected pass", "unexpected passes"},
	{GT_VERDICT_FAIL, "failure", "failures"},
};

// "41 pass, 19 expected failures, ..."
static void put_counts(const struct gt_result *r, const struct gt_palette *color,
                       struct gt_buf *out)
{
	for (size_t i = 0; i < GT_COUNTOF(counts); i++) {
		size_t n = r->verdicts[counts[i].verdict];
		const char *on = n ? gt_text_verdict_color(color, counts[i].verdict) : "";
		gt_buf_printf(out, "%s%s%zu %s%s", i ? ", " : "", on, n,
		              n == 1 ? counts[i].one : counts[i].many, *on ? color->off : "");
	}
}

// The same run went on later: its results are of more than one time.
static void print_resumed(struct summary *s)
{
	const json_t *times = json_object_get(s->result->run, "resumed");
	size_t n = json_array_size(times);
	if (!n)
		return;
	const char *last = json_string_value(json_array_get(times, n - 1));
	char *clean = gt_text_line(last ? last : "");
	gt_buf_printf(s->out, "  taken up again %zu %s, last at %s\n", n, n == 1 ? "time" : "times",
	              clean);
	free(clean);
}

static void print_counts(struct summary *s)
{
	const struct gt_result *r = s->result;
	struct gt_buf head = {0}, plain = {0};
	size_t all = gt_result_selected(r);
	gt_buf_printf(&head, "%zu %s in ", all, all == 1 ? "test" : "tests");
	gt_text_seconds(&head, r->seconds);
	put_counts(r, gt_text_palette(false), &plain);
	bool fits = head.length + 2 + plain.length <= s->width;
	gt_buf_printf(s->out, "\n%s%s%s:%s", s->color->bold, gt_buf_text(&head), s->color->off,
	              fits ? " " : "\n  ");
	put_counts(r, s->color, s->out);
	gt_buf_puts(s->out, "\n");
	gt_buf_free(&head);
	gt_buf_free(&plain);
	print_resumed(s);
	if (r->complete)
		return;
	size_t none = r->verdicts[GT_VERDICT_NONE] + all - r->test_count;
	char *reason = r->reason ? gt_text_line(r->reason) : gt_strdup("");
	gt_buf_printf(s->out, "%sINCOMPLETE%s%s%s%s: ", s->color->red, s->color->off,
	              *reason ? " (" : "", reason, *reason ? ")" : "");
	free(reason);
	bool unbacked = r->reason && strcmp(r->reason, "audit") == 0;
	if (unbacked)
		gt_buf_puts(s->out, "there are results that the files do not back");
	else if (none)
		gt_buf_printf(s->out, "%zu of %zu test%s no result", none, all,
		              all == 1 ? " has" : "s have");
	else
		gt_buf_puts(s->out, "the run did not reach its end");
	gt_buf_puts(s->out, "; --resume goes on\n");
}

static void print_path(struct summary *s, const char *label, const char *folder, const char *name)
{
	char *clean = gt_text_line(folder);
	gt_buf_printf(s->out, "%s%s/%s\n", label, clean, name);
	free(clean);
}

void gt_report_summary(const struct gt_result *r, const char *folder, bool has_results, int width,
                       bool color, struct gt_buf *out)
{
	struct summary s = {.result = r, .folder = folder, .color = gt_text_palette(color), .out = out};
	s.width = width < MIN_WIDTH ? MIN_WIDTH : (size_t)width;
	print_stages(&s);
	print_slowest(&s);
	print_differences(&s);
	print_counts(&s);
	if (has_results)
		print_path(&s, "results  ", folder, "results.json");
	print_path(&s, "journal  ", folder, "events.jsonl");
}
