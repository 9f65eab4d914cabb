#include "run/record.h"

#include "base/file.h"
#include "base/hash.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT 1

// Frames of a crash that a record has.
#define CRASH_FRAMES 10

json_t *gt_record_new(void)
{
	return json_pack("{s:i,s:{}}", "format", FORMAT, "stages");
}

gt_code gt_record_read(const char *folder, json_t **records, struct gt_err *err)
{
	char *path = gt_path_join(folder, "stages.json");
	gt_code rc = GT_OK;
	*records = NULL;
	if (gt_is_file(path))
		rc = gt_json_read(path, records, err);
	if (!rc && *records)
		rc = gt_json_check_format(*records, FORMAT, path, err);
	if (!rc && *records && !json_is_object(json_object_get(*records, "stages")))
		rc = gt_fail(err, GT_BAD_DATA, "'%s' has no object \"stages\"", path);
	if (rc) {
		json_decref(*records);
		*records = NULL;
	}
	free(path);
	return rc;
}

gt_code gt_record_write(const char *folder, const json_t *records, struct gt_err *err)
{
	char *path = gt_path_join(folder, "stages.json");
	gt_code rc = gt_json_write(path, records, err);
	free(path);
	return rc;
}

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

void gt_record_facts(json_t *object, int attempt, const struct gt_ending *e)
{
	const struct gt_job_report *p = &e->report;
	json_t *files = json_object_get(e->reply, "files");
	json_t *detail = json_object_get(e->reply, "detail");
	gt_json_set(object, "attempt", json_integer(attempt));
	gt_json_set(object, "ok", json_boolean(e->ok));
	gt_json_set(object, "why", json_string(e->why));
	gt_json_set(object, "message", gt_json_text(e->message ? e->message : ""));
	gt_json_set(object, "seconds", seconds_json(e->seconds));
	gt_json_set(object, "user_seconds", seconds_json((double)p->user_us / 1e6));
	gt_json_set(object, "system_seconds", seconds_json((double)p->system_us / 1e6));
	gt_json_set(object, "max_rss_kb", json_integer(p->max_rss_kb));
	gt_json_set(object, "output_bytes", json_integer((json_int_t)p->output_bytes));
	gt_json_set(object, "dropped_bytes", json_integer((json_int_t)p->dropped_bytes));
	gt_json_set(object, "leftovers", json_integer(p->leftovers));
	if (e->backtrace)
		gt_json_set(object, "crash", crash_json(e));
	if (p->leftovers)
		gt_json_set(object, "leaked", gt_json_text(p->leftover_names));
	gt_json_set(object, "files", json_is_array(files) ? json_incref(files) : json_array());
	gt_json_set(object, "detail", json_is_object(detail) ? json_incref(detail) : json_object());
}

// Only what has a name and a hash: the reply of a job is not to be believed blindly.
static void append_inputs(json_t *list, const json_t *from)
{
	size_t i;
	json_t *entry;
	json_array_foreach(from, i, entry) {
		json_t *name = json_object_get(entry, "name"), *hash = json_object_get(entry, "hash");
		if (json_is_string(name) && json_is_string(hash))
			json_array_append_new(list, json_pack("{s:O,s:O}", "name", name, "hash", hash));
	}
}

json_t *gt_record_make(const json_t *facts, json_t *inputs, json_t *basis, const json_t *tool)
{
	json_t *record = json_deep_copy(facts);
	json_t *detail = json_object_get(record, "detail");
	json_t *list = json_array();
	json_object_del(record, "event");
	json_object_del(record, "test");
	json_object_del(record, "stage");
	append_inputs(list, inputs);
	append_inputs(list, json_object_get(detail, "sources"));
	json_object_del(detail, "sources");
	json_decref(inputs);
	gt_json_set(record, "inputs", list);
	gt_json_set(record, "basis", basis);
	gt_json_set(record, "tool", tool ? json_deep_copy(tool) : json_object());
	return record;
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
