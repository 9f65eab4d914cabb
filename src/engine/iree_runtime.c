// The IREE runtime, linked in. Everything that may start a thread happens in the forked job.
#include "engine/engine.h"
#include "engine/iree_message.h"
#include "engine/iree_signature.h"
#include "engine/library.h"

#include <iree/async/util/proactor_pool.h>
#include <iree/base/tooling/flags.h>
#include <iree/hal/drivers/init.h>
#include <iree/modules/hal/module.h>
#include <iree/runtime/api.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Jobs run side by side, so a job's share of a big machine is small.
#define MAX_WORKERS 8

// One row a type that both worlds have. Signless integers go in, because those fit a module that
// takes iN as well as one that takes siN or uiN; what comes out says what it is.
static const struct {
	iree_hal_element_type_t element;
	enum gt_dtype type;
	bool signless; // as an output
} element_types[] = {
	{IREE_HAL_ELEMENT_TYPE_FLOAT_32, GT_FLOAT32, false},
	{IREE_HAL_ELEMENT_TYPE_FLOAT_64, GT_FLOAT64, false},
	{IREE_HAL_ELEMENT_TYPE_FLOAT_16, GT_FLOAT16, false},
	{IREE_HAL_ELEMENT_TYPE_BFLOAT_16, GT_BFLOAT16, false},
	{IREE_HAL_ELEMENT_TYPE_BOOL_8, GT_BOOL, false},
	{IREE_HAL_ELEMENT_TYPE_INT_8, GT_INT8, true},
	{IREE_HAL_ELEMENT_TYPE_INT_8, GT_UINT8, true},
	{IREE_HAL_ELEMENT_TYPE_INT_16, GT_INT16, true},
	{IREE_HAL_ELEMENT_TYPE_INT_16, GT_UINT16, true},
	{IREE_HAL_ELEMENT_TYPE_INT_32, GT_INT32, true},
	{IREE_HAL_ELEMENT_TYPE_INT_32, GT_UINT32, true},
	{IREE_HAL_ELEMENT_TYPE_INT_64, GT_INT64, true},
	{IREE_HAL_ELEMENT_TYPE_INT_64, GT_UINT64, true},
	{IREE_HAL_ELEMENT_TYPE_INT_4, GT_INT4, true},
	{IREE_HAL_ELEMENT_TYPE_INT_4, GT_UINT4, true},
	{IREE_HAL_ELEMENT_TYPE_VALUE(IREE_HAL_NUMERICAL_TYPE_INTEGER, 2), GT_INT2, true},
	{IREE_HAL_ELEMENT_TYPE_VALUE(IREE_HAL_NUMERICAL_TYPE_INTEGER, 2), GT_UINT2, true},
	{IREE_HAL_ELEMENT_TYPE_SINT_4, GT_INT4, false},
	{IREE_HAL_ELEMENT_TYPE_UINT_4, GT_UINT4, false},
	{IREE_HAL_ELEMENT_TYPE_SINT_8, GT_INT8, false},
	{IREE_HAL_ELEMENT_TYPE_UINT_8, GT_UINT8, false},
	{IREE_HAL_ELEMENT_TYPE_SINT_16, GT_INT16, false},
	{IREE_HAL_ELEMENT_TYPE_UINT_16, GT_UINT16, false},
	{IREE_HAL_ELEMENT_TYPE_SINT_32, GT_INT32, false},
	{IREE_HAL_ELEMENT_TYPE_UINT_32, GT_UINT32, false},
	{IREE_HAL_ELEMENT_TYPE_SINT_64, GT_INT64, false},
	{IREE_HAL_ELEMENT_TYPE_UINT_64, GT_UINT64, false},
	{IREE_HAL_ELEMENT_TYPE_COMPLEX_FLOAT_64, GT_COMPLEX64, false},
	{IREE_HAL_ELEMENT_TYPE_COMPLEX_FLOAT_128, GT_COMPLEX128, false},
	{IREE_HAL_ELEMENT_TYPE_FLOAT_8_E4M3_FN, GT_FLOAT8E4M3FN, false},
	{IREE_HAL_ELEMENT_TYPE_FLOAT_8_E4M3_FNUZ, GT_FLOAT8E4M3FNUZ, false},
	{IREE_HAL_ELEMENT_TYPE_FLOAT_8_E5M2, GT_FLOAT8E5M2, false},
	{IREE_HAL_ELEMENT_TYPE_FLOAT_8_E5M2_FNUZ, GT_FLOAT8E5M2FNUZ, false},
	{IREE_HAL_ELEMENT_TYPE_FLOAT_8_E8M0_FNU, GT_FLOAT8E8M0, false},
};

