#include "run/plan.h"

#include <stdlib.h>
#include <string.h>

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

// The stage that writes a file of this name.
static const char *writer_of(const char *file)
{
	for (enum gt_stage_id id = 0; id < GT_STAGE_COUNT; id++) {
		const char *writes = gt_stage(id)->writes;
		const char *at = strstr(writes, file);
		size_t n = strlen(file);
		if (at && (at == writes || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0'))
			return gt_stage(id)->name;
	}
	return "an earlier one";
}

static gt_code need(const char *file, const char *stage, const json_t *made, const json_t *known,
                    json_t *needs, struct gt_err *err)
{
	if (json_object_get(made, file))
		return GT_OK;
	const json_t *hash = json_object_get(known, file);
	if (!hash)
		return gt_fail(err, GT_BAD_USAGE,
		               "%s reads '%s', but stage %s was left out and no earlier run in this "
		               "folder left one", stage, file, writer_of(file));
	gt_json_set(needs, file, json_incref((json_t *)(uintptr_t)hash));
	return GT_OK;
}

gt_code gt_plan_needs(const struct gt_plan *plan, const struct gt_case *test,
                      enum gt_stage_id stage, const json_t *made, const json_t *known,
                      json_t **needs, struct gt_err *err)
{
	const struct gt_stage_row *row = gt_stage(stage);
	*needs = json_object();
	if (stage == GT_PREPROCESSING && !plan->options->torch_to_linalg)
		return GT_OK;
	if (stage == GT_CONSTRUCT_INPUTS && plan->options->load_inputs)
		return need("input.json", row->name, made, known, *needs, err);
	if (stage == GT_COMPILATION && plan->options->torch_to_linalg)
		return need("model.modified.mlir", row->name, made, known, *needs, err);
	if (stage == GT_COMPARISON && test->kind == GT_CASE_PYTHON) {
		gt_code rc = need("processed/golden_output.json", row->name, made, known, *needs, err);
		return rc ? rc : need("processed/output.json", row->name, made, known, *needs, err);
	}
	gt_code rc = GT_OK;
	char *reads = gt_strdup(row->reads), *rest = reads;
	for (char *file; !rc && (file = strtok_r(rest, " ", &rest));)
		rc = need(file, row->name, made, known, *needs, err);
	free(reads);
	return rc;
}
