// engine/ort_abi.h - the part of ONNX Runtime's binary interface that onnxruntime.c uses.
//
// The library's wheel ships no C header. Its function table only grows at the end, so a slot keeps
// its number for good; every slot below exists in version 24. All objects are opaque.
#ifndef GT_ENGINE_ORT_ABI_H
#define GT_ENGINE_ORT_ABI_H

#include <stddef.h>
#include <stdint.h>

#define ORT_ABI_VERSION 24

typedef struct ort_status ort_status; // NULL is success; else release it
typedef struct ort_env ort_env;
typedef struct ort_session ort_session;
typedef struct ort_session_options ort_session_options;
typedef struct ort_run_options ort_run_options;
typedef struct ort_value ort_value;
typedef struct ort_type_info ort_type_info;
typedef struct ort_shape_info ort_shape_info; // element type and shape of a tensor
typedef struct ort_memory_info ort_memory_info;
typedef struct ort_allocator ort_allocator;

// What OrtGetApiBase() returns: two functions, in this order.
struct ort_api_base {
	const void *const *(*get_api)(uint32_t version); // NULL if the library is older
	const char *(*get_version)(void);
};
typedef const struct ort_api_base *ort_get_api_base(void);

enum ort_log_level { ORT_LOG_WARNING = 2 };
enum ort_allocator_type { ORT_DEVICE_ALLOCATOR = 0 };
enum ort_memory_type { ORT_MEMORY_DEFAULT = 0 };

// Kinds of value.
enum ort_kind {
	ORT_KIND_UNKNOWN = 0,
	ORT_KIND_TENSOR = 1,
	ORT_KIND_SEQUENCE = 2,
	ORT_KIND_MAP = 3,
	ORT_KIND_OPAQUE = 4,
	ORT_KIND_SPARSE_TENSOR = 5,
	ORT_KIND_OPTIONAL = 6,
};

// Element types are ONNX's numbers up to this one; the types after it were numbered apart.
enum ort_element {
	ORT_LAST_COMMON_ELEMENT = 23, // 4-bit float
	ORT_UINT2 = 24,
	ORT_INT2 = 25,
	ORT_FLOAT8E8M0 = 26,
};

// X(slot, wrapper, return type, parameters)
#define ORT_ABI_FUNCTIONS(X)                                                                       \
	X(2, ort_error_message, const char *, (const ort_status *))                                    \
	X(3, ort_create_env, ort_status *, (int log_level, const char *log_name, ort_env **))          \
	X(7, ort_create_session, ort_status *,                                                         \
	  (const ort_env *, const char *path, const ort_session_options *, ort_session **))            \
	X(9, ort_run, ort_status *,                                                                    \
	  (ort_session *, const ort_run_options *, const char *const *input_names,                     \
	   const ort_value *const *inputs, size_t input_count, const char *const *output_names,        \
	   size_t output_count, ort_value **outputs))                                                  \
	X(10, ort_create_session_options, ort_status *, (ort_session_options **))                      \
	X(24, ort_set_intra_op_threads, ort_status *, (ort_session_options *, int))                    \
	X(25, ort_set_inter_op_threads, ort_status *, (ort_session_options *, int))                    \
	X(30, ort_session_input_count, ort_status *, (const ort_session *, size_t *))                  \
	X(31, ort_session_output_count, ort_status *, (const ort_session *, size_t *))                 \
	X(33, ort_session_input_type, ort_status *, (const ort_session *, size_t, ort_type_info **))   \
	X(36, ort_session_input_name, ort_status *,                                                    \
	  (const ort_session *, size_t, ort_allocator *, char **))                                     \
	X(37, ort_session_output_name, ort_status *,                                                   \
	  (const ort_session *, size_t, ort_allocator *, char **))                                     \
	X(49, ort_create_tensor, ort_status *,                                                         \
	  (const ort_memory_info *, void *data, size_t bytes, const int64_t *dims, size_t rank,        \
	   int element, ort_value **))                                                                 \
	X(51, ort_tensor_data, ort_status *, (ort_value *, void **))                                   \
	X(55, ort_cast_to_shape_info, ort_status *, (const ort_type_info *, const ort_shape_info **))  \
	X(56, ort_kind_of_type, ort_status *, (const ort_type_info *, int *kind))                      \
	X(60, ort_element_type, ort_status *, (const ort_shape_info *, int *element))                  \
	X(61, ort_rank, ort_status *, (const ort_shape_info *, size_t *))                              \
	X(62, ort_dims, ort_status *, (const ort_shape_info *, int64_t *dims, size_t rank))            \
	X(65, ort_shape_of_value, ort_status *, (const ort_value *, ort_shape_info **))                \
	X(67, ort_kind_of_value, ort_status *, (const ort_value *, int *kind))                         \
	X(69, ort_create_cpu_memory_info, ort_status *,                                                \
	  (int allocator_type, int memory_type, ort_memory_info **))                                   \
	X(78, ort_default_allocator, ort_status *, (ort_allocator **))                                 \
	X(93, ort_release_status, void, (ort_status *))                                                \
	X(96, ort_release_value, void, (ort_value *))                                                  \
	X(98, ort_release_type_info, void, (ort_type_info *))                                          \
	X(99, ort_release_shape_info, void, (ort_shape_info *))                                        \
	X(100, ort_release_session_options, void, (ort_session_options *))                             \
	X(192, ort_has_value, ort_status *, (const ort_value *, int *))                                \
	X(254, ort_build_info, const char *, (void))                                                   \
	X(318, ort_tensor_bytes, ort_status *, (const ort_value *, size_t *))

// The table, one typed pointer for each function in use.
struct ort_abi {
#define ORT_ABI_MEMBER(slot, name, type, parameters) type(*name) parameters;
	ORT_ABI_FUNCTIONS(ORT_ABI_MEMBER)
#undef ORT_ABI_MEMBER
};

#endif // GT_ENGINE_ORT_ABI_H
