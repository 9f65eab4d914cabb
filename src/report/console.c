#include "base/clock.h"
#include "report/report.h"
#include "report/text.h"

#include <stdlib.h>
#include <string.h>

#define SECOND INT64_C(1000000000)
#define REDRAW (SECOND / 10)       // between two progress lines on a terminal
#define PLAIN_INTERVAL (30 * SECOND) // ... and elsewhere
#define LONG_RUNNING (10 * SECOND) // from here on a running stage shows its time
#define PLAIN_NAMES 4              // running stages named on a line that is not cut
#define MIN_MESSAGE 32             // columns; a message with less room gets a line of its own
#define MAX_NAME 240               // columns; shorter names are never cut: people copy them

#define RUNNING_TIME 22            // columns of what runs: "59 min 59 s of 3600 s"
#define RUNNING_STAGE 18           // "compiled_inference"

#define ERASE_LINE "\r\x1b[K"

// A stage that runs now; oldest first.
struct running {
	char *test;
	const char *stage;
	double limit_s; // 0: not known
	int attempt;
	int64_t since;
};

struct gt_console {
	struct gt_console_options options;
	const struct gt_palette *color;
	size_t width;
	size_t total;
	int64_t start, last; // last progress line
	int64_t suspended;   // since when; 0: it is not
	bool shown;          // it stands on the terminal now
	struct running *running;
	size_t running_count, running_capacity;
};

struct gt_console *gt_console_new(const struct gt_console_options *options, size_t test_count)
{
	struct gt_console *c = gt_zalloc(1, sizeof *c);
	c->options = *options;
	c->color = gt_text_palette(options->color);
	// The last column stays free: some terminals wrap as soon as it is written.
	c->width = options->width > 1 ? (size_t)options->width - 1 : 1;
	c->total = test_count;
	c->start = gt_clock_ns();
	c->last = c->start - (options->terminal ? REDRAW : 0);
	return c;
}

static void put(struct gt_console *c, const struct gt_buf *text)
{
	gt_outlet_put(c->options.out, gt_buf_text(text), text->length);
}

// --- what runs ---

static void note_start(struct gt_console *c, const char *test, const char *stage, int attempt)
{
	if (c->running_count == c->running_capacity) {
		c->running_capacity = c->running_capacity ? c->running_capacity * 2 : 16;
		c->running = gt_realloc(c->running, c->running_capacity, sizeof *c->running);
	}
	enum gt_stage_id id = gt_stage_parse(stage);
	c->running[c->running_count++] = (struct running){
		.test = gt_strdup(test),
		.stage = id == GT_STAGE_COUNT ? "?" : gt_stage(id)->name,
		.limit_s = id == GT_STAGE_COUNT || !c->options.limits_s ? 0 : c->options.limits_s[id],
		.attempt = attempt,
		.since = gt_clock_ns(),
	};
}

static void note_end(struct gt_console *c, const char *test, const char *stage)
{
	for (size_t i = 0; i < c->running_count; i++) {
		struct running *r = &c->running[i];
		if (strcmp(r->stage, stage) != 0 || strcmp(r->test, test) != 0)
			continue;
		free(r->test);
		memmove(r, r + 1, (--c->running_count - i) * sizeof *r);
		return;
	}
}

// --- the progress line ---

static void put_elapsed(struct gt_buf *line, int64_t ns)
{
	long long s = ns / SECOND;
	if (s < 100)
		gt_buf_printf(line, "[%5.1fs] ", (double)ns / 1e9);
	else if (s < 3600)
		gt_buf_printf(line, "[%2lldm%02llds] ", s / 60, s % 60);
	else
		gt_buf_printf(line, "[%2lldh%02lldm] ", s / 3600, s / 60 % 60);
}

// Text with one number coloured must be cut by its columns, not by its bytes: both are kept.
struct line {
	struct gt_buf text;
	size_t columns, limit; // limit 0: none
	bool full;
};

