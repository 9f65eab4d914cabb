#include "stage/stored.h"

#include "base/hash.h"
#include "stage/stage.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// More digits than any number of values needs; a number never overflows.
#define MAX_DIGITS 6

// The K of "<stem>_K.pb" as ONNX writes it: digits without a leading zero.
static bool parse_number(const char *name, const char *stem, size_t *number)
{
	size_t n = strlen(stem);
	if (strncmp(name, stem, n) != 0 || name[n] != '_')
		return false;
	const char *digits = name + n + 1;
	size_t length = strspn(digits, "0123456789");
	if (length == 0 || length > MAX_DIGITS || (digits[0] == '0' && length > 1) ||
	    strcmp(digits + length, ".pb") != 0)
		return false;
	*number = strtoul(digits, NULL, 10);
	return true;
}

gt_code gt_stored_count(const char *folder, const char *stem, size_t *count, struct gt_err *err)
{
	struct gt_names names = {0};
	size_t number;
	*count = 0;
	gt_code rc = gt_list_folder(folder, &names, err);
	for (size_t i = 0; !rc && i < names.count; i++)
		if (parse_number(names.items[i], stem, &number) && number >= *count)
			*count = number + 1;
	gt_names_free(&names);
	return rc;
}

// ---- one file

static gt_code read_value(const struct gt_stored *s, const char *path, enum gt_kind kind,
                          struct gt_value *value, struct gt_err *err)
{
	char hash[GT_HASH_SIZE];
	gt_code rc = gt_hash_file(path, hash, NULL, err);
	if (!rc) {
		json_array_append_new(s->sources, json_pack("{s:o,s:s}", "name", gt_json_text(path),
		                                            "hash", hash));
		rc = gt_onnx_read_value(path, kind, value, err);
	}
	return gt_stage_source_failed(rc, err);
}

// The graph's name counts, not the one stored with the data.
static void rename_value(struct gt_value *value, const char *name)
{
	free(value->name);
	value->name = gt_strdup(name);
}

static bool fits(const struct gt_tensor *t, const struct gt_onnx_port *port)
{
	if (port->type != GT_DTYPE_UNDEFINED && t->type != port->type)
		return false;
	if (!port->has_shape)
		return true;
	if (t->rank != port->rank)
		return false;
	for (uint32_t i = 0; i < t->rank; i++)
		if (port->dims[i].value >= 0 && port->dims[i].value != t->dims[i])
			return false;
	return true;
}

static gt_code check_fit(const struct gt_tensor *t, const struct gt_onnx_port *port,
                         const char *path, struct gt_err *err)
{
	if (fits(t, port))
		return GT_OK;
	struct gt_buf is = {0}, right = {0};
	gt_tensor_describe(t, &is);
	gt_onnx_port_describe(port, &right);
	gt_fail(err, GT_BAD_DATA, "'%s' holds %s, the model says %s", path, gt_buf_text(&is),
	        gt_buf_text(&right));
	gt_buf_free(&is);
	gt_buf_free(&right);
	return GT_BAD_DATA;
}

// ---- inputs

// Which file is which input. Both lists run over all inputs of the graph, by position.
struct binding {
	size_t total;                     // inputs of the graph
	const struct gt_onnx_port **ports;
	size_t *files;                    // number of its file, NONE for none
	struct gt_values read;            // the values of the files, by number
	char **paths;
};

#define NONE SIZE_MAX

static bool is_default(const struct gt_onnx_model *m, const struct gt_onnx_port *port)
{
	return port >= m->defaults && port < m->defaults + m->default_count;
}

// ONNX says that a name stands for one size in the whole model. Some exporters write marks such as
// "?" where a name belongs; only identifiers are names.
static bool is_identifier(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
	return name && !(name[0] >= '0' && name[0] <= '9') && name[0] &&
	       name[strspn(name, letters)] == '\0';
}

static gt_code check_names(const struct gt_values *inputs, const struct gt_onnx_model *m,
                           struct gt_err *err)
{
	json_t *seen = json_object(); // name of a dimension: number of the input, size
	gt_code rc = GT_OK;
	for (size_t i = 0; !rc && i < m->input_count; i++) {
		const struct gt_onnx_port *port = &m->inputs[i];
		for (uint32_t k = 0; !rc && port->has_shape && k < port->rank; k++) {
			const char *name = port->dims[k].name;
			int64_t size = inputs->items[i].tensor.dims[k], before;
			if (port->dims[k].value >= 0 || !is_identifier(name))
				continue;
			const json_t *earlier = json_object_get(seen, name);
			if (!earlier) {
				gt_json_set(seen, name, json_pack("[I,I]", (json_int_t)i, (json_int_t)size));
				continue;
			}
			before = json_integer_value(json_array_get(earlier, 1));
			size_t other = (size_t)json_integer_value(json_array_get(earlier, 0));
			if (before != size)
				rc = gt_fail(err, GT_BAD_DATA,
				             "the model's dimension '%s' is %" PRId64 " in the stored input %zu '%s' "
				             "and %" PRId64 " in input %zu '%s'", name, before,
				             m->inputs[other].position, m->inputs[other].name, size,
				             port->position, port->name);
		}
	}
	json_decref(seen);
	return rc;
}