// The module of this job. Never destroyed: the job leaves with _exit.
static struct {
	iree_runtime_instance_t *instance;
	iree_hal_device_t *device;
	iree_runtime_session_t *session;
	iree_vm_function_t function;
	char *function_name;
	const char *arguments; // one letter each of the calling convention
	size_t argument_count;
	struct gt_iree_signature signature;
} job;

static iree_allocator_t host_allocator(void)
{
	return iree_allocator_system();
}

// Consumes `status`. The whole text goes to stderr, the sentence to `err`; `inputs` are those of
// the call that failed, NULL if it was no call.
static gt_code check_call(iree_status_t status, const struct gt_values *inputs, struct gt_err *err)
{
	if (iree_status_is_ok(status))
		return GT_OK;
	iree_allocator_t allocator = host_allocator();
	char *text = NULL;
	iree_host_size_t length = 0;
	gt_code rc = GT_ENGINE;
	if (!iree_status_to_string(status, &allocator, &text, &length)) {
		gt_fail(err, rc, "%s", iree_status_code_string(iree_status_code(status)));
	} else {
		fprintf(stderr, "%s\n", text);
		struct gt_buf sentence = {0};
		gt_iree_sentence(text, &sentence);
		if (inputs && gt_iree_input_mismatch(text, inputs, err))
			rc = GT_MISMATCH;
		else
			gt_fail(err, rc, "%s", gt_buf_text(&sentence));
		gt_buf_free(&sentence);
		iree_allocator_free(allocator, text);
	}
	iree_status_free(status);
	return rc;
}

static gt_code check(iree_status_t status, struct gt_err *err)
{
	return check_call(status, NULL, err);
}

static gt_code load(const struct gt_toolchain *tools, json_t **identity, struct gt_err *err)
{
	(void)tools;
	(void)err;
	char *self = gt_path_absolute("/proc/self/exe");
	*identity = gt_engine_identity("iree-runtime", GT_IREE_VERSION,
	                               gt_library_build_id(element_types), self);
	free(self);
	return GT_OK;
}

static int worker_count(void)
{
	cpu_set_t set;
	int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
	return count < MAX_WORKERS ? count : MAX_WORKERS;
}

// A fixed number of workers, on whatever cores the system gives them: by itself the driver would
// pin one to each physical core of the machine, whether this process may use it or not.
static gt_code limit_workers(struct gt_err *err)
{
	char flag[64], program[] = "gauntlet";
	snprintf(flag, sizeof flag, "--task_topology_group_count=%d", worker_count());
	char *vector[] = {program, flag, NULL};
	char **argv = vector;
	int argc = 2;
	return check(iree_flags_parse(IREE_FLAGS_PARSE_MODE_DEFAULT, &argc, &argv), err);
}

static gt_code make_instance(struct gt_err *err)
{
	gt_code rc = limit_workers(err);
	if (rc)
		return rc;
	iree_runtime_instance_options_t options;
	iree_runtime_instance_options_initialize(&options);
	iree_runtime_instance_options_use_all_available_drivers(&options);
	return check(iree_runtime_instance_create(&options, host_allocator(), &job.instance), err);
}

static gt_code list_drivers(iree_host_size_t *count, iree_hal_driver_info_t **drivers,
                            struct gt_err *err)
{
	return check(iree_hal_driver_registry_enumerate(
	                 iree_runtime_instance_driver_registry(job.instance), host_allocator(), count,
	                 drivers),
	             err);
}

// `device` is "driver" or "driver://path"; is the driver one of ours?
static gt_code check_driver(const char *device, struct gt_err *err)
{
	iree_host_size_t count = 0;
	iree_hal_driver_info_t *drivers = NULL;
	gt_code rc = list_drivers(&count, &drivers, err);
	if (rc)
		return rc;
	const char *end = strstr(device, "://");
	iree_string_view_t wanted =
	    iree_make_string_view(device, end ? (size_t)(end - device) : strlen(device));
	struct gt_buf names = {0};
	bool found = false;
	for (iree_host_size_t i = 0; i < count; i++) {
		iree_string_view_t name = drivers[i].driver_name;
		gt_buf_printf(&names, "%s%.*s", i ? ", " : "", (int)name.size, name.data);
		found |= iree_string_view_equal(name, wanted);
	}
	if (!found)
		rc = gt_fail(err, GT_NOT_FOUND, "there is no device '%s'; this program has %s", device,
		             gt_buf_text(&names));
	gt_buf_free(&names);
	iree_allocator_free(host_allocator(), drivers);
	return rc;
}

