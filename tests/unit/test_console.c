// The live view of a run, seen through a small terminal. This program has its own clock.
#include "base/clock.h"
#include "report/report.h"
#include "report/text.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "run_builder.h"

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)

static int64_t now;

int64_t gt_clock_ns(void)
{
	return now;
}

void gt_clock_wall(char out[GT_WALL_SIZE])
{
	out[0] = '\0';
}

// A view whose writes arrive one by one, as messages.
struct view {
	struct gt_console *console;
	struct gt_outlet out;
	int ends[2];
	struct gt_result result;
	struct builder builder;
	int64_t pace; // that passes after each event
};

static void after_event(void *user, const struct gt_result *r, const json_t *event)
{
	struct view *v = user;
	if (v->console)
		gt_console_event(v->console, r, event);
	now += v->pace;
}

static void begin(struct view *v, struct gt_console_options options,
                  const struct built_test *tests, size_t count)
{
	*v = (struct view){.builder = {.after = after_event, .user = v}};
	v->builder.result = &v->result;
	now = 1000 * SECOND;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, v->ends), 0);
	gt_outlet_open(&v->out, v->ends[0]);
	options.out = &v->out;
	build_begin(&v->builder, "{}", tests, count);
	v->console = gt_console_new(&options, count);
}

static void end(struct view *v)
{
	gt_console_delete(v->console);
	v->console = NULL;
	gt_outlet_close(&v->out);
	close(v->ends[0]);
	close(v->ends[1]);
	gt_result_free(&v->result);
}

// The next write, NULL if there was none. Allocated.
static char *take(struct view *v)
{
	static char text[1 << 16];
	ssize_t n = recv(v->ends[1], text, sizeof text - 1, 0);
	return n <= 0 ? NULL : gt_strndup(text, (size_t)n);
}

static void check_write(struct view *v, const char *wanted)
{
	char *got = take(v);
	if (!wanted) {
		assert_null(got);
		return;
	}
	assert_non_null(got);
	assert_string_equal(got, wanted);
	free(got);
}

static const struct gt_console_options plain = {.width = 80};
static const struct gt_console_options terminal = {.width = 80, .terminal = true};

#define ERASE "\r\x1b[K"

static void test_plain_lines(void **state)
{
	(void)state;
	const struct built_test tests[] = {
		{.id = "a", .status = "PASS"},
		{.id = "b", .status = "compilation", .why = "error",
	         .message = "error: failed\nto legalize"},
		{.id = "c", .status = "compilation", .why = "timeout", .message = "too long",
	         .expect = "compilation"},
		{.id = "d", .status = "PASS", .expect = "Numerics:value"},
		{.id = "e", .status = "Numerics", .why = "shape", .message = "m", .expect = "setup"},
	};
	struct view v;
	begin(&v, plain, tests, 5);
	for (size_t i = 0; i < 5; i++)
		build_test(&v.builder, &tests[i]);
	check_write(&v, "FAIL   compilation         b  error: failed to legalize\n");
	check_write(&v, "XPASS  PASS                d  expected Numerics:value\n");
	check_write(&v, "FAIL   Numerics            e  expected setup; shape: m\n");
	check_write(&v, NULL);
	gt_console_tick(v.console, &v.result);
	check_write(&v, NULL);
	end(&v);
}

static void test_verbose(void **state)
{
	(void)state;
	const struct built_test tests[] = {
		{.id = "a", .status = "PASS", .seconds = 1.5},
		{.id = "c", .status = "compilation", .why = "timeout", .message = "too long",
	         .expect = "compilation"},
	};
	struct gt_console_options options = plain;
	struct view v;
	options.verbose = true;
	begin(&v, options, tests, 2);
	build_test(&v.builder, &tests[0]);
	build_test(&v.builder, &tests[1]);
	check_write(&v, "PASS   1.50 s              a\n");
	check_write(&v, "XFAIL  compilation         c  timeout: too long\n");
	check_write(&v, NULL);
	end(&v);
}

static void start_stage(struct view *v, const char *test, const char *stage)
{
	build_apply(&v->builder, json_pack("{s:s,s:s,s:s,s:i}", "event", "stage-start", "test", test,
	                                   "stage", stage, "attempt", 1));
}