// Names stored with the data say which input each is, if all of them do.
static bool bind_by_names(struct binding *b)
{
	for (size_t f = 0; f < b->read.count; f++) {
		size_t p = 0;
		while (p < b->total && strcmp(b->ports[p]->name, b->read.items[f].name) != 0)
			p++;
		if (p == b->total || b->files[p] != NONE) {
			for (size_t i = 0; i < b->total; i++)
				b->files[i] = NONE;
			return false;
		}
		b->files[p] = f;
	}
	return true;
}

// Files stand for the inputs by position: for those without initializer if they suffice, as ONNX
// writes its own tests, else for all inputs of the graph.
static void bind_by_position(struct binding *b, const struct gt_onnx_model *m, size_t count)
{
	if (count <= m->input_count)
		for (size_t i = 0; i < count; i++)
			b->files[m->inputs[i].position] = i;
	else
		for (size_t i = 0; i < count; i++)
			b->files[i] = i;
}

static gt_code read_file(const struct gt_stored *s, struct binding *b, size_t file,
                         const struct gt_onnx_port *port, struct gt_err *err)
{
	struct gt_value *value = gt_values_add(&b->read, "");
	gt_code rc = read_value(s, b->paths[file], port->kind, value, err);
	return rc ? gt_err_context(err, "input %zu '%s'", port->position, port->name) : GT_OK;
}

// The kind of each file must be known to read it, and the names in it to bind it. A model with
// inputs that are no tensors is bound by position alone: nothing that is none can be carried.
static gt_code read_files(const struct gt_stored *s, struct binding *b, size_t count,
                          struct gt_err *err)
{
	const struct gt_onnx_model *m = s->model;
	bool tensors = true;
	for (size_t i = 0; i < b->total; i++)
		tensors = tensors && b->ports[i]->kind == GT_KIND_TENSOR;
	bind_by_position(b, m, count);
	gt_code rc = GT_OK;
	for (size_t f = 0; !rc && f < count; f++)
		for (size_t p = 0; p < b->total; p++)
			if (b->files[p] == f) {
				rc = read_file(s, b, f, b->ports[p], err);
				break;
			}
	if (rc || !tensors || m->default_count == 0)
		return rc;
	for (size_t i = 0; i < b->total; i++)
		b->files[i] = NONE;
	if (!bind_by_names(b))
		bind_by_position(b, m, count);
	return GT_OK;
}

// An input with an initializer is a constant to the importer, so only the same value can be stored.
static gt_code check_default(const struct gt_stored *s, const struct gt_onnx_port *port,
                             const struct gt_tensor *t, struct gt_err *err)
{
	struct gt_tensor own;
	gt_code rc = gt_onnx_read_initializer(s->path, port->name, &own, err);
	if (rc)
		return gt_fail(err, GT_UNSUPPORTED,
		               "a value is stored for an input that has an initializer, which is a "
		               "constant here, and whether they are equal cannot be said");
	bool equal = own.type == t->type && own.rank == t->rank && own.bytes == t->bytes &&
	             memcmp(own.dims, t->dims, t->rank * sizeof t->dims[0]) == 0 &&
	             (t->bytes == 0 || memcmp(own.data, t->data, t->bytes) == 0);
	gt_tensor_free(&own);
	return equal ? GT_OK
	             : gt_fail(err, GT_UNSUPPORTED,
	                       "the value stored for it is not that of its initializer, which is a "
	                       "constant here and cannot be overridden");
}

// Hand over what was read, in the model's order.
static gt_code take(const struct gt_stored *s, struct binding *b, const char *folder,
                    struct gt_values *inputs, struct gt_err *err)
{
	gt_code rc = GT_OK;
	for (size_t p = 0; !rc && p < b->total; p++) {
		const struct gt_onnx_port *port = b->ports[p];
		size_t f = b->files[p];
		if (f == NONE && !is_default(s->model, port))
			return gt_fail(err, GT_BAD_DATA, "'%s': input %zu '%s' of the model is not stored",
			               folder, p, port->name);
		if (f == NONE)
			continue;
		struct gt_value *value = &b->read.items[f];
		rc = check_fit(&value->tensor, port, b->paths[f], err);
		if (!rc && is_default(s->model, port)) {
			rc = check_default(s, port, &value->tensor, err);
		} else if (!rc) {
			struct gt_value *input = gt_values_add(inputs, "");
			free(input->name);
			*input = *value;
			*value = (struct gt_value){0};
			rename_value(input, port->name);
		}
		if (rc)
			gt_err_context(err, "input %zu '%s'", p, port->name);
	}
	return rc;
}

