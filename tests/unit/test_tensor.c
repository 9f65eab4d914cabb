// Tensors: shapes that are refused, elements as doubles, .bin files that do not fit.
#include "base/file.h"
#include "tensor/tensor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[] = "/tmp/gt-tensor-XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return gt_remove_tree(folder, NULL);
}

static void init_counts_and_zeroes(void **state)
{
	(void)state;
	struct gt_tensor t;
	memset(&t, 0xff, sizeof t); // init must not look at what was there
	int64_t dims[] = {2, 3, 4};
	assert_int_equal(gt_tensor_init(&t, GT_FLOAT32, 3, dims, NULL), GT_OK);
	assert_int_equal(t.count, 24);
	assert_int_equal(t.bytes, 96);
	assert_false(t.signless);
	assert_int_equal((uintptr_t)t.data % 16, 0);
	for (size_t i = 0; i < t.bytes; i++)
		assert_int_equal(((char *)t.data)[i], 0);
	gt_tensor_free(&t);
	assert_null(t.data);

	assert_int_equal(gt_tensor_init(&t, GT_INT64, 0, NULL, NULL), GT_OK);
	assert_int_equal(t.count, 1);
	assert_int_equal(t.bytes, 8);
	gt_tensor_free(&t);

	int64_t odd[] = {5};
	assert_int_equal(gt_tensor_init(&t, GT_INT4, 1, odd, NULL), GT_OK);
	assert_int_equal(t.bytes, 3);
	gt_tensor_free(&t);
}

static void a_zero_dimension_is_empty_even_beside_huge_ones(void **state)
{
	(void)state;
	struct gt_tensor t;
	int64_t dims[][3] = {{0, INT64_MAX, INT64_MAX}, {INT64_MAX, INT64_MAX, 0}, {3, 0, 2}};
	for (size_t i = 0; i < GT_COUNTOF(dims); i++) {
		assert_int_equal(gt_tensor_init(&t, GT_FLOAT64, 3, dims[i], NULL), GT_OK);
		assert_int_equal(t.count, 0);
		assert_int_equal(t.bytes, 0);
		assert_int_equal(t.dims[0], dims[i][0]);
		gt_tensor_free(&t);
	}
}

static void refuse(enum gt_dtype type, uint32_t rank, const int64_t *dims, gt_code code,
                   const char *part)
{
	struct gt_err err = {0};
	struct gt_tensor t;
	memset(&t, 0xff, sizeof t);
	assert_int_equal(gt_tensor_init(&t, type, rank, dims, &err), code);
	assert_int_equal(err.code, code);
	assert_non_null(strstr(err.text, part));
	assert_null(t.data); // free to be freed
	gt_tensor_free(&t);
}

static void impossible_shapes_are_refused(void **state)
{
	(void)state;
	int64_t negative[] = {2, -1}, large[] = {INT64_MAX, 2}, wide[] = {INT64_MAX / 2};
	int64_t wraps[] = {INT64_C(1) << 32, INT64_C(1) << 32}, ones[GT_MAX_RANK + 1];
	for (size_t i = 0; i < GT_COUNTOF(ones); i++)
		ones[i] = 1;
	refuse(GT_FLOAT32, 2, negative, GT_BAD_DATA, "dimension 1 is negative: -1");
	refuse(GT_UINT8, 2, large, GT_BAD_DATA, "9223372036854775807x2xui8");
	refuse(GT_FLOAT32, 1, wide, GT_BAD_DATA, "more bytes than can be addressed");
	refuse(GT_UINT8, 2, wraps, GT_BAD_DATA, "more bytes than can be addressed");
	refuse(GT_FLOAT32, GT_MAX_RANK + 1, ones, GT_BAD_DATA, "rank 33");
	refuse(GT_STRING, 0, NULL, GT_UNSUPPORTED, "string");
	refuse((enum gt_dtype)77, 0, NULL, GT_BAD_DATA, "77");
	refuse(GT_DTYPE_UNDEFINED, 0, NULL, GT_BAD_DATA, "unknown");
#ifndef __SANITIZE_ADDRESS__ // whose calloc ends the process instead of refusing
	int64_t no_memory[] = {INT64_C(1) << 60};
	refuse(GT_UINT8, 1, no_memory, GT_NO_MEMORY, "1152921504606846976 bytes");
#endif
	struct gt_tensor t;
	assert_int_equal(gt_tensor_init(&t, GT_FLOAT32, GT_MAX_RANK, ones, NULL), GT_OK);
	gt_tensor_free(&t);
}

