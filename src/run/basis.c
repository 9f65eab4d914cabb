// What stages depend on beyond files, and whether that is what an earlier run had.
#include "run/plan.h"

#include <stdlib.h>
#include <string.h>

static json_t *names_json(const struct gt_names *names)
{
	json_t *list = json_array();
	for (size_t i = 0; i < names->count; i++)
		json_array_append_new(list, gt_json_text(names->items[i]));
	return list;
}

static const char *const identity[] = {"kind", "model", "name", "sets", "outputs"};

static void put_identity(json_t *basis, const struct gt_case *test)
{
	json_t *json = gt_case_to_json(test);
	for (size_t i = 0; i < GT_COUNTOF(identity); i++)
		gt_json_set(basis, identity[i], json_incref(json_object_get(json, identity[i])));
	json_decref(json);
}

static bool is_identity(const char *member)
{
	for (size_t i = 0; i < GT_COUNTOF(identity); i++)
		if (strcmp(identity[i], member) == 0)
			return true;
	return false;
}

static void put_compilation(json_t *basis, const struct gt_options *o)
{
	struct gt_names flags = {0};
	gt_options_compile_flags(o, &flags);
	gt_json_set(basis, "backend", gt_json_text(o->backend));
	gt_json_set(basis, "torch_to_linalg", json_boolean(o->torch_to_linalg));
	gt_json_set(basis, "flags", names_json(&flags));
	gt_names_free(&flags);
}

static const char *reference_of(const struct gt_options *o, const struct gt_case *test)
{
	if (test->kind == GT_CASE_PYTHON)
		return o->ort_reference ? "ort" : "test class";
	return gt_case_uses_stored_gold(test, o->stored_reference, o->ort_reference) ? "stored" : "ort";
}

static void put_inputs(json_t *basis, const struct gt_plan *plan, const struct gt_case *test,
                       const json_t *records)
{
	const struct gt_options *o = plan->options;
	const json_t *record = json_object_get(records, gt_stage(GT_CONSTRUCT_INPUTS)->name);
	const json_t *kept = json_object_get(record, "basis");
	put_identity(basis, test);
	gt_json_set(basis, "seed", json_integer((json_int_t)o->seed));
	gt_json_set(basis, "dims", json_deep_copy(o->dims));
	if (!o->load_inputs)
		return;
	static const char *const made_from[] = {"seed", "dims"};
	for (size_t i = 0; i < GT_COUNTOF(made_from); i++)
		if (json_object_get(kept, made_from[i]))
			gt_json_set(basis, made_from[i], json_deep_copy(json_object_get(kept, made_from[i])));
}

static void put_tolerance(json_t *basis, const struct gt_tolerance *t)
{
	gt_json_set(basis, "atol", gt_json_real(t->atol));
	gt_json_set(basis, "rtol", gt_json_real(t->rtol));
	gt_json_set(basis, "integer_tolerance", json_boolean(t->for_integers));
	gt_json_set(basis, "nan_equal", json_boolean(t->nan_equal));
}

json_t *gt_plan_basis(const struct gt_plan *plan, const struct gt_case *test,
                      enum gt_stage_id stage, const json_t *records)
{
	const struct gt_options *o = plan->options;
	json_t *basis = json_object();
	switch (stage) {
	case GT_SETUP:
		put_identity(basis, test);
		break;
	case GT_IMPORT_MODEL:
		gt_json_set(basis, "opset", json_integer(test->opset));
		break;
	case GT_PREPROCESSING:
		gt_json_set(basis, "torch_to_linalg", json_boolean(o->torch_to_linalg));
		break;
	case GT_COMPILATION:
		put_compilation(basis, o);
		break;
	case GT_CONSTRUCT_INPUTS:
		put_inputs(basis, plan, test, records);
		break;
	case GT_NATIVE_INFERENCE:
		gt_json_set(basis, "reference", json_string(reference_of(o, test)));
		break;
	case GT_COMPILED_INFERENCE:
		gt_json_set(basis, "device", gt_json_text(o->device));
		break;
	case GT_COMPARISON:
		put_tolerance(basis, &o->tolerance);
		break;
	default:
		break;
	}
	// All hooks of a test class draw their random numbers from the seed.
	if (test->kind == GT_CASE_PYTHON && gt_stage(stage)->hook && stage != GT_CONSTRUCT_INPUTS)
		gt_json_set(basis, "seed", json_integer((json_int_t)o->seed));
	return basis;
}

// Items of the list `a` that `b` has not.
static json_t *without(const json_t *a, const json_t *b)
{
	json_t *rest = json_array();
	size_t i, k;
	json_t *item, *other;
	json_array_foreach(a, i, item) {
		bool found = false;
		json_array_foreach(b, k, other)
			found = found || json_equal(item, other);
		if (!found)
			json_array_append(rest, item);
	}
	return rest;
}

// Of two lists only what differs: of twenty flags that is one.
static char *difference(const char *member, const json_t *was, const json_t *is)
{
	json_t *gone = without(was, is), *new = without(is, was);
	bool lists = json_is_array(was) && json_is_array(is);
	bool some_gone = lists && json_array_size(gone), some_new = lists && json_array_size(new);
	char *then = gt_json_show(some_gone ? gone : was), *now = gt_json_show(some_new ? new : is);
	char *text;
	if (some_gone && !some_new)
		text = gt_format("with %s %s, which this run does not say", member, then);
	else if (some_new && !some_gone)
		text = gt_format("without %s %s, which this run says", member, now);
	else
		text = gt_format("with %s %s where this run says %s", member, then, now);
	free(now);
	free(then);
	json_decref(gone);
	json_decref(new);
	return text;
}

static gt_code refuse_basis(enum gt_stage_id stage, const char *member, const json_t *was,
                            const json_t *is, struct gt_err *err)
{
	gt_code rc;
	if (is_identity(member)) {
		char *then = gt_json_show(was), *now = gt_json_show(is);
		rc = gt_fail(err, GT_BAD_USAGE,
		             "run stage %s too: its files come from another test, whose %s is %s where this "
		             "one's is %s", gt_stage(stage)->name, member, then, now);
		free(now);
		free(then);
	} else {
		char *how = difference(member, was, is);
		rc = gt_fail(err, GT_BAD_USAGE, "run stage %s too: it was done %s", gt_stage(stage)->name, how);
		free(how);
	}
	return rc;
}

gt_code gt_plan_check_basis(const struct gt_plan *plan, const struct gt_case *test,
                            enum gt_stage_id stage, const json_t *records, struct gt_err *err)
{
	const json_t *record = json_object_get(records, gt_stage(stage)->name);
	json_t *was = json_object_get(record, "basis");
	if (!json_is_object(was))
		return gt_fail(err, GT_BAD_USAGE,
		               "run stage %s too: its record does not say with what it was done",
		               gt_stage(stage)->name);
	json_t *is = gt_plan_basis(plan, test, stage, records);
	gt_code rc = GT_OK;
	const char *member;
	json_t *value;
	json_object_foreach(is, member, value)
		if (!rc && !json_equal(value, json_object_get(was, member)))
			rc = refuse_basis(stage, member, json_object_get(was, member), value, err);
	json_object_foreach(was, member, value)
		if (!rc && !json_object_get(is, member))
			rc = refuse_basis(stage, member, value, NULL, err);
	json_decref(is);
	return rc;
}
