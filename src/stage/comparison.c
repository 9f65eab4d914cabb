// comparison: outputs against golden outputs; decides PASS or Numerics. Loads no engine.
#include "stage/numbers.h"
#include "stage/stage.h"

#include <stdlib.h>
#include <string.h>

struct findings {
	json_t *outputs;           // of all sets, for comparison.json
	struct gt_buf log;         // the same for people
	enum gt_difference difference; // of the first set and output that differs
	struct gt_buf sentence;
	size_t sets, total, mismatches;
	bool vacuous;              // every output is
};

static void note_first(struct findings *f, size_t set, enum gt_difference d, const char *sentence)
{
	if (f->difference != GT_DIFF_NONE)
		return;
	f->difference = d;
	if (f->sets > 1)
		gt_buf_printf(&f->sentence, "data set %zu: ", set);
	gt_buf_puts(&f->sentence, sentence);
}

static void set_index(json_t *json, const struct gt_tensor *t, size_t at)
{
	struct gt_buf index = {0};
	gt_index_describe(t->rank, t->dims, at, &index);
	gt_json_set(json, "index", json_string(gt_buf_text(&index)));
	gt_buf_free(&index);
}

// An element: exact, also where a double is not.
static json_t *element(const struct gt_comparison *r, double value, uint64_t exact)
{
	return r->is_integer ? gt_integer_json(exact, r->is_signed) : gt_json_real(value);
}

static json_t *error_at(json_t *value, const struct gt_tensor *t, size_t at)
{
	json_t *json = json_object();
	gt_json_set(json, "value", value);
	set_index(json, t, at);
	return json;
}

static json_t *largest_error(const struct gt_comparison *r)
{
	return r->is_integer ? gt_integer_json(r->exact_max_abs, false) : gt_json_real(r->max_abs);
}

static json_t *pair_to_json(const struct gt_comparison *r, const struct gt_tensor *gold)
{
	json_t *json = json_object();
	gt_json_set(json, "difference", json_string(gt_difference_name(r->difference)));
	gt_json_set(json, "total", json_integer((json_int_t)r->total));
	gt_json_set(json, "mismatches", json_integer((json_int_t)r->mismatches));
	if (r->finite_pairs) {
		gt_json_set(json, "max_absolute_error", error_at(largest_error(r), gold, r->max_abs_at));
		gt_json_set(json, "max_relative_error", error_at(gt_json_real(r->max_rel), gold, r->max_rel_at));
	}
	if (r->mismatches) {
		json_t *first = error_at(element(r, r->first_out, r->exact_out), gold, r->first_mismatch);
		gt_json_set(first, "gold", element(r, r->first_gold, r->exact_gold));
		gt_json_set(json, "first_mismatch", first);
	}
	gt_json_set(json, "nan", json_pack("{s:I,s:I}", "output", (json_int_t)r->nan_out, "gold",
	                                   (json_int_t)r->nan_gold));
	gt_json_set(json, "inf", json_pack("{s:I,s:I}", "output", (json_int_t)r->inf_out, "gold",
	                                   (json_int_t)r->inf_gold));
	gt_json_set(json, "vacuous", json_boolean(r->vacuous));
	return json;
}

static const char *element_text(const struct gt_comparison *r, double value, uint64_t exact,
                                enum gt_dtype type, char text[GT_NUMBER_SIZE])
{
	return r->is_integer ? gt_integer_text(exact, r->is_signed, text)
	                     : gt_real_text(value, type, text);
}

// The largest errors are those of finite pairs. Where none of these is at fault, nothing is said:
// an error of 0 would belittle what is wrong elsewhere.
static void describe_errors(const struct gt_comparison *r, struct gt_buf *text)
{
	char exact[GT_NUMBER_SIZE];
	if (r->finite_pairs == 0 || (r->mismatches && r->finite_mismatches == 0))
		return;
	gt_buf_printf(text, "; largest error%s ",
	              r->finite_mismatches < r->mismatches ? " over the finite values" : "");
	if (r->is_integer)
		gt_buf_puts(text, gt_integer_text(r->exact_max_abs, false, exact));
	else
		gt_buf_printf(text, "%.3g", r->max_abs);
	gt_buf_printf(text, " absolute, %.3g relative", r->max_rel);
}