static void add(struct line *l, const char *color, const char *text, const char *off)
{
	size_t columns = gt_text_columns(text);
	if (l->full)
		return;
	gt_buf_puts(&l->text, color);
	if (l->limit && l->columns + columns > l->limit) {
		gt_text_cut(&l->text, text, l->limit - l->columns);
		l->full = true;
	} else {
		gt_buf_puts(&l->text, text);
		l->columns += columns;
	}
	gt_buf_puts(&l->text, *color ? off : "");
}

static void add_count(struct gt_console *c, const struct gt_result *r, struct line *l,
                      enum gt_verdict v, const char *label)
{
	size_t n = r->verdicts[v];
	if (n == 0 && v != GT_VERDICT_PASS)
		return;
	char *text = gt_format("  %zu %s", n, label);
	add(l, n ? gt_text_verdict_color(c->color, v) : "", text, c->color->off);
	free(text);
}

static void add_running(struct gt_console *c, struct line *l, int64_t now)
{
	size_t names = l->limit ? c->running_count : PLAIN_NAMES;
	for (size_t i = 0; i < c->running_count && i < names && !l->full; i++) {
		struct gt_buf text = {0};
		const struct running *r = &c->running[i];
		char *name = gt_text_line(r->test);
		gt_buf_printf(&text, "%s%s %s", i ? ", " : " | ", r->stage, name);
		free(name);
		if (now - r->since >= LONG_RUNNING)
			gt_buf_printf(&text, " (%llds)", (long long)((now - r->since) / SECOND));
		add(l, "", gt_buf_text(&text), "");
		gt_buf_free(&text);
	}
	if (names < c->running_count) {
		char *text = gt_format(" and %zu more", c->running_count - names);
		add(l, "", text, "");
		free(text);
	}
}

static void put_progress(struct gt_console *c, const struct gt_result *r, int64_t now,
                         struct gt_buf *out)
{
	struct line l = {.limit = c->options.terminal ? c->width : 0};
	struct gt_buf head = {0};
	put_elapsed(&head, now - c->start);
	gt_buf_printf(&head, "%zu/%zu", r->test_count - r->verdicts[GT_VERDICT_NONE], c->total);
	add(&l, "", gt_buf_text(&head), "");
	add_count(c, r, &l, GT_VERDICT_PASS, "pass");
	add_count(c, r, &l, GT_VERDICT_XFAIL, "xfail");
	add_count(c, r, &l, GT_VERDICT_XPASS, "xpass");
	add_count(c, r, &l, GT_VERDICT_FAIL, "fail");
	add_running(c, &l, now);
	gt_buf_append(out, gt_buf_text(&l.text), l.text.length);
	gt_buf_free(&head);
	gt_buf_free(&l.text);
	c->last = now;
}

// Erase the progress line, if any, print `lines`, and draw it anew.
static void show(struct gt_console *c, const struct gt_result *r, const struct gt_buf *lines)
{
	struct gt_buf out = {0};
	if (c->options.terminal)
		gt_buf_puts(&out, ERASE_LINE);
	gt_buf_append(&out, gt_buf_text(lines), lines->length);
	if (c->options.terminal) {
		put_progress(c, r, gt_clock_ns(), &out);
		c->shown = true;
	}
	put(c, &out);
	gt_buf_free(&out);
}

// --- permanent lines ---

static bool is_worth_a_line(const struct gt_console *c, enum gt_verdict v)
{
	return gt_verdict_is_failure(v) || c->options.verbose;
}

// What follows the name: expectation where it differs, reason, message.
static char *explanation(const struct gt_test_result *t, bool brief)
{
	struct gt_buf text = {0};
	char *why = gt_text_why(t, brief);
	bool expected = strcmp(t->expected, GT_STATUS_PASS) == 0 || !*t->expected;
	if (t->verdict == GT_VERDICT_XPASS || (t->verdict == GT_VERDICT_FAIL && !expected)) {
		char *clean = gt_text_line(t->expected);
		gt_buf_printf(&text, "expected %s%s", clean, *why ? "; " : "");
		free(clean);
	}
	gt_buf_puts(&text, why);
	free(why);
	return gt_buf_take(&text);
}

