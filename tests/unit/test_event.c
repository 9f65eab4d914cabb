// The journal's lines: their form, and that damage is found wherever it is.
#include "base/file.h"
#include "base/hash.h"
#include "core/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/gauntlet-event-XXXXXX";
static char *journal;

static int make_folder(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	journal = gt_path_join(folder, "events.jsonl");
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	free(journal);
	return gt_remove_tree(folder, NULL) ? -1 : 0;
}

static json_t *json(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);
	assert_non_null(value);
	return value;
}

static char *line_of(const char *text, uint64_t seq)
{
	json_t *event = json(text);
	char *line = gt_event_line(event, seq);
	json_decref(event);
	return line;
}

// A line whose sum is right, whatever its text.
static char *signed_line(const char *text)
{
	return gt_format("%s,\"sum\":\"%016llx\"}", text,
	                 (unsigned long long)gt_hash64(text, strlen(text)));
}

static void test_form(void **state)
{
	(void)state;
	char *line = line_of("{\"event\":\"test\",\"t\":5,\"a\":[1,{\"b\":\"\\n\"}]}", 7);
	char *wanted = signed_line("{\"seq\":7,\"event\":\"test\",\"t\":5,\"a\":[1,{\"b\":\"\\n\"}]");
	assert_int_equal(line[strlen(line) - 1], '\n');
	line[strlen(line) - 1] = '\0';
	assert_string_equal(line, wanted);
	free(line);
	free(wanted);
	// The algorithm is XXH3-64 with seed 0; this value was computed by another program.
	assert_true(gt_hash64("", 0) == 0x2d06800538d394c2u);
}

static void test_own_members_are_ours(void **state)
{
	(void)state;
	char *line = line_of("{\"sum\":\"x\",\"event\":\"e\",\"seq\":99}", 3);
	char *wanted = signed_line("{\"seq\":3,\"event\":\"e\"");
	assert_memory_equal(line, wanted, strlen(wanted));
	free(line);
	free(wanted);
}

static void round_trip(const char *text)
{
	json_t *event = json(text), *back;
	char *line = gt_event_line(event, 12);
	assert_null(memchr(line, '\n', strlen(line) - 1));
	assert_int_equal(gt_event_parse(line, strlen(line) - 1, 12, &back, NULL), GT_OK);
	assert_true(json_equal(event, back));
	json_decref(event);
	json_decref(back);
	free(line);
}

static void test_round_trip(void **state)
{
	(void)state;
	round_trip("{\"event\":\"e\"}");
	round_trip("{\"event\":\"e\",\"text\":\",\\\"sum\\\":\\\"0123456789abcdef\\\"}\\n\"}");
	round_trip("{\"event\":\"e\",\"deep\":{\"seq\":1,\"sum\":\"\"},\"n\":-9223372036854775807}");
	round_trip("{\"event\":\"\\u0001\\u007f\\u2028\\uffff\\ud83d\\ude00\",\"r\":0.1,\"s\":1e300}");
}

static void refuse(const char *text, uint64_t seq, const char *sentence)
{
	struct gt_err err = {0};
	json_t *event = NULL;
	char *line = signed_line(text);
	assert_int_equal(gt_event_parse(line, strlen(line), seq, &event, &err), GT_BAD_DATA);
	assert_null(event);
	if (!strstr(err.text, sentence))
		fail_msg("'%s' does not say '%s'", err.text, sentence);
	free(line);
}

static void test_signed_but_wrong(void **state)
{
	(void)state;
	refuse("{\"seq\":1,\"event\":\"e\"", 2, "number 1 where 2");
	refuse("{\"seq\":-1,\"event\":\"e\"", UINT64_MAX, "number -1");
	refuse("{\"seq\":\"1\",\"event\":\"e\"", 1, "no number");
	refuse("{\"event\":\"e\"", 1, "no number");
	refuse("{\"seq\":1,\"event\":5", 1, "what it is");
	refuse("{\"seq\":1,\"event\":\"e\",\"a\":1,\"a\":2", 1, "not JSON");
	refuse("{\"seq\":1,\"event\":\"e\",\"a\":\"\xff\"", 1, "not JSON");
	refuse("{\"seq\":1,\"event\":\"e\",\"a\":NaN", 1, "not JSON");
	refuse("[1", 1, "not JSON");
	refuse("", 1, "not JSON");
	json_t *event;
	assert_int_equal(gt_event_parse("", 0, 1, &event, NULL), GT_BAD_DATA);
	assert_int_equal(gt_event_parse("{}", 2, 1, &event, NULL), GT_BAD_DATA);
}

