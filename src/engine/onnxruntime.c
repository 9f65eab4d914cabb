// libonnxruntime on its CPU provider, loaded at run time and never unloaded.
#include "engine/engine.h"
#include "engine/library.h"
#include "engine/ort_abi.h"

#include <stdlib.h>
#include <string.h>

static struct ort_abi ort;

// Made once in the host.
static ort_env *environment;

// The model of this job. Never destroyed: the job leaves with _exit.
static struct {
	ort_session *session;
	ort_memory_info *memory;
	char **input_names;
	size_t input_count;
	char **output_names;
	size_t output_count;
} job;

// Length of a place in sources at `text`, "/path/file.cc:12 " (or .h); 0 if there is none.
static size_t source_place(const char *text)
{
	size_t n = strcspn(text, " \n");
	size_t digits = n;
	while (digits && text[digits - 1] >= '0' && text[digits - 1] <= '9')
		digits--;
	if (text[0] != '/' || digits == n || digits < 4 || text[digits - 1] != ':')
		return 0;
	const char *end = text + digits - 1;
	return strncmp(end - 3, ".cc", 3) == 0 || strncmp(end - 2, ".h", 2) == 0 ? n : 0;
}

// ONNX Runtime puts the place that threw into many messages: "/path/file.cc:12 void
// ns::function(args) text". Cut it up to the end of the signature.
static const char *skip_source_place(const char *text)
{
	size_t place = source_place(text);
	const char *p = place ? strchr(text + place, '(') : NULL;
	int depth = 0;
	for (; p && *p; p++) {
		depth += (*p == '(') - (*p == ')');
		if (depth == 0)
			break;
	}
	if (!p || !*p)
		return text + place;
	p++;
	if (strncmp(p, " const", 6) == 0)
		p += 6;
	if (strncmp(p, " [with ", 7) == 0 && strchr(p, ']'))
		p = strchr(p, ']') + 1;
	p += strspn(p, " ");
	return *p ? p : text + place;
}

// One line, without places in ONNX Runtime's sources.
static void clean(const char *text, struct gt_buf *out)
{
	for (const char *p = text; *p;) {
		if (p == text || p[-1] == ' ' || p[-1] == ':' || p[-1] == '\n') {
			const char *rest = skip_source_place(p);
			if (rest != p) {
				p = rest;
				continue;
			}
		}
		bool space = *p == ' ' || *p == '\n' || *p == '\t' || *p == '\r';
		if (!space)
			gt_buf_append(out, p, 1);
		else if (out->length && out->data[out->length - 1] != ' ')
			gt_buf_append(out, " ", 1);
		p++;
	}
	while (out->length && (out->data[out->length - 1] == ' ' || out->data[out->length - 1] == '.'))
		out->data[--out->length] = '\0';
}

static gt_code check(ort_status *status, struct gt_err *err)
{
	if (!status)
		return GT_OK;
	struct gt_buf text = {0};
	clean(ort.ort_error_message(status), &text);
	gt_fail(err, GT_ENGINE, "%s", text.length ? gt_buf_text(&text) : "ONNX Runtime gave no reason");
	gt_buf_free(&text);
	ort.ort_release_status(status);
	return GT_ENGINE;
}

// A call fails either in the model or because an input has not the shape that the model declares.
static gt_code check_run(ort_status *status, struct gt_err *err)
{
	struct gt_err local = {0};
	gt_code rc = check(status, &local);
	if (!rc)
		return GT_OK;
	if (strncmp(local.text, "Got invalid dimensions for input", 32) == 0 ||
	    strncmp(local.text, "Invalid rank for input", 22) == 0)
		rc = GT_MISMATCH;
	char *advice = strstr(local.text, " Please fix either");
	if (advice)
		*advice = '\0';
	return gt_fail(err, rc, "%s", local.text);
}