static gt_code make_device(const char *device, struct gt_err *err)
{
	gt_code rc = check_driver(device, err);
	if (rc)
		return rc;
	iree_async_proactor_pool_t *pool = NULL;
	rc = check(iree_async_proactor_pool_create(iree_numa_node_count(), NULL,
	                                           iree_async_proactor_pool_options_default(),
	                                           host_allocator(), &pool),
	           err);
	if (rc)
		return rc;
	iree_hal_device_create_params_t params = iree_hal_device_create_params_default();
	params.proactor_pool = pool;
	rc = check(iree_hal_create_device(iree_runtime_instance_driver_registry(job.instance),
	                                  iree_make_cstring_view(device), &params, host_allocator(),
	                                  &job.device),
	           err);
	iree_async_proactor_pool_release(pool);
	if (rc)
		gt_err_context(err, "device '%s'", device);
	return rc;
}

static gt_code load_module(const char *path, const char *device, struct gt_err *err)
{
	if (!gt_is_file(path))
		return gt_fail(err, GT_NOT_FOUND, "there is no compiled module '%s'", path);
	iree_runtime_session_options_t options;
	iree_runtime_session_options_initialize(&options);
	gt_code rc = check(iree_runtime_session_create_with_device(job.instance, &options, job.device,
	                                                           host_allocator(), &job.session),
	                   err);
	if (!rc)
		rc = check(iree_runtime_session_append_bytecode_module_from_file(job.session, path), err);
	if (rc)
		gt_err_context(err, "compiled module '%s' on device '%s'", path, device);
	return rc;
}

static bool ends_with(iree_string_view_t text, const char *suffix)
{
	size_t n = strlen(suffix);
	return text.size >= n && memcmp(text.data + text.size - n, suffix, n) == 0;
}

// Exports that nobody wrote: initializers, and the asynchronous half of a function.
static bool is_hidden(iree_string_view_t name)
{
	return (name.size >= 2 && memcmp(name.data, "__", 2) == 0) || ends_with(name, "$async");
}

static gt_code find_function(const char *wanted, struct gt_err *err)
{
	iree_vm_context_t *context = iree_runtime_session_context(job.session);
	iree_vm_module_t *module =
	    iree_vm_context_module_at(context, iree_vm_context_module_count(context) - 1);
	size_t count = iree_vm_module_signature(module).export_function_count;
	struct gt_buf list = {0};
	size_t public_count = 0, found = 0;
	for (size_t i = 0; i < count; i++) {
		iree_vm_function_t function;
		iree_status_t status = iree_vm_module_lookup_function_by_ordinal(
		    module, IREE_VM_FUNCTION_LINKAGE_EXPORT, i, &function);
		if (!iree_status_is_ok(status)) {
			gt_buf_free(&list);
			return check(status, err);
		}
		iree_string_view_t name = iree_vm_function_name(&function);
		bool hidden = is_hidden(name);
		if (wanted[0] ? !iree_string_view_equal(name, iree_make_cstring_view(wanted)) : hidden) {
			if (!hidden)
				gt_buf_printf(&list, "%s%.*s", list.length ? ", " : "", (int)name.size, name.data);
			continue;
		}
		gt_buf_printf(&list, "%s%.*s", list.length ? ", " : "", (int)name.size, name.data);
		public_count += !hidden;
		found++;
		job.function = function;
	}
	gt_code rc = GT_OK;
	if (!found && !wanted[0])
		rc = gt_fail(err, GT_NOT_FOUND, "the module has no public function");
	else if (!found)
		rc = gt_fail(err, GT_NOT_FOUND, "the module has no function '%s'; it has %s", wanted,
		             list.length ? gt_buf_text(&list) : "none");
	else if (public_count > 1)
		rc = gt_fail(err, GT_BAD_USAGE, "the module has more than one function, name one of: %s",
		             gt_buf_text(&list));
	gt_buf_free(&list);
	return rc;
}