static void check_elements(enum gt_dtype type, const void *bytes, size_t size, int64_t count,
                           const double *expected)
{
	struct gt_tensor t;
	assert_int_equal(gt_tensor_init(&t, type, 1, &count, NULL), GT_OK);
	assert_int_equal(t.bytes, size);
	memcpy(t.data, bytes, size);
	for (size_t i = 0; i < t.count; i++)
		assert_true(gt_tensor_double(&t, i) == expected[i]);
	gt_tensor_free(&t);
}

#define CHECK_ELEMENTS(TYPE, BYTES, COUNT, ...) \
	check_elements(TYPE, BYTES, sizeof(BYTES), COUNT, (const double[]){__VA_ARGS__})

static void elements_read_as_doubles(void **state)
{
	(void)state;
	CHECK_ELEMENTS(GT_FLOAT32, ((float[]){1.5f, -0x1p-149f}), 2, 1.5, -0x1p-149);
	CHECK_ELEMENTS(GT_FLOAT64, ((double[]){0.1, -1e300}), 2, 0.1, -1e300);
	CHECK_ELEMENTS(GT_FLOAT16, ((uint16_t[]){0x3c01, 0xfc00}), 2, 1 + 0x1p-10, -INFINITY);
	CHECK_ELEMENTS(GT_BFLOAT16, ((uint16_t[]){0x3f81, 0xc000}), 2, 1 + 0x1p-7, -2);
	CHECK_ELEMENTS(GT_UINT8, ((uint8_t[]){255, 0}), 2, 255, 0);
	CHECK_ELEMENTS(GT_INT8, ((int8_t[]){-128, 127}), 2, -128, 127);
	CHECK_ELEMENTS(GT_UINT16, ((uint16_t[]){65535}), 1, 65535);
	CHECK_ELEMENTS(GT_INT16, ((int16_t[]){-32768}), 1, -32768);
	CHECK_ELEMENTS(GT_UINT32, ((uint32_t[]){UINT32_MAX}), 1, 4294967295.0);
	CHECK_ELEMENTS(GT_INT32, ((int32_t[]){INT32_MIN}), 1, -2147483648.0);
	CHECK_ELEMENTS(GT_UINT64, ((uint64_t[]){UINT64_C(1) << 63, 7}), 2, 0x1p63, 7);
	CHECK_ELEMENTS(GT_INT64, ((int64_t[]){INT64_MIN, -9007199254740993}), 2, -0x1p63, -0x1p53);
	CHECK_ELEMENTS(GT_BOOL, ((uint8_t[]){1, 0}), 2, 1, 0);
	CHECK_ELEMENTS(GT_COMPLEX64, ((float[]){1, 2, 3, 4}), 2, 1, 3);
	CHECK_ELEMENTS(GT_COMPLEX128, ((double[]){1, 2, 3, 4}), 2, 1, 3);
	CHECK_ELEMENTS(GT_UINT4, ((uint8_t[]){0xf1, 0x07}), 3, 1, 15, 7);
	CHECK_ELEMENTS(GT_INT4, ((uint8_t[]){0x87, 0x0f}), 3, 7, -8, -1);
	CHECK_ELEMENTS(GT_UINT2, ((uint8_t[]){0xe4, 0x02}), 5, 0, 1, 2, 3, 2);
	CHECK_ELEMENTS(GT_INT2, ((uint8_t[]){0xe4}), 4, 0, 1, -2, -1);
	CHECK_ELEMENTS(GT_FLOAT4E2M1, ((uint8_t[]){0xf7}), 2, 6, -6);
	CHECK_ELEMENTS(GT_FLOAT8E4M3FN, ((uint8_t[]){0x38}), 1, 1);
	CHECK_ELEMENTS(GT_FLOAT8E8M0, ((uint8_t[]){128}), 1, 2);
}

static void describe(uint32_t rank, const int64_t *dims, enum gt_dtype type, const char *expected)
{
	struct gt_buf b = {0};
	gt_shape_describe(rank, dims, type, &b);
	assert_string_equal(gt_buf_text(&b), expected);
	gt_buf_free(&b);
}

static void shapes_have_short_names(void **state)
{
	(void)state;
	int64_t dims[] = {2, 0, 3};
	describe(3, dims, GT_FLOAT32, "2x0x3xf32");
	describe(0, NULL, GT_BOOL, "i1");
	describe(2, dims, GT_STRING, "2x0xstring");
	describe(1, dims, (enum gt_dtype)77, "2xunknown");
}

