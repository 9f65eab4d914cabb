#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];

const char *scratch_folder(void)
{
	if (!folder[0]) {
		strcpy(folder, "/tmp/gauntlet-test-XXXXXX");
		if (!mkdtemp(folder))
			abort();
	}
	return folder;
}

char *scratch(const char *name)
{
	return gt_path_join(scratch_folder(), name);
}

void remove_scratch(void)
{
	if (folder[0] && gt_remove_tree(folder, NULL) != GT_OK)
		fprintf(stderr, "cannot remove %s\n", folder);
	folder[0] = '\0';
}

void write_text(const char *path, const char *text)
{
	assert_int_equal(gt_file_write(path, text, strlen(text), NULL), GT_OK);
}

static void child(body *run, void *argument, const char *log, int report)
{
	int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
		_exit(99);
	alarm(120);
	struct gt_err err = {0};
	err.code = run(argument, &err);
	if (gt_write_all(report, &err, sizeof err) != 0)
		_exit(98);
	_exit(0);
}

void in_job(body *run, void *argument, struct outcome *out)
{
	*out = (struct outcome){0};
	char *log = scratch("job.log");
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[0]);
		child(run, argument, log, ends[1]);
	}
	close(ends[1]);
	size_t got = 0;
	for (ssize_t n; got < sizeof out->err; got += (size_t)n)
		if ((n = read(ends[0], (char *)&out->err + got, sizeof out->err - got)) <= 0)
			break;
	close(ends[0]);
	assert_int_equal(waitpid(pid, &out->status, 0), pid);
	out->framed = got == sizeof out->err;
	struct gt_buf text = {0};
	assert_int_equal(gt_file_read(log, 1 << 20, &text, NULL), GT_OK);
	out->log = gt_buf_take(&text);
	free(log);
}

void free_outcome(struct outcome *out)
{
	free(out->log);
	out->log = NULL;
}

void must_pass(body *run, void *argument)
{
	struct outcome out;
	in_job(run, argument, &out);
	if (!out.framed || out.err.code != GT_OK)
		fail_msg("status %d, %s: %s\n%s", out.status, gt_code_name(out.err.code), out.err.text,
		         out.log);
	free_outcome(&out);
}

void must_fail(body *run, void *argument, gt_code code, const char *part)
{
	struct outcome out;
	in_job(run, argument, &out);
	if (!out.framed)
		fail_msg("the job ended with status %d and no frame\n%s", out.status, out.log);
	if (out.err.code != code || !strstr(out.err.text, part))
		fail_msg("wanted %s with '%s', got %s: %s", gt_code_name(code), part,
		         gt_code_name(out.err.code), out.err.text);
	free_outcome(&out);
}

void add_value(struct gt_values *values, const char *name, enum gt_dtype type, uint32_t rank,
               const int64_t *dims, const void *data)
{
	struct gt_tensor *t = &gt_values_add(values, name)->tensor;
	if (gt_tensor_init(t, type, rank, dims, NULL) != GT_OK)
		abort();
	if (data && t->bytes)
		memcpy(t->data, data, t->bytes);
}

gt_code same_value(const struct gt_values *values, size_t i, enum gt_dtype type, uint32_t rank,
                     const int64_t *dims, const void *data, struct gt_err *err)
{
	if (i >= values->count)
		return gt_fail(err, GT_INTERNAL, "there are only %zu outputs", values->count);
	const struct gt_tensor *t = &values->items[i].tensor;
	struct gt_buf is = {0}, wants = {0};
	gt_tensor_describe(t, &is);
	gt_shape_describe(rank, dims, type, &wants);
	bool same = strcmp(gt_buf_text(&is), gt_buf_text(&wants)) == 0;
	if (!same)
		gt_fail(err, GT_INTERNAL, "output %zu is %s instead of %s", i, gt_buf_text(&is),
		        gt_buf_text(&wants));
	gt_buf_free(&is);
	gt_buf_free(&wants);
	if (!same)
		return GT_INTERNAL;
	if (t->bytes && memcmp(t->data, data, t->bytes) != 0)
		return gt_fail(err, GT_INTERNAL, "output %zu has other bytes", i);
	return GT_OK;
}