static gt_code read_signature(struct gt_err *err)
{
	iree_string_view_t name = iree_vm_function_name(&job.function);
	job.function_name = gt_strndup(name.data, name.size);
	iree_string_view_t model =
	    iree_vm_function_lookup_attr_by_name(&job.function, IREE_SV("iree.abi.model"));
	if (iree_string_view_equal(model, IREE_SV("coarse-fences")) || ends_with(name, "$async"))
		return gt_fail(err, GT_UNSUPPORTED,
		               "function '%s' is asynchronous (it takes fences), which is not supported; "
		               "name the synchronous one",
		               job.function_name);
	iree_vm_function_signature_t signature = iree_vm_function_signature(&job.function);
	iree_string_view_t arguments, results;
	gt_code rc = check(
	    iree_vm_function_call_get_cconv_fragments(&signature, &arguments, &results), err);
	if (rc)
		return rc;
	// 'v' alone is how "nothing" is written.
	if (iree_string_view_equal(arguments, IREE_SV("v")))
		arguments = iree_string_view_empty();
	job.arguments = arguments.data;
	job.argument_count = arguments.size;
	iree_string_view_t declaration =
	    iree_vm_function_lookup_attr_by_name(&job.function, IREE_SV("iree.abi.declaration"));
	gt_iree_signature_parse(declaration.data, declaration.size, &job.signature);
	if (job.signature.known && job.signature.input_count != job.argument_count)
		gt_iree_signature_free(&job.signature);
	return GT_OK;
}

static gt_code open_module(const char *path, const char *function, const char *device,
                           struct gt_err *err)
{
	gt_code rc = make_instance(err);
	if (!rc)
		rc = make_device(device, err);
	if (!rc)
		rc = load_module(path, device, err);
	if (!rc)
		rc = find_function(function, err);
	return rc ? rc : read_signature(err);
}

static gt_code push_tensor(const struct gt_tensor *t, iree_vm_list_t *list, struct gt_err *err)
{
	iree_hal_element_type_t element = IREE_HAL_ELEMENT_TYPE_NONE;
	for (size_t i = 0; i < GT_COUNTOF(element_types) && !element; i++)
		if (element_types[i].type == t->type)
			element = element_types[i].element;
	if (!element)
		return gt_fail(err, GT_UNSUPPORTED, "IREE's runtime has no element type for %s",
		               gt_dtype_name(t->type));
	iree_hal_dim_t dims[GT_MAX_RANK];
	for (uint32_t i = 0; i < t->rank; i++)
		dims[i] = (iree_hal_dim_t)t->dims[i];
	iree_hal_buffer_params_t params = {
		.type = IREE_HAL_MEMORY_TYPE_DEVICE_LOCAL,
		.usage = IREE_HAL_BUFFER_USAGE_DEFAULT,
	};
	iree_hal_buffer_view_t *view = NULL;
	gt_code rc = check(
	    iree_hal_buffer_view_allocate_buffer_copy(
	        job.device, iree_hal_device_allocator(job.device), t->rank, dims, element,
	        IREE_HAL_ENCODING_TYPE_DENSE_ROW_MAJOR, params,
	        iree_make_const_byte_span(t->data, t->bytes), &view),
	    err);
	if (rc)
		return rc;
	iree_vm_ref_t ref = iree_hal_buffer_view_move_ref(view);
	rc = check(iree_vm_list_push_ref_move(list, &ref), err);
	iree_vm_ref_release(&ref);
	return rc;
}

// Element 0 as an integer, by the type's own width and sign.
static int64_t integer_of(const struct gt_tensor *t)
{
	const struct gt_dtype_row *row = gt_dtype_row(t->type);
	uint64_t bits = 0;
	memcpy(&bits, t->data, t->bytes < sizeof bits ? t->bytes : sizeof bits);
	if (row->class == GT_CLASS_SIGNED && row->bits < 64 && (bits >> (row->bits - 1) & 1))
		bits |= UINT64_MAX << row->bits;
	return (int64_t)bits;
}

// A function may take a plain number where ONNX has a tensor without dimensions.
static gt_code push_number(char code, const struct gt_tensor *t, iree_vm_list_t *list,
                           struct gt_err *err)
{
	const struct gt_dtype_row *row = gt_dtype_row(t->type);
	bool integer = row && (row->class == GT_CLASS_SIGNED || row->class == GT_CLASS_UNSIGNED ||
	                       row->class == GT_CLASS_BOOL);
	iree_vm_value_t value;
	if (t->rank == 0 && code == 'i' && integer && row->bits <= 32)
		value = iree_vm_value_make_i32((int32_t)integer_of(t));
	else if (t->rank == 0 && code == 'I' && integer)
		value = iree_vm_value_make_i64(integer_of(t));
	else if (t->rank == 0 && code == 'f' && t->type == GT_FLOAT32)
		value = iree_vm_value_make_f32((float)gt_tensor_double(t, 0));
	else if (t->rank == 0 && code == 'F' && t->type == GT_FLOAT64)
		value = iree_vm_value_make_f64(gt_tensor_double(t, 0));
	else
		return gt_fail(err, GT_MISMATCH, "the module takes one plain number of another type here");
	return check(iree_vm_list_push_value(list, &value), err);
}

