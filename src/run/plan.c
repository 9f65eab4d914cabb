#include "run/plan.h"

#include "run/record.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

json_t *gt_plan_limits(const struct gt_plan *plan)
{
	json_t *seconds = json_object(), *limits = json_object();
	for (enum gt_stage_id s = 0; s < GT_STAGE_COUNT; s++)
		if (plan->stages[s])
			gt_json_set(seconds, gt_stage(s)->name, gt_json_real(plan->limits_s[s]));
	gt_json_set(limits, "seconds", seconds);
	gt_json_set(limits, "memory", json_integer((json_int_t)plan->memory));
	gt_json_set(limits, "retries", gt_retries_to_json(&plan->retries));
	gt_json_set(limits, "leak_fails", json_boolean(plan->leak_fails));
	return limits;
}

struct gt_placement gt_plan_place(const struct gt_plan *plan, const struct gt_case *test,
                                  enum gt_stage_id stage)
{
	const struct gt_stage_row *row = gt_stage(stage);
	const struct gt_options *o = plan->options;
	struct gt_placement place = {.host = row->host};
	if (test->kind == GT_CASE_PYTHON && row->hook)
		return (struct gt_placement){.host = GT_HOST_FRONTEND, .instance = true};
	// No engine is asked where there is nothing for it to do.
	if (stage == GT_PREPROCESSING && !o->torch_to_linalg)
		place.host = GT_HOST_PLAIN;
	if (stage == GT_NATIVE_INFERENCE &&
	    gt_case_uses_stored_gold(test, o->stored_reference, o->ort_reference))
		place.host = GT_HOST_PLAIN;
	return place;
}

enum gt_stage_id gt_plan_next(const struct gt_plan *plan, enum gt_stage_id stage)
{
	while (stage < GT_STAGE_COUNT && !plan->stages[stage])
		stage++;
	return stage;
}

// --- which files a stage reads

// Those of the table are what a stage may read; this is what it does.
static const char *reads_of(const struct gt_plan *plan, const struct gt_case *test,
                            enum gt_stage_id stage)
{
	const struct gt_options *o = plan->options;
	bool python = test->kind == GT_CASE_PYTHON;
	if (stage == GT_PREPROCESSING && !o->torch_to_linalg)
		return "";
	if (stage == GT_COMPILATION && o->torch_to_linalg)
		return "model.modified.mlir";
	if (stage == GT_CONSTRUCT_INPUTS && o->load_inputs)
		return "input.json";
	if (stage == GT_NATIVE_INFERENCE && !python &&
	    gt_case_uses_stored_gold(test, o->stored_reference, o->ort_reference))
		return "model.onnx";
	if (stage == GT_POSTPROCESSING && !python)
		return "";
	if (stage == GT_COMPARISON && python)
		return "processed/golden_output.json processed/output.json";
	return gt_stage(stage)->reads;
}

static enum gt_stage_id writer_of(const char *file)
{
	enum gt_stage_id id = 0;
	for (bool found = false; id < GT_STAGE_COUNT; id++) {
		char *writes = gt_strdup(gt_stage(id)->writes), *rest = writes;
		for (char *pattern; (pattern = strtok_r(rest, " ", &rest));)
			found = found || fnmatch(pattern, file, 0) == 0;
		free(writes);
		if (found)
			break;
	}
	return id;
}

// Does who reads `entry` read this file of its writer? A model has its external data, a record of
// values its .bin files, and both are there once per data set.
static bool belongs(const char *name, const char *entry, enum gt_stage_id writer)
{
	if (writer == GT_SETUP || strcmp(name, entry) == 0)
		return true;
	const char *dot = strrchr(entry, '.');
	const char *slash = strchr(name, '/');
	if (!dot || strcmp(dot, ".json") != 0)
		return false;
	if (slash && strncmp(name, "data_set_", 9) == 0)
		name = slash + 1;
	char *bins = gt_format("%.*s.*.bin", (int)(dot - entry), entry);
	bool fits = strcmp(name, entry) == 0 || fnmatch(bins, name, FNM_PATHNAME) == 0;
	free(bins);
	return fits;
}

static void add_input(json_t *inputs, const char *name, enum gt_stage_id writer, json_t *hash)
{
	json_t *input = json_pack("{s:s,s:s}", "name", name, "stage",
	                          writer < GT_STAGE_COUNT ? gt_stage(writer)->name : "");
	if (hash)
		gt_json_set(input, "hash", json_incref(hash));
	json_array_append_new(inputs, input);
}

// `entry` itself is listed in any case, and first.
static void add_inputs(json_t *inputs, const char *entry, const json_t *records)
{
	enum gt_stage_id writer = writer_of(entry);
	const json_t *record =
		writer < GT_STAGE_COUNT ? json_object_get(records, gt_stage(writer)->name) : NULL;
	size_t i, first = json_array_size(inputs);
	json_t *file;
	add_input(inputs, entry, writer, NULL);
	json_array_foreach(json_object_get(record, "files"), i, file) {
		const char *name = gt_json_string_or(file, "name", NULL);
		json_t *hash = json_object_get(file, "hash");
		if (!name || !json_is_string(hash))
			continue;
		if (strcmp(name, entry) == 0)
			gt_json_set(json_array_get(inputs, first), "hash", json_incref(hash));
		else if (belongs(name, entry, writer))
			add_input(inputs, name, writer, hash);
	}
}