static void test_plain_progress(void **state)
{
	(void)state;
	static const char *const ids[] = {"a", "b\x1b", "c", "d", "e", "f"};
	struct built_test tests[6] = {0};
	for (size_t i = 0; i < 6; i++)
		tests[i] = (struct built_test){.id = ids[i], .status = "PASS"};
	struct view v;
	begin(&v, plain, tests, 6);
	build_test(&v.builder, &tests[0]);
	now += 30 * SECOND - 1;
	gt_console_tick(v.console, &v.result);
	check_write(&v, NULL);
	start_stage(&v, "b\x1b", "compilation");
	now += 1;
	gt_console_tick(v.console, &v.result);
	check_write(&v, "[ 30.0s] 1/6  1 pass | compilation b\\x1B\n");
	gt_console_tick(v.console, &v.result);
	check_write(&v, NULL);
	for (size_t i = 2; i < 6; i++)
		start_stage(&v, ids[i], "setup");
	now += 90 * SECOND;
	gt_console_tick(v.console, &v.result);
	check_write(&v, "[ 2m00s] 1/6  1 pass | compilation b\\x1B (90s), setup c (90s), "
			"setup d (90s), setup e (90s) and 1 more\n");
	now += 3600 * SECOND;
	gt_console_tick(v.console, &v.result);
	char *line = take(&v);
	assert_non_null(line);
	assert_memory_equal(line, "[ 1h02m] ", 9);
	free(line);
	end(&v);
}

static void test_terminal_writes(void **state)
{
	(void)state;
	const struct built_test tests[] = {
		{.id = "a", .status = "PASS"},
		{.id = "b", .status = "setup", .why = "error", .message = "m"},
		{.id = "c", .status = "PASS"},
	};
	struct view v;
	begin(&v, terminal, tests, 3);
	start_stage(&v, "a", "comparison"); // the first event is shown at once
	check_write(&v, ERASE "[  0.0s] 0/3  0 pass | comparison a");
	now += 99 * MS;
	gt_console_tick(v.console, &v.result);
	check_write(&v, NULL);
	now += 1 * MS;
	gt_console_tick(v.console, &v.result);
	check_write(&v, ERASE "[  0.1s] 0/3  0 pass | comparison a");
	start_stage(&v, "c", "setup");
	check_write(&v, NULL); // too soon
	build_test(&v.builder, &tests[1]);
	check_write(&v, ERASE "FAIL   setup               b  error: m\n"
			"[  0.1s] 1/3  0 pass  1 fail | comparison a, setup c"); // never too soon
	check_write(&v, NULL);
	now += 12 * SECOND;
	gt_console_tick(v.console, &v.result);
	check_write(&v, ERASE "[ 12.1s] 1/3  0 pass  1 fail | comparison a (12s), setup c (12s)");
	gt_console_delete(v.console);
	v.console = NULL;
	check_write(&v, ERASE);
	check_write(&v, NULL);
	end(&v);
}

static void test_rate(void **state)
{
	(void)state;
	static struct built_test tests[1000];
	static char ids[1000][8];
	for (size_t i = 0; i < 1000; i++) {
		snprintf(ids[i], sizeof ids[i], "t%zu", i);
		tests[i] = (struct built_test){.id = ids[i], .status = "PASS"};
	}
	struct view v;
	begin(&v, terminal, tests, 1000);
	v.pace = MS;
	size_t writes = 0;
	for (size_t i = 0; i < 1000; i++) { // 3,000 events in 3 seconds
		build_test(&v.builder, &tests[i]);
		for (char *text; (text = take(&v)); free(text))
			writes++;
	}
	assert_in_range(writes, 29, 31);
	end(&v);
}

// --- a terminal that knows as much as is written to it ---

#define ROWS 400
#define COLUMNS 512

struct screen {
	char cells[ROWS][COLUMNS]; // '#' for what is not ASCII
	size_t row, column, width;
};

static void put_character(struct screen *s, const char *text, size_t n)
{
	char one[8] = {0};
	memcpy(one, text, n);
	size_t columns = gt_text_columns(one);
	if (s->column + columns > s->width) { // wraps
		s->row++;
		s->column = 0;
	}
	for (size_t i = 0; i < columns; i++)
		s->cells[s->row][s->column++] = n == 1 ? *text : '#';
}