static gt_code push_input(size_t i, const struct gt_value *value, iree_vm_list_t *list,
                          struct gt_err *err)
{
	gt_code rc = GT_OK;
	if (value->kind != GT_KIND_TENSOR)
		return gt_fail(err, GT_UNSUPPORTED, "input %zu '%s' is of kind %s, which is not supported",
		               i, value->name ? value->name : "", gt_kind_name(value->kind));
	if (job.signature.known)
		rc = gt_iree_check_input(&job.signature.inputs[i], i, value, err);
	if (rc)
		return rc;
	char code = job.arguments[i];
	rc = code == 'r' ? push_tensor(&value->tensor, list, err)
	                 : push_number(code, &value->tensor, list, err);
	if (rc)
		gt_err_context(err, "input %zu '%s'", i, value->name ? value->name : "");
	return rc;
}

static gt_code pop_tensor(iree_hal_buffer_view_t *view, struct gt_tensor *out, struct gt_err *err)
{
	iree_hal_element_type_t element = iree_hal_buffer_view_element_type(view);
	enum gt_dtype type = GT_DTYPE_UNDEFINED;
	bool signless = false;
	for (size_t i = 0; i < GT_COUNTOF(element_types) && !type; i++) {
		if (element_types[i].element == element) {
			type = element_types[i].type;
			signless = element_types[i].signless;
		}
	}
	if (!type)
		return gt_fail(err, GT_UNSUPPORTED, "it has IREE's element type 0x%08x, which no ONNX type is",
		               (unsigned)element);
	size_t rank = iree_hal_buffer_view_shape_rank(view);
	if (rank > GT_MAX_RANK)
		return gt_fail(err, GT_UNSUPPORTED, "it has %zu dimensions, more than %d", rank,
		               GT_MAX_RANK);
	int64_t dims[GT_MAX_RANK];
	for (size_t i = 0; i < rank; i++)
		dims[i] = (int64_t)iree_hal_buffer_view_shape_dim(view, i);
	gt_code rc = gt_tensor_init(out, type, (uint32_t)rank, dims, err);
	if (rc)
		return rc;
	out->signless = signless;
	iree_device_size_t bytes = iree_hal_buffer_view_byte_length(view);
	if (bytes != out->bytes)
		return gt_fail(err, GT_ENGINE, "it has %llu bytes where its type and shape make %zu",
		               (unsigned long long)bytes, out->bytes);
	if (!bytes)
		return GT_OK;
	return check(iree_hal_device_transfer_d2h(job.device, iree_hal_buffer_view_buffer(view), 0,
	                                          out->data, bytes,
	                                          IREE_HAL_TRANSFER_BUFFER_FLAG_DEFAULT,
	                                          iree_infinite_timeout()),
	             err);
}

static gt_code pop_number(const iree_vm_value_t *value, struct gt_tensor *out, struct gt_err *err)
{
	static const struct {
		iree_vm_value_type_t from;
		enum gt_dtype to;
		bool signless;
	} map[] = {
		{IREE_VM_VALUE_TYPE_I8, GT_INT8, true},      {IREE_VM_VALUE_TYPE_I16, GT_INT16, true},
		{IREE_VM_VALUE_TYPE_I32, GT_INT32, true},    {IREE_VM_VALUE_TYPE_I64, GT_INT64, true},
		{IREE_VM_VALUE_TYPE_F32, GT_FLOAT32, false}, {IREE_VM_VALUE_TYPE_F64, GT_FLOAT64, false},
	};
	for (size_t i = 0; i < GT_COUNTOF(map); i++) {
		if (map[i].from != value->type)
			continue;
		gt_code rc = gt_tensor_init(out, map[i].to, 0, NULL, err);
		if (!rc) {
			out->signless = map[i].signless;
			memcpy(out->data, value->value_storage, out->bytes);
		}
		return rc;
	}
	return gt_fail(err, GT_UNSUPPORTED, "it is nothing, which is not supported");
}