// The name always stands whole; what follows it is cut on a terminal, on a second line if the
// first has too little room for it.
static void put_explanation(struct line *l, const char *text)
{
	size_t room = l->columns + 2 < l->limit ? l->limit - l->columns - 2 : 0;
	if (l->limit && room < MIN_MESSAGE && room < gt_text_columns(text)) {
		gt_buf_puts(&l->text, "\n     ");
		l->columns = 5;
	}
	add(l, "", "  ", "");
	add(l, "", text, "");
}

static void put_result(struct gt_console *c, const struct gt_test_result *t, struct gt_buf *out)
{
	struct line l = {0};
	struct gt_buf status = {0}, name = {0};
	char *id = gt_text_line(t->id), *more = explanation(t, c->options.terminal);
	char *verdict = gt_format("%-5s", gt_verdict_name(t->verdict));
	if (t->verdict == GT_VERDICT_PASS)
		gt_text_seconds(&status, t->seconds);
	gt_buf_printf(&name, "  %-18s  ", status.length ? status.data : t->status);
	gt_text_cut(&name, id, MAX_NAME);
	add(&l, gt_text_verdict_color(c->color, t->verdict), verdict, c->color->off);
	add(&l, "", gt_buf_text(&name), "");
	l.limit = c->options.terminal ? c->width : 0;
	if (*more)
		put_explanation(&l, more);
	gt_buf_puts(&l.text, "\n");
	gt_buf_append(out, l.text.data, l.text.length);
	gt_buf_free(&l.text);
	gt_buf_free(&status);
	gt_buf_free(&name);
	free(id);
	free(more);
	free(verdict);
}

// Once for each host, what and why; the summary counts the others.
static void put_note(const struct gt_console *c, const struct gt_result *r, const json_t *event,
                     struct gt_buf *out)
{
	const struct gt_note *n = r->notes;
	const char *message = gt_json_string_or(event, "message", "");
	while (n < r->notes + r->note_count && strcmp(n->message, message) != 0)
		n++;
	if (n == r->notes + r->note_count || n->count > 1)
		return;
	char *clean = gt_text_line(message);
	gt_buf_printf(out, "%snote%s   %s\n", c->color->bold, c->color->off, clean);
	free(clean);
}

void gt_console_event(struct gt_console *c, const struct gt_result *r, const json_t *event)
{
	const char *kind = gt_json_string_or(event, "event", "");
	const char *test = gt_json_string_or(event, "test", "");
	if (strcmp(kind, "stage-start") == 0)
		note_start(c, test, gt_json_string_or(event, "stage", ""),
		           (int)json_integer_value(json_object_get(event, "attempt")));
	else if (strcmp(kind, "stage-end") == 0)
		note_end(c, test, gt_json_string_or(event, "stage", ""));
	struct gt_buf lines = {0};
	if (strcmp(kind, "run-resume") == 0)
		gt_buf_printf(&lines, "going on: %zu of %zu tests are still to be run\n",
		              r->verdicts[GT_VERDICT_NONE], r->test_count);
	const struct gt_test_result *t = NULL;
	if (strcmp(kind, "test-end") == 0)
		t = gt_result_find(r, test);
	if (t && is_worth_a_line(c, t->verdict))
		put_result(c, t, &lines);
	if (strcmp(kind, "note") == 0)
		put_note(c, r, event, &lines);
	if (lines.length)
		show(c, r, &lines);
	else if (c->options.terminal)
		gt_console_tick(c, r);
	gt_buf_free(&lines);
}

