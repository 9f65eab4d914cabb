// stages.json: what is kept of a stage, and what of it a hostile reply can spoil.
#include "base/file.h"
#include "base/hash.h"
#include "run/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define H "0123456789abcdef0123456789abcdef"
#define I "ffffffffffffffffffffffffffffffff"

static char folder[64];
static struct gt_err err;

static int begin(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/gauntlet-record-XXXXXX");
	err = (struct gt_err){0};
	return mkdtemp(folder) ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	return gt_remove_tree(folder, NULL) ? -1 : 0;
}

static json_t *parse(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);
	assert_non_null(json);
	return json;
}

static json_t *make(const char *reply, const char *inputs)
{
	struct gt_ending ending = {.ok = true, .reply = parse(reply), .seconds = 0.25,
	                           .report = {.magic = GT_REPORT_MAGIC, .user_us = 1500000, .max_rss_kb = 7}};
	json_t *event = parse("{\"event\":\"stage-end\",\"test\":\"t\",\"stage\":\"setup\"}");
	gt_record_facts(event, 2, &ending);
	json_t *record = gt_record_make(event, parse(inputs), json_object(), NULL);
	json_decref(event);
	gt_ending_free(&ending);
	return record;
}

static void assert_member(const json_t *record, const char *key, const char *wanted)
{
	json_t *want = json_loads(wanted, JSON_DECODE_ANY, NULL);
	char *have = json_dumps(json_object_get(record, key), JSON_ENCODE_ANY);
	if (!json_equal(want, json_object_get(record, key)))
		fail_msg("\"%s\" is %s", key, have ? have : "not there");
	free(have);
	json_decref(want);
}

static void test_members(void **state)
{
	(void)state;
	json_t *r = make("{\"files\":[{\"name\":\"f\",\"hash\":\"" H "\"}],\"detail\":{\"a\":1,\"sources\":"
	                 "[{\"name\":\"/s/x.pb\",\"hash\":\"" I "\"}]}}",
	                 "[{\"name\":\"m\",\"stage\":\"setup\",\"hash\":\"" H "\"},{\"name\":\"gone\"}]");
	assert_member(r, "attempt", "2");
	assert_member(r, "ok", "true");
	assert_member(r, "seconds", "0.25");
	assert_member(r, "user_seconds", "1.5");
	assert_member(r, "max_rss_kb", "7");
	assert_member(r, "files", "[{\"name\":\"f\",\"hash\":\"" H "\"}]");
	assert_member(r, "detail", "{\"a\":1}");
	assert_member(r, "inputs",
	              "[{\"name\":\"m\",\"hash\":\"" H "\"},{\"name\":\"/s/x.pb\",\"hash\":\"" I "\"}]");
	assert_member(r, "tool", "{}");
	assert_null(json_object_get(r, "event"));
	assert_null(json_object_get(r, "test"));
	json_decref(r);
}

static void test_hostile_replies(void **state)
{
	(void)state;
	static const char *const replies[] = {
		"{}", "{\"files\":7,\"detail\":[]}", "{\"detail\":{\"sources\":7}}",
		"{\"files\":[7,{},{\"name\":\"n\"},{\"name\":\"n\",\"hash\":\"h\"},"
		"{\"name\":\"../n\",\"hash\":\"" H "\"},{\"name\":\"/n\",\"hash\":\"" H "\"}]}",
		"{\"detail\":{\"sources\":[7,{},{\"name\":1,\"hash\":\"" H "\"},{\"name\":\"n\"},"
		"{\"name\":\"n/../../x\",\"hash\":\"" H "\"}]}}"};
	for (size_t i = 0; i < GT_COUNTOF(replies); i++) {
		json_t *r = make(replies[i], "[]");
		assert_member(r, "inputs", "[]");
		assert_member(r, "files", "[]");
		assert_member(r, "detail", "{}");
		json_decref(r);
	}
}

static void test_read_back(void **state)
{
	(void)state;
	json_t *records, *again;
	assert_int_equal(gt_record_read(folder, &records, &err), GT_OK);
	assert_null(records);
	records = gt_record_new();
	assert_int_equal(gt_record_write(folder, records, &err), GT_OK);
	assert_int_equal(gt_record_read(folder, &again, &err), GT_OK);
	assert_true(json_equal(records, again));
	json_decref(again);
	json_decref(records);
}

