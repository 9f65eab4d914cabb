#include "run/audit.h"

#include "run/record.h"

#include <stdlib.h>
#include <string.h>

static void find(struct gt_names *findings, const struct gt_test_result *t, const char *what)
{
	char *sentence = gt_format("'%s' ended as %s, but %s", t->id, *t->status ? t->status : "nothing",
	                           what);
	gt_names_add(findings, sentence);
	free(sentence);
}

// PASS and Numerics rest on one record: that of the comparison.
static void audit_comparison(const struct gt_test_result *t, const char *folder,
                             struct gt_names *findings)
{
	json_t *records = NULL;
	struct gt_err err = {0};
	if (gt_record_read(folder, &records, &err)) {
		find(findings, t, err.text);
	} else if (!records) {
		find(findings, t, "there is no stages.json");
	} else if (strcmp(gt_json_string_or(records, "test", ""), t->id) != 0) {
		find(findings, t, "stages.json is that of another test");
	} else {
		const json_t *record =
			json_object_get(json_object_get(records, "stages"), gt_stage(GT_COMPARISON)->name);
		const json_t *match = json_object_get(json_object_get(record, "detail"), "match");
		bool passed = strcmp(t->status, GT_STATUS_PASS) == 0;
		if (!gt_json_bool_or(record, "ok", false) || !json_is_boolean(match))
			find(findings, t, "stages.json records no comparison");
		else if (json_is_true(match) != passed)
			find(findings, t, "the comparison in stages.json says otherwise");
	}
	json_decref(records);
}

void gt_audit(const struct gt_result *result, const char *rundir, struct gt_names *findings)
{
	for (size_t i = 0; i < result->test_count; i++) {
		const struct gt_test_result *t = &result->tests[i];
		char *folder = gt_path_join(rundir, t->folder);
		bool compared = strcmp(t->status, GT_STATUS_NUMERICS) == 0 ||
		                (strcmp(t->status, GT_STATUS_PASS) == 0 && !*t->why);
		if (!*t->status) {
			find(findings, t, "every test must have a result");
		} else if (compared) {
			audit_comparison(t, folder, findings);
		} else if (strcmp(t->status, GT_STATUS_PASS) != 0) {
			char *log = gt_format("%s/%s.log", folder, t->stage);
			if (!gt_is_file(log))
				find(findings, t, "the log of that stage is not there");
			free(log);
		}
		free(folder);
	}
}