json_t *gt_plan_inputs(const struct gt_plan *plan, const struct gt_case *test,
                       enum gt_stage_id stage, const json_t *records)
{
	json_t *inputs = json_array();
	char *reads = gt_strdup(reads_of(plan, test, stage)), *rest = reads;
	for (char *entry; (entry = strtok_r(rest, " ", &rest));)
		add_inputs(inputs, entry, records);
	free(reads);
	return inputs;
}

bool gt_plan_loads(const struct gt_plan *plan, enum gt_stage_id stage)
{
	return stage == GT_CONSTRUCT_INPUTS && plan->options->load_inputs;
}

json_t *gt_plan_lent(const struct gt_plan *plan, const json_t *records)
{
	json_t *names = json_array();
	for (enum gt_stage_id id = 0; id < GT_STAGE_COUNT; id++) {
		bool loaded = gt_plan_loads(plan, id);
		const json_t *record = json_object_get(records, gt_stage(id)->name);
		const json_t *loads = json_object_get(record, GT_RECORD_LOADS);
		record = loads ? loads : record;
		size_t i;
		json_t *file;
		if (plan->stages[id] && !loaded)
			continue;
		json_array_foreach(json_object_get(record, "files"), i, file)
			json_array_append_new(names, gt_json_text(gt_json_string_or(file, "name", "")));
	}
	return names;
}

// --- may the files of earlier runs be used?

// Hashes of all files that are recorded, by name.
static json_t *known_files(const json_t *records)
{
	json_t *known = json_object();
	const char *stage;
	json_t *record, *file;
	size_t i;
	json_object_foreach((json_t *)(uintptr_t)records, stage, record) {
		json_array_foreach(json_object_get(record, "files"), i, file) {
			const char *name = gt_json_string_or(file, "name", NULL);
			json_t *hash = json_object_get(file, "hash");
			if (name && json_is_string(hash))
				gt_json_set(known, name, json_incref(hash));
		}
	}
	return known;
}

// A stage that read other files than those there now left what does not belong to them.
static gt_code check_fed(enum gt_stage_id stage, const json_t *records, const json_t *known,
                         struct gt_err *err)
{
	const json_t *record = json_object_get(records, gt_stage(stage)->name);
	size_t i;
	json_t *input;
	json_array_foreach(json_object_get(record, "inputs"), i, input) {
		const char *name = gt_json_string_or(input, "name", "");
		if (name[0] == '/') // of the suite, not of the test's folder
			continue;
		const json_t *now = json_object_get(known, name);
		if (!now)
			return gt_fail(err, GT_BAD_USAGE,
			               "run stage %s too: '%s', which it read, has not been made again since",
			               gt_stage(stage)->name, name);
		if (!json_equal(json_object_get(input, "hash"), now))
			return gt_fail(err, GT_BAD_USAGE,
			               "run stage %s too: it read another '%s' than the one that is there now",
			               gt_stage(stage)->name, name);
	}
	return GT_OK;
}

// The stages before `stage` that this run leaves out. One that failed has left nothing to use.
static gt_code check_left_out(const struct gt_plan *plan, const struct gt_case *test,
                              enum gt_stage_id stage, const json_t *records, struct gt_err *err)
{
	json_t *known = known_files(records);
	gt_code rc = GT_OK;
	for (enum gt_stage_id id = 0; !rc && id <= stage; id++) {
		const json_t *record = json_object_get(records, gt_stage(id)->name);
		// --load-inputs takes the files of the very stage that it is about.
		bool own = id == stage && gt_plan_loads(plan, id);
		bool left_out = id < stage && !plan->stages[id];
		if (!(own || left_out) || !gt_json_bool_or(record, "ok", false))
			continue;
		rc = gt_plan_check_basis(plan, test, id, records, err);
		if (!rc && !own)
			rc = check_fed(id, records, known, err);
	}
	json_decref(known);
	return rc;
}

static gt_code fail_missing(enum gt_stage_id stage, const char *file, const char *writer,
                            bool left_out, struct gt_err *err)
{
	if (stage == GT_CONSTRUCT_INPUTS && strcmp(file, "input.json") == 0)
		return gt_fail(err, GT_BAD_USAGE,
		               "run the test without --load-inputs first: no earlier run in this folder left "
		               "'%s'", file);
	if (!left_out)
		return gt_fail(err, GT_BAD_USAGE, "%s reads '%s', which stage %s did not leave",
		               gt_stage(stage)->name, file, writer);
	return gt_fail(err, GT_BAD_USAGE,
	               "%s reads '%s', but stage %s was left out and no earlier run in this folder "
	               "left one", gt_stage(stage)->name, file, writer);
}

gt_code gt_plan_check(const struct gt_plan *plan, const struct gt_case *test,
                      enum gt_stage_id stage, const json_t *records, json_t **needs,
                      struct gt_err *err)
{
	*needs = json_object();
	gt_code rc = check_left_out(plan, test, stage, records, err);
	json_t *inputs = gt_plan_inputs(plan, test, stage, records);
	size_t i;
	json_t *input;
	json_array_foreach(inputs, i, input) {
		const char *name = gt_json_string_or(input, "name", "");
		const char *writer = gt_json_string_or(input, "stage", "");
		json_t *hash = json_object_get(input, "hash");
		enum gt_stage_id id = gt_stage_parse(writer);
		bool left_out = id >= stage || !plan->stages[id];
		if (!rc && !hash)
			rc = fail_missing(stage, name, writer, left_out, err);
		if (!rc && left_out)
			gt_json_set(*needs, name, json_incref(hash));
	}
	json_decref(inputs);
	return rc;
}