// What a reading showed, one event a line.
struct seen {
	struct gt_buf text;
	size_t count;
};

static gt_code note(void *user, const json_t *event, struct gt_err *err)
{
	(void)err;
	struct seen *seen = user;
	char *text = json_dumps(event, JSON_COMPACT);
	gt_buf_printf(&seen->text, "%s\n", text);
	free(text);
	seen->count++;
	return GT_OK;
}

static void put(const void *bytes, size_t length)
{
	FILE *f = fopen(journal, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, length, f), length);
	assert_int_equal(fclose(f), 0);
}

#define EVENTS 4
static const char *const events[EVENTS] = {
	"{\"event\":\"run-start\",\"t\":0,\"format\":1}",
	"{\"event\":\"test\",\"t\":3,\"test\":\"a\\n\\u00e9\"}",
	"{\"event\":\"stage-start\",\"t\":4,\"list\":[1,2.5,null,true]}",
	"{\"event\":\"run-end\",\"t\":5}",
};

// The journal of `events`; ends[k] is the length of its first k lines.
static void whole_journal(struct gt_buf *all, size_t ends[EVENTS + 1])
{
	ends[0] = 0;
	for (size_t i = 0; i < EVENTS; i++) {
		char *line = line_of(events[i], GT_EVENT_FIRST + i);
		gt_buf_puts(all, line);
		free(line);
		ends[i + 1] = all->length;
	}
}

// What reading the first `count` events shows.
static void expect_seen(const struct seen *seen, size_t count)
{
	struct gt_buf wanted = {0};
	for (size_t i = 0; i < count; i++) {
		json_t *event = json(events[i]);
		char *text = json_dumps(event, JSON_COMPACT);
		gt_buf_printf(&wanted, "%s\n", text);
		free(text);
		json_decref(event);
	}
	assert_int_equal(seen->count, count);
	assert_string_equal(gt_buf_text(&seen->text), gt_buf_text(&wanted));
	gt_buf_free(&wanted);
}

static void test_cut_at_every_byte(void **state)
{
	(void)state;
	struct gt_buf all = {0};
	size_t ends[EVENTS + 1];
	whole_journal(&all, ends);
	for (size_t length = 0; length <= all.length; length++) {
		struct seen seen = {0};
		int64_t torn = 77;
		size_t lines = 0;
		while (lines < EVENTS && ends[lines + 1] <= length)
			lines++;
		put(all.data, length);
		assert_int_equal(gt_event_read_file(journal, note, &seen, &torn, NULL), GT_OK);
		expect_seen(&seen, lines);
		assert_int_equal(torn, length == ends[lines] ? -1 : (int64_t)ends[lines]);
		gt_buf_free(&seen.text);
	}
	gt_buf_free(&all);
}

static void check_damaged(size_t at, const size_t ends[EVENTS + 1])
{
	struct seen seen = {0};
	struct gt_err err = {0};
	int64_t torn = 77;
	size_t hurt = 0; // line in which the damage is
	while (at >= ends[hurt + 1])
		hurt++;
	gt_code rc = gt_event_read_file(journal, note, &seen, &torn, &err);
	expect_seen(&seen, hurt);
	if (rc) {
		char *line = gt_format("line %zu", hurt + 1);
		assert_int_equal(rc, GT_BAD_DATA);
		assert_non_null(strstr(err.text, line));
		free(line);
	} else {
		assert_true(hurt + 2 >= EVENTS);
		assert_int_equal(torn, ends[hurt]);
	}
	gt_buf_free(&seen.text);
}