static gt_code bind_table(void *library, const char *path, const char **version,
                          struct gt_err *err)
{
	ort_get_api_base *get_base = NULL;
	const struct gt_symbol entry = {"OrtGetApiBase", &get_base};
	gt_code rc = gt_library_bind(library, path, &entry, 1, err);
	if (rc)
		return rc;
	const struct ort_api_base *base = get_base();
	*version = base->get_version();
	const void *const *table = base->get_api(ORT_ABI_VERSION);
	if (!table)
		return gt_fail(err, GT_ENGINE,
		               "'%s' is ONNX Runtime %s, which does not have version %d of the API; install "
		               "1.%d or newer",
		               path, *version, ORT_ABI_VERSION, ORT_ABI_VERSION);
#define BIND(slot, name, type, parameters) memcpy(&ort.name, &table[slot], sizeof table[slot]);
	ORT_ABI_FUNCTIONS(BIND)
#undef BIND
	return GT_OK;
}

static gt_code load(const struct gt_toolchain *tools, json_t **identity, struct gt_err *err)
{
	const char *path = tools->onnxruntime_library;
	if (!path)
		return gt_fail(err, GT_NOT_FOUND,
		               "libonnxruntime.so was not found; run 'make' in the project folder or set "
		               "GAUNTLET_ONNXRUNTIME");
	// Read when the environment is made: else it starts a thread and writes to the user's home.
	setenv("ORT_DISABLE_TELEMETRY", "1", 1);
	void *library = NULL;
	const char *version = "";
	gt_code rc = gt_library_open(path, &library, err);
	if (!rc)
		rc = bind_table(library, path, &version, err);
	if (!rc)
		rc = check(ort.ort_create_env(ORT_LOG_WARNING, "gauntlet", &environment), err);
	if (rc)
		return rc;
	void *address;
	memcpy(&address, &ort.ort_build_info, sizeof address);
	char *build = gt_library_build_id(address);
	if (!build[0]) {
		free(build);
		build = gt_strdup(ort.ort_build_info());
	}
	*identity = gt_engine_identity("onnxruntime", version, build, path);
	return GT_OK;
}

static gt_code read_names(struct gt_err *err)
{
	ort_allocator *allocator = NULL;
	gt_code rc = check(ort.ort_default_allocator(&allocator), err);
	if (!rc)
		rc = check(ort.ort_session_input_count(job.session, &job.input_count), err);
	if (!rc)
		rc = check(ort.ort_session_output_count(job.session, &job.output_count), err);
	if (rc)
		return rc;
	job.input_names = gt_zalloc(job.input_count + 1, sizeof *job.input_names);
	job.output_names = gt_zalloc(job.output_count + 1, sizeof *job.output_names);
	for (size_t i = 0; i < job.input_count && !rc; i++)
		rc = check(ort.ort_session_input_name(job.session, i, allocator, &job.input_names[i]), err);
	for (size_t i = 0; i < job.output_count && !rc; i++)
		rc = check(ort.ort_session_output_name(job.session, i, allocator, &job.output_names[i]),
		           err);
	return rc;
}

static gt_code open_model(const char *path, const char *function, const char *device,
                          struct gt_err *err)
{
	(void)function;
	(void)device;
	if (!gt_is_file(path))
		return gt_fail(err, GT_NOT_FOUND, "there is no model '%s'", path);
	ort_session_options *options = NULL;
	gt_code rc = check(ort.ort_create_session_options(&options), err);
	// One thread a job: the scheduler already runs a job on every core.
	if (!rc)
		rc = check(ort.ort_set_intra_op_threads(options, 1), err);
	if (!rc)
		rc = check(ort.ort_set_inter_op_threads(options, 1), err);
	if (!rc)
		rc = check(ort.ort_create_session(environment, path, options, &job.session), err);
	if (options)
		ort.ort_release_session_options(options);
	if (!rc)
		rc = check(ort.ort_create_cpu_memory_info(ORT_DEVICE_ALLOCATOR, ORT_MEMORY_DEFAULT,
		                                          &job.memory),
		           err);
	return rc ? rc : read_names(err);
}

// The types that ONNX Runtime and ONNX number apart.
static const struct {
	int element;
	enum gt_dtype type;
} renumbered[] = {
	{ORT_UINT2, GT_UINT2},
	{ORT_INT2, GT_INT2},
	{ORT_FLOAT8E8M0, GT_FLOAT8E8M0},
};