// One sentence about a pair that differs.
static void describe(const struct gt_comparison *r, const struct gt_value *out,
                     const struct gt_value *gold, struct gt_buf *text)
{
	struct gt_buf a = {0}, b = {0};
	gt_tensor_describe(&out->tensor, &a);
	gt_tensor_describe(&gold->tensor, &b);
	if (r->difference == GT_DIFF_VALUE) {
		struct gt_buf index = {0};
		gt_index_describe(gold->tensor.rank, gold->tensor.dims, r->first_mismatch, &index);
		enum gt_dtype type = gold->tensor.type;
		char is[GT_NUMBER_SIZE], right[GT_NUMBER_SIZE];
		gt_buf_printf(text, "%zu of %zu values differ, the first at %s: %s where %s is right",
		              r->mismatches, r->total, gt_buf_text(&index),
		              element_text(r, r->first_out, r->exact_out, type, is),
		              element_text(r, r->first_gold, r->exact_gold, type, right));
		describe_errors(r, text);
		gt_buf_free(&index);
	} else {
		gt_buf_printf(text, "%s is %s where %s is right", gt_difference_name(r->difference),
		              gt_buf_text(&a), gt_buf_text(&b));
	}
	gt_buf_free(&a);
	gt_buf_free(&b);
}

static void compare_pair(struct findings *f, const struct gt_options *o, size_t set, size_t i,
                         const struct gt_value *out, const struct gt_value *gold)
{
	struct gt_comparison r;
	struct gt_buf text = {0}, shape = {0};
	gt_compare(&out->tensor, &gold->tensor, &o->tolerance, &r);
	f->total += r.total;
	f->mismatches += r.mismatches;
	f->vacuous = f->vacuous && r.vacuous;
	gt_tensor_describe(&gold->tensor, &shape);

	gt_buf_printf(&f->log, "output %zu '%s' %s: ", i, gold->name, gt_buf_text(&shape));
	if (r.difference == GT_DIFF_NONE) {
		gt_buf_printf(&f->log, "%zu of %zu values match", r.total - r.mismatches, r.total);
		describe_errors(&r, &f->log);
	} else {
		describe(&r, out, gold, &text);
		gt_buf_puts(&f->log, gt_buf_text(&text));
		char *sentence = gt_format("output %zu '%s': %s", i, gold->name, gt_buf_text(&text));
		note_first(f, set, r.difference, sentence);
		free(sentence);
	}
	if (r.vacuous)
		gt_buf_puts(&f->log, " (vacuous: all zeros would match too)");
	gt_buf_puts(&f->log, "\n");

	json_t *json = pair_to_json(&r, &gold->tensor);
	gt_json_set(json, "set", json_integer((json_int_t)set));
	gt_json_set(json, "output", json_integer((json_int_t)i));
	gt_json_set(json, "name", gt_json_text(gold->name));
	gt_json_set(json, "gold", json_string(gt_buf_text(&shape)));
	json_array_append_new(f->outputs, json);
	gt_buf_free(&shape);
	gt_buf_free(&text);
}

static gt_code compare_set(struct gt_stage_context *c, struct findings *f, size_t set,
                           struct gt_err *err)
{
	struct gt_values out = {0}, gold = {0};
	char *raw = gt_stage_set_folder(c, set);
	char *folder = c->test->kind == GT_CASE_PYTHON ? gt_path_join(raw, "processed")
	                                               : gt_strdup(raw);
	gt_code rc = gt_values_load(folder, "golden_output", &gold, err);
	if (!rc)
		rc = gt_values_load(folder, "output", &out, err);
	if (f->sets > 1)
		gt_buf_printf(&f->log, "data set %zu\n", set);
	if (!rc && out.count != gold.count) {
		char *text = gt_format("the module returns %zu output%s where %zu %s right", out.count,
		                       out.count == 1 ? "" : "s", gold.count,
		                       gold.count == 1 ? "is" : "are");
		note_first(f, set, GT_DIFF_COUNT, text);
		gt_buf_printf(&f->log, "%s\n", text);
		free(text);
		f->vacuous = false;
	}
	for (size_t i = 0; !rc && i < out.count && i < gold.count; i++)
		compare_pair(f, c->options, set, i, &out.items[i], &gold.items[i]);
	free(folder);
	free(raw);
	gt_values_free(&gold);
	gt_values_free(&out);
	return rc;
}

