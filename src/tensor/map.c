#include "tensor/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// Files of up to so many bytes are copied: most models are small, and the runner looks at all of them.
#define COPY_BYTES ((off_t)16 << 20)

static const uint8_t nothing[1];

static gt_code copy(const char *path, int fd, off_t size, struct gt_map *out, struct gt_err *err)
{
	uint8_t *bytes = malloc((size_t)size);
	if (!bytes)
		return gt_fail(err, GT_NO_MEMORY, "no memory for '%s'", path);
	off_t got = 0;
	ssize_t n = 1;
	while (got < size && n > 0) {
		n = pread(fd, bytes + got, (size_t)(size - got), got);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			got += n;
	}
	gt_code rc = GT_OK;
	if (n < 0)
		rc = gt_fail_errno(err, "cannot read '%s'", path);
	else if (got < size)
		rc = gt_fail(err, GT_BAD_DATA, "'%s' became shorter while it was read", path);
	if (rc)
		free(bytes);
	else
		*out = (struct gt_map){.bytes = bytes, .length = (size_t)size, .copy = bytes};
	return rc;
}

gt_code gt_map_open(const char *path, size_t limit, struct gt_map *out, struct gt_err *err)
{
	*out = (struct gt_map){.bytes = nothing};
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO must not hang us
	if (fd < 0)
		return gt_fail_errno(err, "cannot open '%s'", path);
	struct stat st;
	gt_code rc = GT_OK;
	if (fstat(fd, &st) != 0) {
		rc = gt_fail_errno(err, "cannot stat '%s'", path);
	} else if (!S_ISREG(st.st_mode)) {
		rc = gt_fail(err, GT_BAD_DATA, "'%s' is not a regular file", path);
	} else if ((uint64_t)st.st_size > limit) {
		rc = gt_fail(err, GT_BAD_DATA, "'%s' has %lld bytes, more than the limit of %zu", path,
		             (long long)st.st_size, limit);
	} else if (st.st_size > 0 && st.st_size <= COPY_BYTES) {
		rc = copy(path, fd, st.st_size, out, err);
	} else if (st.st_size > 0) {
		void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (bytes == MAP_FAILED)
			rc = gt_fail_errno(err, "cannot map '%s'", path);
		else
			*out = (struct gt_map){.bytes = bytes, .length = (size_t)st.st_size};
	}
	close(fd);
	return rc;
}

void gt_map_close(struct gt_map *map)
{
	if (map->copy)
		free(map->copy);
	else if (map->length)
		munmap((void *)(uintptr_t)map->bytes, map->length);
	*map = (struct gt_map){.bytes = nothing};
}