static void show(struct screen *s, const char *text)
{
	for (const char *p = text; *p;) {
		assert_true(s->row < ROWS - 8);
		size_t n = 1;
		if (*p == '\r') {
			s->column = 0;
		} else if (*p == '\n') {
			s->row++;
			s->column = 0;
		} else if (strncmp(p, "\x1b[K", 3) == 0) {
			memset(s->cells[s->row] + s->column, 0, COLUMNS - s->column);
			n = 3;
		} else if (*p == '\x1b') {
			n = strcspn(p, "m") + 1; // a colour
			assert_in_range(n, 4, 5);
		} else {
			n = (unsigned char)*p < 0x80 ? 1 : (unsigned char)*p < 0xE0 ? 2
			    : (unsigned char)*p < 0xF0                              ? 3
			                                                            : 4;
			assert_true((unsigned char)*p >= 0x20 && *p != 0x7F);
			put_character(s, p, n);
		}
		p += n;
	}
}

// Every progress line stays in its row, whatever the width and the names; in the end only results
// are left on the screen.
static void check_terminal(int width, bool color)
{
	const struct built_test tests[] = {
		{.id = "test_short", .status = "PASS"},
		{.id = "漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字", .status = "Numerics",
	         .why = "value", .message = "漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字"},
		{.id = "test_\x1b[2J\x1b[1;1H_and_a_name_that_is_longer_than_most_terminals_are_wide_"
	               "and_then_some_more_of_it_until_it_is_really_long",
	         .status = "compiled_inference", .why = "crash:SIGSEGV", .message = "\r\x1b[Kgone"},
		{.id = "x", .status = "setup", .why = "error", .message = "m", .expect = "setup"},
		{.id = "y", .status = "PASS", .expect = "setup"},
		{.id = "z", .status = "PASS"},
	};
	static struct screen s;
	struct view v;
	s = (struct screen){.width = (size_t)(width > 1 ? width : 2)};
	struct gt_console_options options = terminal;
	options.width = width;
	options.color = color;
	begin(&v, options, tests, 6);
	v.pace = 60 * MS;
	for (size_t i = 0; i < 5; i++) {
		build_test(&v.builder, &tests[i]);
		start_stage(&v, tests[5].id, gt_stage((enum gt_stage_id)i)->name);
		gt_console_tick(v.console, &v.result);
		for (char *text; (text = take(&v)); free(text)) {
			const char *last = strrchr(text, '\n');
			size_t row_before = s.row;
			show(&s, text);
			if (!last)
				assert_int_equal(s.row, row_before);
			assert_true(s.column < s.width); // no wrap is pending
			assert_true(width < 4 || strncmp(s.cells[s.row], "[ ", 2) == 0);
		}
	}
	gt_console_delete(v.console);
	v.console = NULL;
	char *text = take(&v);
	show(&s, text);
	free(text);
	assert_int_equal(s.column, 0);
	size_t results = 0;
	for (size_t row = 0; row < ROWS; row++) {
		results += strncmp(s.cells[row], "FAIL ", 5) == 0 ||
		           strncmp(s.cells[row], "XPASS", 5) == 0;
		assert_true(strncmp(s.cells[row], "[ ", 2) != 0);
	}
	if (width >= 10)
		assert_int_equal(results, 3);
	assert_int_equal(s.cells[s.row][0], '\0');
	end(&v);
}

static void test_terminal_never_wraps(void **state)
{
	(void)state;
	static const int widths[] = {0, 1, 2, 5, 9, 10, 11, 20, 27, 28, 29, 40, 60, 79, 80, 81, 120, 300};
	for (size_t i = 0; i < GT_COUNTOF(widths); i++) {
		check_terminal(widths[i], false);
		check_terminal(widths[i], true);
	}
}