static gt_code pop_output(const iree_vm_list_t *list, size_t i, struct gt_tensor *out,
                          struct gt_err *err)
{
	iree_vm_variant_t variant = iree_vm_variant_empty();
	gt_code rc = check(iree_vm_list_get_variant_assign(list, i, &variant), err);
	if (rc)
		return rc;
	if (iree_vm_variant_is_ref(variant) && iree_hal_buffer_view_isa(variant.ref))
		return pop_tensor(iree_hal_buffer_view_deref(variant.ref), out, err);
	if (iree_vm_variant_is_ref(variant)) {
		iree_string_view_t name = iree_vm_ref_type_name(variant.ref.type);
		return gt_fail(err, GT_UNSUPPORTED, "it is a !%.*s, which is not supported", (int)name.size,
		               name.data);
	}
	iree_vm_value_t value = iree_vm_variant_value(variant);
	return pop_number(&value, out, err);
}

static gt_code call_with_lists(const struct gt_values *inputs, iree_vm_list_t *in,
                               iree_vm_list_t *out, struct gt_values *outputs, struct gt_err *err)
{
	gt_code rc = GT_OK;
	for (size_t i = 0; i < inputs->count && !rc; i++)
		rc = push_input(i, &inputs->items[i], in, err);
	if (!rc)
		rc = check_call(iree_runtime_session_call(job.session, &job.function, in, out), inputs, err);
	size_t count = rc ? 0 : iree_vm_list_size(out);
	for (size_t i = 0; i < count && !rc; i++) {
		rc = pop_output(out, i, &gt_values_add(outputs, "")->tensor, err);
		if (rc)
			gt_err_context(err, "output %zu", i);
	}
	return rc;
}

static gt_code call(const struct gt_values *inputs, struct gt_values *outputs, struct gt_err *err)
{
	if (!job.function.module)
		return gt_fail(err, GT_INTERNAL, "no module is open");
	if (inputs->count != job.argument_count)
		return gt_fail(err, GT_MISMATCH, "function '%s' takes %zu input%s but got %zu",
		               job.function_name, job.argument_count, job.argument_count == 1 ? "" : "s",
		               inputs->count);
	iree_vm_list_t *in = NULL, *out = NULL;
	gt_code rc = check(iree_vm_list_create(iree_vm_make_undefined_type_def(), inputs->count,
	                                       host_allocator(), &in),
	                   err);
	if (!rc)
		rc = check(iree_vm_list_create(iree_vm_make_undefined_type_def(), 8, host_allocator(), &out),
		           err);
	if (!rc)
		rc = call_with_lists(inputs, in, out, outputs, err);
	iree_vm_list_release(in);
	iree_vm_list_release(out);
	return rc;
}

// A driver that cannot start here (no Vulkan loader, no GPU) offers no device.
static void list_devices(iree_string_view_t driver_name, struct gt_names *lines)
{
	iree_hal_driver_t *driver = NULL;
	iree_host_size_t count = 0;
	iree_hal_device_info_t *devices = NULL;
	struct gt_err why = {0};
	gt_code rc = check(iree_hal_driver_registry_try_create(
	                       iree_runtime_instance_driver_registry(job.instance), driver_name,
	                       host_allocator(), &driver),
	                   &why);
	if (!rc)
		rc = check(iree_hal_driver_query_available_devices(driver, host_allocator(), &count,
		                                                   &devices),
		           &why);
	for (iree_host_size_t i = 0; i < count; i++) {
		iree_string_view_t path = devices[i].path, name = devices[i].name;
		char *line = gt_format("%.*s%s%.*s: %.*s", (int)driver_name.size, driver_name.data,
		                       path.size ? "://" : "", (int)path.size, path.data, (int)name.size,
		                       name.data);
		gt_names_add(lines, line);
		free(line);
	}
	iree_allocator_free(host_allocator(), devices);
	iree_hal_driver_release(driver);
}

static gt_code devices(struct gt_names *lines, struct gt_err *err)
{
	iree_host_size_t count = 0;
	iree_hal_driver_info_t *drivers = NULL;
	gt_code rc = make_instance(err);
	if (!rc)
		rc = list_drivers(&count, &drivers, err);
	for (iree_host_size_t i = 0; i < count; i++)
		list_devices(drivers[i].driver_name, lines);
	iree_allocator_free(host_allocator(), drivers);
	return rc;
}

static const struct gt_runner_ops runner_ops = {.open = open_module, .call = call};

const struct gt_engine gt_iree_runtime = {
	.name = "iree-runtime",
	.load = load,
	.runner = &runner_ops,
	.devices = devices,
};