static void test_flip_every_byte(void **state)
{
	(void)state;
	static const unsigned char masks[] = {0x01, 0x20, 0x80, 0xFF};
	struct gt_buf all = {0};
	size_t ends[EVENTS + 1];
	whole_journal(&all, ends);
	for (size_t i = 0; i < all.length; i++) {
		char saved = all.data[i];
		for (size_t k = 0; k < GT_COUNTOF(masks) + 2; k++) {
			if (k < GT_COUNTOF(masks))
				all.data[i] = (char)(saved ^ masks[k]);
			else
				all.data[i] = k == GT_COUNTOF(masks) ? '\n' : '\0';
			if (all.data[i] == saved)
				continue;
			put(all.data, all.length);
			check_damaged(i, ends);
		}
		all.data[i] = saved;
	}
	gt_buf_free(&all);
}

static gt_code read_text(const char *text, int64_t *torn, struct gt_err *err)
{
	struct seen seen = {0};
	put(text, strlen(text));
	gt_code rc = gt_event_read_file(journal, note, &seen, torn, err);
	gt_buf_free(&seen.text);
	return rc;
}

// Lines that are each right, in an order that is not.
static void test_lines_that_moved(void **state)
{
	(void)state;
	struct gt_err err = {0};
	int64_t torn;
	char *a = line_of(events[0], 0), *b = line_of(events[1], 1), *c = line_of(events[2], 2);
	char *swapped = gt_format("%s%s%s", a, c, b), *lost = gt_format("%s%s", a, c);
	char *twice = gt_format("%s%s%s", a, b, b), *headless = gt_format("%s%s", b, c);
	assert_int_equal(read_text(swapped, &torn, &err), GT_BAD_DATA);
	assert_non_null(strstr(err.text, "line 2"));
	assert_int_equal(read_text(lost, &torn, &err), GT_BAD_DATA);
	assert_int_equal(read_text(twice, &torn, &err), GT_BAD_DATA);
	assert_non_null(strstr(err.text, "line 3"));
	assert_int_equal(read_text(headless, &torn, &err), GT_BAD_DATA);
	assert_non_null(strstr(err.text, "line 1"));
	char *texts[] = {a, b, c, swapped, lost, twice, headless};
	for (size_t i = 0; i < GT_COUNTOF(texts); i++)
		free(texts[i]);
}

static gt_code complain(void *user, const json_t *event, struct gt_err *err)
{
	(void)event;
	return ++*(int *)user == 2 ? gt_fail(err, GT_UNSUPPORTED, "enough") : GT_OK;
}

static void test_visitor_ends_the_reading(void **state)
{
	(void)state;
	struct gt_buf all = {0};
	size_t ends[EVENTS + 1];
	whole_journal(&all, ends);
	put(all.data, all.length);
	int count = 0;
	int64_t torn;
	struct gt_err err = {0};
	assert_int_equal(gt_event_read_file(journal, complain, &count, &torn, &err), GT_UNSUPPORTED);
	assert_int_equal(count, 2);
	assert_non_null(strstr(err.text, "line 2: enough"));
	count = 0;
	assert_int_equal(gt_event_read_file(journal, complain, &count, &torn, NULL), GT_UNSUPPORTED);
	gt_buf_free(&all);
}

static void test_no_file(void **state)
{
	(void)state;
	struct gt_err err = {0};
	int64_t torn = 0;
	struct seen seen = {0};
	assert_int_equal(gt_event_read_file("/no/such/file", note, &seen, &torn, &err), GT_NOT_FOUND);
	assert_non_null(strstr(err.text, "/no/such/file"));
	assert_int_equal(gt_event_read_file(folder, note, &seen, &torn, &err), GT_BAD_DATA);
	assert_int_equal(seen.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_own_members_are_ours),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_signed_but_wrong),
		cmocka_unit_test(test_cut_at_every_byte),
		cmocka_unit_test(test_flip_every_byte),
		cmocka_unit_test(test_lines_that_moved),
		cmocka_unit_test(test_visitor_ends_the_reading),
		cmocka_unit_test(test_no_file),
	};
	return cmocka_run_group_tests_name("event", tests, make_folder, remove_folder);
}
