#include "run/record.h"

#include "base/file.h"
#include "base/hash.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Frames of a crash that a record has.
#define CRASH_FRAMES 10

// Of stages.json and of test.json. Format 1 had no sum.
#define FORMAT 2

// --- the files

json_t *gt_record_new(void)
{
	return json_pack("{s:i,s:{}}", "format", FORMAT, "stages");
}

static bool is_hash(const json_t *value)
{
	const char *text = json_string_value(value);
	return text && strlen(text) == GT_HASH_SIZE - 1 &&
	       strspn(text, "0123456789abcdef") == GT_HASH_SIZE - 1;
}

// {"name", "hash"} of a file in the test's folder, or in the suite, whose names are absolute.
static bool is_file_entry(const json_t *entry, bool of_suite)
{
	const char *name = gt_json_string_or(entry, "name", "");
	bool named = gt_path_stays_below(name) || (of_suite && name[0] == '/');
	return named && is_hash(json_object_get(entry, "hash"));
}

static bool is_file_list(const json_t *list, bool of_suite)
{
	size_t i;
	json_t *entry;
	if (!json_is_array(list))
		return false;
	json_array_foreach(list, i, entry)
		if (!is_file_entry(entry, of_suite))
			return false;
	return true;
}

// A sum is no proof against intent: names that lead out of the folder are refused all the same.
static gt_code check_stages(const json_t *records, const char *path, struct gt_err *err)
{
	json_t *stages = json_object_get(records, "stages"), *record;
	const char *name;
	if (!json_is_object(stages))
		return gt_fail(err, GT_BAD_DATA, "'%s' has no object \"stages\"", path);
	json_object_foreach(stages, name, record)
		if (!is_file_list(json_object_get(record, "files"), false) ||
		    !is_file_list(json_object_get(record, "inputs"), true) ||
		    !json_is_boolean(json_object_get(record, "ok")))
			return gt_fail(err, GT_BAD_DATA, "'%s': the record of %s is not in proper form", path,
			               name);
	return GT_OK;
}

static gt_code advise(gt_code code, struct gt_err *err)
{
	struct gt_err what = err ? *err : (struct gt_err){0};
	return gt_fail(err, code, "%s; run the test again from setup, without --load-inputs", what.text);
}

gt_code gt_record_read(const char *folder, json_t **records, struct gt_err *err)
{
	char *path = gt_path_join(folder, "stages.json");
	gt_code rc = gt_json_read_sealed(path, FORMAT, records, err);
	if (!rc)
		rc = check_stages(*records, path, err);
	if (rc) {
		json_decref(*records);
		*records = NULL;
	}
	free(path);
	if (rc == GT_NOT_FOUND)
		return GT_OK;
	return rc == GT_BAD_DATA ? advise(rc, err) : rc;
}

gt_code gt_record_write(const char *folder, const json_t *records, struct gt_err *err)
{
	char *path = gt_path_join(folder, "stages.json");
	gt_file_make_way(path); // a job may have put a folder there
	gt_code rc = gt_json_write_sealed(path, records, err);
	free(path);
	return rc;
}

gt_code gt_record_read_test(const char *folder, json_t **test, struct gt_err *err)
{
	char *path = gt_path_join(folder, "test.json");
	gt_code rc = gt_json_read_sealed(path, FORMAT, test, err);
	free(path);
	return rc == GT_BAD_DATA ? advise(rc, err) : rc;
}

gt_code gt_record_write_test(const char *folder, const struct gt_case *test, const json_t *options,
                             struct gt_err *err)
{
	char *path = gt_path_join(folder, "test.json");
	json_t *json = json_pack("{s:i,s:o,s:O}", "format", FORMAT, "test", gt_case_to_json(test),
	                         "options", options);
	gt_file_make_way(path);
	gt_code rc = gt_json_write_sealed(path, json, err);
	json_decref(json);
	free(path);
	return rc;
}

// --- what they hold

static json_t *seconds_json(double seconds)
{
	return json_real(round(seconds * 1e6) / 1e6);
}

// The key of a crash and its first frames; all of them are in the log.
static json_t *crash_json(const struct gt_ending *e)
{
	json_t *frames = json_array();
	char key[17] = "";
	if (e->report.crash)
		snprintf(key, sizeof key, "%016" PRIx64, e->report.crash);
	for (const char *line = e->backtrace; *line && json_array_size(frames) < CRASH_FRAMES;) {
		size_t length = strcspn(line, "\n"), number = strcspn(line, " \n");
		if (*line == '#' && number < length)
			json_array_append_new(frames, json_stringn(line + number + 1, length - number - 1));
		line += length + (line[length] == '\n');
	}
	return json_pack("{s:s,s:o}", "key", key, "frames", frames);
}

// The reply of a job is not to be believed blindly: what could not be read back is left out.
static json_t *proper_files(const json_t *files)
{
	json_t *list = json_array(), *entry;
	size_t i;
	json_array_foreach(files, i, entry)
		if (is_file_entry(entry, false))
			json_array_append(list, entry);
	return list;
}