// With a right sum, but of a form that would lead elsewhere or say nothing.
static void test_hostile_records(void **state)
{
	(void)state;
#define FILE_LIST(name, hash) "[{\"name\":\"" name "\",\"bytes\":1,\"hash\":\"" hash "\"}]"
#define RECORD(ok, files, inputs) \
	"{\"setup\":{\"ok\":" ok ",\"files\":" files ",\"inputs\":" inputs "}}"
	static const struct {
		bool good;
		const char *stages;
	} cases[] = {
		{true, "{}"},
		{true, RECORD("true", FILE_LIST("a", H), FILE_LIST("/suite/x.pb", H))},
		{true, RECORD("false", FILE_LIST("data_set_1/a", H), "[]")},
		{false, "7"},
		{false, "{\"setup\":7}"},
		{false, "{\"setup\":{}}"},
		{false, RECORD("1", "[]", "[]")},
		{false, RECORD("true", "{}", "[]")},
		{false, RECORD("true", "[]", "null")},
		{false, RECORD("true", FILE_LIST("../a", H), "[]")},
		{false, RECORD("true", FILE_LIST("a/../../b", H), "[]")},
		{false, RECORD("true", FILE_LIST("/etc/passwd", H), "[]")},
		{false, RECORD("true", FILE_LIST("", H), "[]")},
		{false, RECORD("true", FILE_LIST("a", "h"), "[]")},
		{false, RECORD("true", FILE_LIST("a", "0123456789ABCDEF0123456789ABCDEF"), "[]")},
		{false, RECORD("true", "[]", FILE_LIST("../a", H))},
		{false, RECORD("true", "[]", "[{\"name\":7}]")},
	};
	for (size_t i = 0; i < GT_COUNTOF(cases); i++) {
		json_t *records = gt_record_new(), *back;
		gt_json_set(records, "stages", json_loads(cases[i].stages, JSON_DECODE_ANY, NULL));
		assert_int_equal(gt_record_write(folder, records, &err), GT_OK);
		gt_code rc = gt_record_read(folder, &back, &err);
		if (rc != (cases[i].good ? GT_OK : GT_BAD_DATA))
			fail_msg("%s: %d %s", cases[i].stages, rc, err.text);
		if (rc && (!strstr(err.text, folder) || !strstr(err.text, "run the test again from setup")))
			fail_msg("%s", err.text);
		json_decref(back);
		json_decref(records);
	}
}

static void test_trust(void **state)
{
	(void)state;
	char hash[GT_HASH_SIZE], *path = gt_path_join(folder, "f");
	json_t *stages = parse("{\"setup\":{\"files\":[{\"name\":\"f\",\"bytes\":1,\"hash\":\"old\"},"
	                       "{\"name\":\"g\",\"hash\":\"g\"},7]}}");
	json_t *inputs = parse("[{\"name\":\"f\",\"stage\":\"setup\",\"hash\":\"old\"}]");
	assert_int_equal(gt_record_trust(folder, inputs, stages, &err), GT_NOT_FOUND);
	assert_int_equal(gt_file_write(path, "new", 3, &err), GT_OK);
	assert_int_equal(gt_hash_file(path, hash, NULL, &err), GT_OK);
	assert_int_equal(gt_record_trust(folder, inputs, stages, &err), GT_OK);
	json_t *files = json_object_get(json_object_get(stages, "setup"), "files");
	json_t *f = json_array_get(files, 0), *g = json_array_get(files, 1);
	assert_string_equal(gt_json_string_or(f, "hash", ""), hash);
	assert_int_equal(gt_json_integer_or(f, "bytes", 0), 3);
	assert_true(gt_json_bool_or(f, "by_hand", false));
	assert_string_equal(gt_json_string_or(json_array_get(inputs, 0), "hash", ""), hash);
	assert_string_equal(gt_json_string_or(g, "hash", ""), "g");
	// A file that no record knows is taken too.
	json_decref(inputs);
	inputs = parse("[{\"name\":\"f\",\"stage\":\"compilation\"}]");
	assert_int_equal(gt_record_trust(folder, inputs, stages, &err), GT_OK);
	assert_string_equal(gt_json_string_or(json_array_get(inputs, 0), "hash", ""), hash);
	json_decref(inputs);
	json_decref(stages);
	free(path);
}

#define RECORD_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {RECORD_TEST(test_members), RECORD_TEST(test_hostile_replies),
	                                   RECORD_TEST(test_read_back), RECORD_TEST(test_trust),
	                                   RECORD_TEST(test_hostile_records)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