static void test_two_lines(void **state)
{
	(void)state;
	const struct built_test tests[] = {
		{.id = "test_averagepool_2d_precomputed_pads_count_include_pad_and_more",
	         .status = "import_model", .why = "error",
	         .message = "a sentence that is far too long to stand beside such a name, so it "
	                    "does not"},
		{.id = "test_short", .status = "import_model", .why = "error",
	         .message = "a sentence that is far too long to stand beside such a name, so it is "
	                    "cut"},
		{.id = "test_of_thirty_eight_columns_and_more", .status = "import_model",
	         .why = "error", .message = "m"},
	};
	struct view v;
	begin(&v, terminal, tests, 3);
	v.pace = 0;
	build_test(&v.builder, &tests[0]);
	free(take(&v));
	check_write(&v, ERASE
	            "FAIL   import_model        "
	            "test_averagepool_2d_precomputed_pads_count_include_pad_and_more\n"
	            "       error: a sentence that is far too long to stand beside such a name, so …\n"
	            "[  0.0s] 1/3  0 pass  1 fail");
	build_test(&v.builder, &tests[1]);
	check_write(&v, ERASE
	            "FAIL   import_model        test_short  error: a sentence that is far too long …\n"
	            "[  0.0s] 2/3  0 pass  2 fail");
	build_test(&v.builder, &tests[2]); // little room, but enough
	check_write(&v, ERASE
	            "FAIL   import_model        test_of_thirty_eight_columns_and_more  error: m\n"
	            "[  0.0s] 3/3  0 pass  3 fail");
	end(&v);
}

static void test_reader_gone(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	const struct built_test tests[] = {
		{.id = "a", .status = "setup", .why = "error", .message = "m"},
		{.id = "b", .status = "setup", .why = "error", .message = "m"}};
	struct view v;
	begin(&v, terminal, tests, 2);
	shutdown(v.ends[1], SHUT_RDWR);
	build_test(&v.builder, &tests[0]);
	build_test(&v.builder, &tests[1]);
	gt_console_tick(v.console, &v.result);
	end(&v);
	struct gt_outlet closed;
	gt_outlet_open(&closed, 1000); // not even a descriptor
	struct gt_console_options bad = {.out = &closed, .width = 80};
	struct gt_console *console = gt_console_new(&bad, 1);
	gt_console_show_running(console);
	gt_console_tick(console, &v.result);
	gt_console_delete(console);
	assert_int_equal(closed.error, EBADF);
	assert_false(gt_outlet_waits(&closed));
	gt_outlet_close(&closed);
	gt_console_delete(NULL);
}

// A pipe that is full for a while loses nothing and stops nobody.
static void test_slow_reader(void **state)
{
	(void)state;
	static struct built_test tests[300];
	static char ids[300][64];
	struct gt_buf wanted = {0}, got = {0};
	for (size_t i = 0; i < 300; i++) {
		snprintf(ids[i], sizeof ids[i], "test_with_a_name_of_some_length_%zu", i);
		tests[i] = (struct built_test){.id = ids[i], .status = "setup", .why = "error",
		                               .message = "m"};
		gt_buf_printf(&wanted, "FAIL   setup               %s  error: m\n", ids[i]);
	}
	struct view v;
	begin(&v, plain, tests, 300);
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4096) >= 0);
	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	gt_console_delete(v.console);
	gt_outlet_close(&v.out);
	gt_outlet_open(&v.out, ends[1]);
	struct gt_console_options options = plain;
	options.out = &v.out;
	v.console = gt_console_new(&options, 300);
	for (size_t i = 0; i < 300; i++)
		build_test(&v.builder, &tests[i]);
	char chunk[4096];
	ssize_t n;
	for (int i = 0; i < 1000 && got.length < wanted.length; i++) {
		while ((n = read(ends[0], chunk, sizeof chunk)) > 0)
			gt_buf_append(&got, chunk, (size_t)n);
		gt_console_tick(v.console, &v.result);
	}
	assert_string_equal(gt_buf_text(&got), gt_buf_text(&wanted));
	end(&v);
	close(ends[0]);
	close(ends[1]);
	gt_buf_free(&wanted);
	gt_buf_free(&got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_lines),
		cmocka_unit_test(test_verbose),
		cmocka_unit_test(test_plain_progress),
		cmocka_unit_test(test_terminal_writes),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_terminal_never_wraps),
		cmocka_unit_test(test_two_lines),
		cmocka_unit_test(test_reader_gone),
		cmocka_unit_test(test_slow_reader),
	};
	return cmocka_run_group_tests_name("console", tests, NULL, NULL);
}