static void bin_files_round_trip(void **state)
{
	(void)state;
	char *path = gt_path_join(folder, "a.bin");
	int64_t dims[] = {3};
	struct gt_tensor t, back;
	assert_int_equal(gt_tensor_init(&t, GT_INT32, 1, dims, NULL), GT_OK);
	memcpy(t.data, (int32_t[]){1, -2, 3}, 12);
	assert_int_equal(gt_tensor_save_bin(path, &t, NULL), GT_OK);
	assert_int_equal(gt_file_size(path), 12);
	assert_int_equal(gt_tensor_init(&back, GT_INT32, 1, dims, NULL), GT_OK);
	assert_int_equal(gt_tensor_load_bin(path, &back, NULL), GT_OK);
	assert_memory_equal(t.data, back.data, 12);
	gt_tensor_free(&t);
	gt_tensor_free(&back);

	int64_t none = 0;
	assert_int_equal(gt_tensor_init(&t, GT_INT32, 1, &none, NULL), GT_OK);
	assert_int_equal(gt_tensor_save_bin(path, &t, NULL), GT_OK);
	assert_int_equal(gt_file_size(path), 0);
	assert_int_equal(gt_tensor_load_bin(path, &t, NULL), GT_OK);
	gt_tensor_free(&t);
	free(path);
}

static gt_code load_as(enum gt_dtype type, int64_t count, const char *path, struct gt_err *err)
{
	struct gt_tensor t;
	assert_int_equal(gt_tensor_init(&t, type, 1, &count, NULL), GT_OK);
	gt_code rc = gt_tensor_load_bin(path, &t, err);
	gt_tensor_free(&t);
	return rc;
}

static void bin_files_that_do_not_fit_are_refused(void **state)
{
	(void)state;
	struct gt_err err = {0};
	char *path = gt_path_join(folder, "b.bin");
	assert_int_equal(gt_file_write(path, "\0\1\2\1\0", 5, NULL), GT_OK);
	assert_int_equal(load_as(GT_UINT8, 4, path, &err), GT_BAD_DATA);
	assert_non_null(strstr(err.text, "has 5 bytes, a tensor of 4xui8 needs 4"));
	assert_int_equal(load_as(GT_UINT8, 6, path, &err), GT_BAD_DATA);
	assert_non_null(strstr(err.text, "needs 6"));
	assert_int_equal(load_as(GT_BOOL, 5, path, &err), GT_BAD_DATA);
	assert_non_null(strstr(err.text, "element 2 of type bool is 2"));
	assert_int_equal(load_as(GT_UINT8, 5, path, &err), GT_OK);
	assert_int_equal(load_as(GT_UINT8, 5, "/nowhere/x.bin", &err), GT_NOT_FOUND);
	assert_int_equal(load_as(GT_UINT8, 0, folder, &err), GT_BAD_DATA);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0); // must be refused, not waited for
	assert_int_equal(load_as(GT_UINT8, 0, path, &err), GT_BAD_DATA);
	assert_int_equal(unlink(path), 0);
	free(path);
}

static void padding_bits_of_a_bin_are_cleared(void **state)
{
	(void)state;
	char *path = gt_path_join(folder, "c.bin");
	assert_int_equal(gt_file_write(path, "\x21\xf3", 2, NULL), GT_OK);
	struct gt_tensor t;
	int64_t three = 3, five = 5;
	assert_int_equal(gt_tensor_init(&t, GT_UINT4, 1, &three, NULL), GT_OK);
	assert_int_equal(gt_tensor_load_bin(path, &t, NULL), GT_OK);
	assert_memory_equal(t.data, "\x21\x03", 2);
	gt_tensor_free(&t);
	assert_int_equal(gt_tensor_init(&t, GT_UINT2, 1, &five, NULL), GT_OK);
	assert_int_equal(gt_tensor_load_bin(path, &t, NULL), GT_OK);
	assert_memory_equal(t.data, "\x21\x03", 2);
	gt_tensor_free(&t);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(init_counts_and_zeroes),
		cmocka_unit_test(a_zero_dimension_is_empty_even_beside_huge_ones),
		cmocka_unit_test(impossible_shapes_are_refused),
		cmocka_unit_test(elements_read_as_doubles),
		cmocka_unit_test(shapes_have_short_names),
		cmocka_unit_test(bin_files_round_trip),
		cmocka_unit_test(bin_files_that_do_not_fit_are_refused),
		cmocka_unit_test(padding_bits_of_a_bin_are_cleared),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