static enum gt_dtype from_element(int element)
{
	for (size_t i = 0; i < GT_COUNTOF(renumbered); i++)
		if (renumbered[i].element == element)
			return renumbered[i].type;
	return element > 0 && element <= ORT_LAST_COMMON_ELEMENT ? (enum gt_dtype)element
	                                                         : GT_DTYPE_UNDEFINED;
}

static int to_element(enum gt_dtype type)
{
	for (size_t i = 0; i < GT_COUNTOF(renumbered); i++)
		if (renumbered[i].type == type)
			return renumbered[i].element;
	return (int)type;
}

static const char *kind_name(int kind)
{
	switch ((enum ort_kind)kind) {
	case ORT_KIND_TENSOR:
		return "tensor";
	case ORT_KIND_SEQUENCE:
		return "sequence";
	case ORT_KIND_MAP:
		return "map";
	case ORT_KIND_OPAQUE:
		return "opaque value";
	case ORT_KIND_SPARSE_TENSOR:
		return "sparse tensor";
	case ORT_KIND_OPTIONAL:
		return "optional";
	case ORT_KIND_UNKNOWN:
		break;
	}
	return "value of unknown kind";
}

// Does the model's input take this tensor? Its shape is ONNX Runtime's to check: it knows which
// dimensions share a name.
static gt_code check_input(size_t i, const struct gt_value *value, struct gt_err *err)
{
	ort_type_info *type = NULL;
	int kind = ORT_KIND_UNKNOWN, element = 0;
	gt_code rc = check(ort.ort_session_input_type(job.session, i, &type), err);
	if (!rc)
		rc = check(ort.ort_kind_of_type(type, &kind), err);
	if (!rc && kind != ORT_KIND_TENSOR)
		rc = gt_fail(err, GT_UNSUPPORTED, "input %zu '%s' is a%s %s, which is not supported", i,
		             job.input_names[i], kind == ORT_KIND_OPTIONAL || kind == ORT_KIND_OPAQUE ? "n" : "",
		             kind_name(kind));
	const ort_shape_info *shape = NULL; // belongs to `type`
	if (!rc)
		rc = check(ort.ort_cast_to_shape_info(type, &shape), err);
	if (!rc)
		rc = check(ort.ort_element_type(shape, &element), err);
	if (!rc && element != to_element(value->tensor.type))
		rc = gt_fail(err, GT_MISMATCH, "input %zu '%s' is %s but the model takes %s", i,
		             job.input_names[i], gt_dtype_name(value->tensor.type),
		             gt_dtype_name(from_element(element)));
	if (type)
		ort.ort_release_type_info(type);
	return rc;
}

static gt_code make_input(size_t i, const struct gt_value *value, ort_value **out,
                          struct gt_err *err)
{
	static char nothing[16]; // an empty tensor still needs an address
	if (value->kind != GT_KIND_TENSOR)
		return gt_fail(err, GT_UNSUPPORTED, "input %zu '%s' is of kind %s, which is not supported",
		               i, value->name ? value->name : "", gt_kind_name(value->kind));
	gt_code rc = check_input(i, value, err);
	if (rc)
		return rc;
	const struct gt_tensor *t = &value->tensor;
	return check(ort.ort_create_tensor(job.memory, t->data ? t->data : nothing, t->bytes, t->dims,
	                                   t->rank, to_element(t->type), out),
	             err);
}

static gt_code read_shape(const ort_value *value, enum gt_dtype *type, size_t *rank,
                          int64_t dims[GT_MAX_RANK], struct gt_err *err)
{
	ort_shape_info *shape = NULL;
	int element = 0;
	gt_code rc = check(ort.ort_shape_of_value(value, &shape), err);
	if (!rc)
		rc = check(ort.ort_element_type(shape, &element), err);
	if (!rc)
		rc = check(ort.ort_rank(shape, rank), err);
	if (!rc && *rank > GT_MAX_RANK)
		rc = gt_fail(err, GT_UNSUPPORTED, "it has %zu dimensions, more than %d", *rank, GT_MAX_RANK);
	if (!rc)
		rc = check(ort.ort_dims(shape, dims, *rank), err);
	if (!rc) {
		*type = from_element(element);
		if (*type == GT_DTYPE_UNDEFINED)
			rc = gt_fail(err, GT_UNSUPPORTED, "it has element type %d, which is not supported",
			             element);
		else if (*type == GT_STRING)
			rc = gt_fail(err, GT_UNSUPPORTED, "it is a tensor of strings, which is not supported");
	}
	if (shape)
		ort.ort_release_shape_info(shape);
	return rc;
}