static json_t *findings_to_json(const struct findings *f, const struct gt_options *o)
{
	json_t *json = json_object();
	gt_json_set(json, "format", json_integer(1));
	gt_json_set(json, "match", json_boolean(f->difference == GT_DIFF_NONE));
	gt_json_set(json, "difference", json_string(gt_difference_name(f->difference)));
	gt_json_set(json, "message", gt_json_text(gt_buf_text(&f->sentence)));
	gt_json_set(json, "atol", gt_json_real(o->tolerance.atol));
	gt_json_set(json, "rtol", gt_json_real(o->tolerance.rtol));
	gt_json_set(json, "integer_tolerance", json_boolean(o->tolerance.for_integers));
	gt_json_set(json, "nan_equal", json_boolean(o->tolerance.nan_equal));
	gt_json_set(json, "total", json_integer((json_int_t)f->total));
	gt_json_set(json, "mismatches", json_integer((json_int_t)f->mismatches));
	gt_json_set(json, "vacuous", json_boolean(f->vacuous));
	return json;
}

static gt_code save(struct gt_stage_context *c, struct findings *f, struct gt_err *err)
{
	char *log = gt_path_join(c->folder, "inference_comparison.log");
	char *json_path = gt_path_join(c->folder, "comparison.json");
	struct gt_buf text = {0};
	gt_buf_printf(&text, "rule: |output - gold| <= %g + %g * |gold|%s; NaN %s NaN\n",
	              c->options->tolerance.atol, c->options->tolerance.rtol,
	              c->options->tolerance.for_integers ? ", integers too" : "; integers exact",
	              c->options->tolerance.nan_equal ? "equals" : "never equals");
	gt_buf_append(&text, f->log.data, f->log.length);
	gt_buf_printf(&text, "%s: %zu of %zu values match\n",
	              f->difference == GT_DIFF_NONE ? "PASS" : "Numerics", f->total - f->mismatches,
	              f->total);

	json_t *json = findings_to_json(f, c->options);
	json_object_update(c->detail, json);
	json_object_del(c->detail, "format");
	gt_json_set(json, "outputs", json_incref(f->outputs));
	gt_code rc = gt_file_write(log, text.data, text.length, err);
	char *exact = gt_exact_json(json);
	if (!rc && !exact)
		rc = gt_fail(err, GT_INTERNAL, "cannot write '%s' as JSON", json_path);
	if (!rc)
		rc = gt_file_write(json_path, exact, strlen(exact), err);
	free(exact);
	if (!rc) {
		gt_names_add(&c->written, "inference_comparison.log");
		gt_names_add(&c->written, "comparison.json");
	}
	json_decref(json);
	gt_buf_free(&text);
	free(json_path);
	free(log);
	return rc;
}

gt_code gt_stage_comparison(struct gt_stage_context *c, struct gt_err *err)
{
	struct findings f = {.outputs = json_array(), .sets = gt_stage_set_count(c->test),
	                     .vacuous = true};
	gt_code rc = GT_OK;
	for (size_t set = 0; !rc && set < f.sets; set++)
		rc = compare_set(c, &f, set, err);
	f.vacuous = f.vacuous && f.total > 0;
	if (!rc)
		rc = save(c, &f, err);
	json_decref(f.outputs);
	gt_buf_free(&f.log);
	gt_buf_free(&f.sentence);
	return rc;
}