// As many files as there may be, and none missing in the middle.
static gt_code check_count(const struct gt_stored *s, char *const *paths, size_t count,
                           size_t outputs, struct gt_err *err)
{
	const struct gt_onnx_model *m = s->model;
	size_t total = m->input_count + m->default_count;
	if (count > total)
		return gt_fail(err, GT_BAD_DATA, "the data set has more inputs than the model's %zu", total);
	if (count == 0 && outputs == 0)
		return gt_fail(err, GT_BAD_DATA, "the data set is empty");
	for (size_t i = 0; i < count; i++)
		if (!gt_is_file(paths[i]))
			return gt_fail(err, GT_BAD_DATA,
			               "the data set has a gap: input %zu is stored, but not input %zu, which "
			               "would be '%s'", count - 1, i, paths[i]);
	if (count < m->input_count && m->default_count == 0)
		return gt_fail(err, GT_BAD_DATA, "input %zu '%s' of the model's %zu is not stored", count,
		               m->inputs[count].name, m->input_count);
	return GT_OK;
}

gt_code gt_stored_inputs(const struct gt_stored *s, const char *folder, struct gt_values *inputs,
                         struct gt_err *err)
{
	const struct gt_onnx_model *m = s->model;
	struct binding b = {.total = m->input_count + m->default_count};
	size_t count, outputs = 0;
	gt_code rc = gt_stored_count(folder, "input", &count, err);
	if (!rc)
		rc = gt_stored_count(folder, "output", &outputs, err);
	if (rc)
		return rc;
	size_t slots = count <= b.total ? count : 0;
	b.ports = gt_zalloc(b.total, sizeof *b.ports);
	b.files = gt_zalloc(b.total, sizeof *b.files);
	b.paths = gt_zalloc(slots, sizeof *b.paths);
	for (size_t i = 0; i < slots; i++)
		b.paths[i] = gt_format("%s/input_%zu.pb", folder, i);
	for (size_t i = 0; i < b.total; i++)
		b.files[i] = NONE;
	for (size_t i = 0; i < m->input_count; i++)
		b.ports[m->inputs[i].position] = &m->inputs[i];
	for (size_t i = 0; i < m->default_count; i++)
		b.ports[m->defaults[i].position] = &m->defaults[i];
	rc = check_count(s, b.paths, count, outputs, err);
	if (rc)
		gt_err_context(err, "'%s'", folder);
	if (!rc)
		rc = read_files(s, &b, count, err);
	if (!rc)
		rc = take(s, &b, folder, inputs, err);
	if (!rc && (rc = check_names(inputs, m, err)))
		gt_err_context(err, "'%s'", folder);
	for (size_t i = 0; i < slots; i++)
		free(b.paths[i]);
	gt_values_free(&b.read);
	free(b.paths);
	free(b.files);
	free(b.ports);
	return rc;
}

// ---- outputs

static gt_code read_output(const struct gt_stored *s, const char *path, size_t i,
                           struct gt_values *gold, struct gt_err *err)
{
	const struct gt_onnx_port *port = &s->model->outputs[i];
	if (!gt_is_file(path))
		return gt_fail(err, GT_BAD_DATA,
		               "output %zu '%s' of the model's %zu is not stored: there is no '%s'", i,
		               port->name, s->model->output_count, path);
	struct gt_value *value = gt_values_add(gold, port->name);
	gt_code rc = read_value(s, path, port->kind, value, err);
	if (rc)
		return gt_err_context(err, "stored output %zu '%s'", i, port->name);
	rename_value(value, port->name);
	return GT_OK;
}

gt_code gt_stored_outputs(const struct gt_stored *s, const char *folder,
                          const struct gt_names *files, struct gt_values *gold, struct gt_err *err)
{
	size_t count = files ? files->count : 0, outputs = s->model->output_count;
	gt_code rc = files ? GT_OK : gt_stored_count(folder, "output", &count, err);
	if (!rc && count > outputs)
		rc = gt_fail(err, GT_BAD_DATA, "more outputs are stored than the model's %zu", outputs);
	if (!rc && files && count < outputs)
		rc = gt_fail(err, GT_BAD_DATA, "output %zu of the model's %zu is not stored", count,
		             outputs);
	if (rc && folder)
		gt_err_context(err, "'%s'", folder);
	for (size_t i = 0; !rc && i < outputs; i++) {
		char *path = files ? gt_strdup(files->items[i])
		                   : gt_format("%s/output_%zu.pb", folder, i);
		rc = read_output(s, path, i, gold, err);
		free(path);
	}
	return rc;
}