static gt_code read_tensor(ort_value *value, struct gt_tensor *out, struct gt_err *err)
{
	enum gt_dtype type = GT_DTYPE_UNDEFINED;
	size_t rank = 0, bytes = 0;
	int64_t dims[GT_MAX_RANK] = {0};
	void *data = NULL;
	gt_code rc = read_shape(value, &type, &rank, dims, err);
	if (!rc)
		rc = gt_tensor_init(out, type, (uint32_t)rank, dims, err);
	if (!rc)
		rc = check(ort.ort_tensor_bytes(value, &bytes), err);
	if (!rc && bytes != out->bytes)
		rc = gt_fail(err, GT_ENGINE, "it has %zu bytes where its type and shape make %zu", bytes,
		             out->bytes);
	if (!rc && bytes)
		rc = check(ort.ort_tensor_data(value, &data), err);
	if (!rc && bytes)
		memcpy(out->data, data, bytes);
	return rc;
}

static gt_code read_output(size_t i, ort_value *value, struct gt_values *outputs,
                           struct gt_err *err)
{
	int kind = ORT_KIND_UNKNOWN, present = 0;
	gt_code rc = GT_OK;
	if (value)
		rc = check(ort.ort_has_value(value, &present), err);
	if (!rc && !present)
		rc = gt_fail(err, GT_UNSUPPORTED, "it is an optional without a value, which is not supported");
	if (!rc)
		rc = check(ort.ort_kind_of_value(value, &kind), err);
	if (!rc && kind != ORT_KIND_TENSOR)
		rc = gt_fail(err, GT_UNSUPPORTED, "it is a %s, which is not supported", kind_name(kind));
	if (!rc)
		rc = read_tensor(value, &gt_values_add(outputs, job.output_names[i])->tensor, err);
	if (rc)
		gt_err_context(err, "output %zu '%s'", i, job.output_names[i]);
	return rc;
}

static gt_code call(const struct gt_values *inputs, struct gt_values *outputs, struct gt_err *err)
{
	if (!job.session)
		return gt_fail(err, GT_INTERNAL, "no model is open");
	if (inputs->count != job.input_count)
		return gt_fail(err, GT_MISMATCH, "the model takes %zu input%s but got %zu",
		               job.input_count, job.input_count == 1 ? "" : "s", inputs->count);
	ort_value **in = gt_zalloc(job.input_count + 1, sizeof *in);
	ort_value **out = gt_zalloc(job.output_count + 1, sizeof *out);
	gt_code rc = GT_OK;
	for (size_t i = 0; i < job.input_count && !rc; i++)
		rc = make_input(i, &inputs->items[i], &in[i], err);
	if (!rc)
		rc = check_run(ort.ort_run(job.session, NULL, (const char *const *)job.input_names,
		                           (const ort_value *const *)in, job.input_count,
		                           (const char *const *)job.output_names, job.output_count, out),
		               err);
	for (size_t i = 0; i < job.output_count && !rc; i++)
		rc = read_output(i, out[i], outputs, err);
	for (size_t i = 0; i < job.input_count; i++)
		if (in[i])
			ort.ort_release_value(in[i]);
	for (size_t i = 0; i < job.output_count; i++)
		if (out[i])
			ort.ort_release_value(out[i]);
	free(in);
	free(out);
	return rc;
}

static const struct gt_runner_ops runner_ops = {.open = open_model, .call = call};

const struct gt_engine gt_onnxruntime = {
	.name = "onnxruntime",
	.load = load,
	.runner = &runner_ops,
};