void gt_console_tick(struct gt_console *c, const struct gt_result *r)
{
	struct gt_buf line = {0};
	int64_t now = gt_clock_ns();
	if (c->options.terminal) {
		if (now - c->last >= REDRAW && !gt_outlet_waits(c->options.out))
			show(c, r, &line);
	} else if (now - c->last >= PLAIN_INTERVAL) {
		put_progress(c, r, now, &line);
		gt_buf_puts(&line, "\n");
	}
	// Without a new line this still sends what a full pipe did not take.
	if (line.length || gt_outlet_waits(c->options.out))
		put(c, &line);
	gt_buf_free(&line);
}

// "    12.3 s of 600 s  compilation, attempt 2", the columns under each other; then the test, on a
// line of its own if it would not fit.
static void put_running(const struct gt_console *c, const struct running *r, int64_t now,
                        struct gt_buf *out)
{
	struct gt_buf time = {0}, what = {0}, line = {0};
	char *name = gt_text_line(r->test);
	gt_text_seconds(&time, (double)(now - r->since) / 1e9);
	if (r->limit_s > 0)
		gt_buf_printf(&time, " of %g s", r->limit_s);
	gt_buf_puts(&what, r->stage);
	if (r->attempt > 1)
		gt_buf_printf(&what, ", attempt %d", r->attempt);
	gt_buf_printf(&line, "  %-*s  %-*s", RUNNING_TIME, time.data, RUNNING_STAGE, what.data);
	if (c->options.terminal && line.length + 2 + gt_text_columns(name) > c->width)
		gt_buf_puts(&line, "\n    ");
	else
		gt_buf_puts(&line, "  ");
	gt_text_cut(&line, name, MAX_NAME);
	gt_buf_append(out, line.data, line.length);
	gt_buf_puts(out, "\n");
	gt_buf_free(&line);
	gt_buf_free(&what);
	gt_buf_free(&time);
	free(name);
}

void gt_console_show_running(struct gt_console *c)
{
	struct gt_buf text = {0};
	int64_t now = gt_clock_ns();
	if (c->shown)
		gt_buf_puts(&text, ERASE_LINE);
	c->shown = false;
	gt_buf_printf(&text, "%zu running\n", c->running_count);
	for (size_t i = 0; i < c->running_count; i++)
		put_running(c, &c->running[i], now, &text);
	put(c, &text);
	gt_buf_free(&text);
}

void gt_console_stop(struct gt_console *c, const char *reason, double seconds)
{
	struct gt_buf text = {0};
	bool asked = strcmp(reason, "interrupted") == 0;
	if (c->shown)
		gt_buf_puts(&text, ERASE_LINE);
	c->shown = false;
	if (seconds <= 0)
		gt_buf_puts(&text, "interrupted: what runs is ended now\n");
	else if (asked)
		gt_buf_printf(&text, "interrupted: what runs has %.0f s to end; again ends it now\n", seconds);
	else if (c->running_count)
		gt_buf_printf(&text, "enough failures: nothing more is started, what runs has %.0f s to end\n",
		              seconds);
	else
		gt_buf_puts(&text, "enough failures: nothing more is started\n");
	put(c, &text);
	gt_buf_free(&text);
}

void gt_console_suspend(struct gt_console *c, bool stop)
{
	int64_t now = gt_clock_ns();
	if (stop) {
		c->suspended = now;
		return;
	}
	for (size_t i = 0; i < c->running_count; i++)
		c->running[i].since += now - c->suspended;
	c->start += now - c->suspended;
}

void gt_console_delete(struct gt_console *c)
{
	if (!c)
		return;
	if (c->shown) {
		struct gt_buf out = {0};
		gt_buf_puts(&out, ERASE_LINE);
		put(c, &out);
		gt_buf_free(&out);
	}
	for (size_t i = 0; i < c->running_count; i++)
		free(c->running[i].test);
	free(c->running);
	free(c);
}