void gt_record_facts(json_t *object, int attempt, const struct gt_ending *e)
{
	const struct gt_job_report *p = &e->report;
	json_t *detail = json_object_get(e->reply, "detail");
	gt_json_set(object, "attempt", json_integer(attempt));
	gt_json_set(object, "ok", json_boolean(e->ok));
	gt_json_set(object, "why", json_string(e->why));
	gt_json_set(object, "message", gt_json_text(e->message ? e->message : ""));
	gt_json_set(object, "seconds", seconds_json(e->seconds));
	if (p->magic == GT_REPORT_MAGIC) { // else nobody has counted
		gt_json_set(object, "user_seconds", seconds_json((double)p->user_us / 1e6));
		gt_json_set(object, "system_seconds", seconds_json((double)p->system_us / 1e6));
		gt_json_set(object, "max_rss_kb", json_integer(p->max_rss_kb));
		gt_json_set(object, "output_bytes", json_integer((json_int_t)p->output_bytes));
		gt_json_set(object, "dropped_bytes", json_integer((json_int_t)p->dropped_bytes));
	}
	gt_json_set(object, "leftovers", json_integer(p->leftovers));
	if (e->backtrace)
		gt_json_set(object, "crash", crash_json(e));
	if (p->leftovers)
		gt_json_set(object, "leaked", gt_json_text(p->leftover_names));
	gt_json_set(object, "files", proper_files(json_object_get(e->reply, "files")));
	gt_json_set(object, "detail", json_is_object(detail) ? json_incref(detail) : json_object());
}

void gt_record_lose_files(json_t *records)
{
	const char *name;
	json_t *record;
	json_object_foreach(json_object_get(records, "stages"), name, record)
		gt_json_set(record, "files", json_array());
}

static void append_inputs(json_t *list, const json_t *from)
{
	size_t i;
	json_t *entry;
	json_array_foreach(from, i, entry)
		if (is_file_entry(entry, true))
			json_array_append_new(list, json_pack("{s:O,s:O}", "name", json_object_get(entry, "name"),
			                                      "hash", json_object_get(entry, "hash")));
}

json_t *gt_record_make(json_t *facts, json_t *inputs, json_t *basis, json_t *tool)
{
	// What is taken out here stays in the event, which is written next; the rest both have.
	json_t *record = json_copy(facts);
	json_t *detail = json_copy(json_object_get(facts, "detail"));
	json_t *list = json_array();
	json_object_del(record, "event");
	json_object_del(record, "test");
	json_object_del(record, "stage");
	append_inputs(list, inputs);
	append_inputs(list, json_object_get(detail, "sources"));
	json_object_del(detail, "sources");
	gt_json_set(record, "detail", detail);
	json_decref(inputs);
	gt_json_set(record, "inputs", list);
	gt_json_set(record, "basis", basis);
	gt_json_set(record, "tool", tool ? json_incref(tool) : json_object());
	return record;
}

void gt_record_begin_loading(json_t *stages, const char *stage)
{
	json_t *loads = json_object_get(json_object_get(stages, stage), GT_RECORD_LOADS);
	if (loads)
		gt_json_set(stages, stage, json_incref(loads));
}

void gt_record_end_loading(const json_t *stages, const char *stage, json_t *record)
{
	json_t *before = json_object_get(stages, stage);
	if (before && gt_json_bool_or(before, "ok", false) && !gt_json_bool_or(record, "ok", false))
		gt_json_set(record, GT_RECORD_LOADS, json_incref(before));
}

static void adopt(const json_t *record, const char *name, const char *hash, uint64_t bytes)
{
	size_t i;
	json_t *file;
	json_array_foreach(json_object_get(record, "files"), i, file) {
		if (strcmp(gt_json_string_or(file, "name", ""), name) != 0 ||
		    strcmp(gt_json_string_or(file, "hash", ""), hash) == 0)
			continue;
		gt_json_set(file, "hash", json_string(hash));
		gt_json_set(file, "bytes", json_integer((json_int_t)bytes));
		gt_json_set(file, "by_hand", json_true());
	}
}

gt_code gt_record_trust(const char *folder, json_t *inputs, json_t *stages, struct gt_err *err)
{
	gt_code rc = GT_OK;
	size_t i;
	json_t *input;
	json_array_foreach(inputs, i, input) {
		char hash[GT_HASH_SIZE];
		uint64_t bytes;
		const char *name = gt_json_string_or(input, "name", "");
		char *path = gt_path_join(folder, name);
		if (!rc)
			rc = gt_hash_file(path, hash, &bytes, err);
		free(path);
		if (rc)
			break;
		gt_json_set(input, "hash", json_string(hash));
		adopt(json_object_get(stages, gt_json_string_or(input, "stage", "")), name, hash, bytes);
	}
	return rc;
}
