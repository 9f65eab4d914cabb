#include "tensor/map.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint8_t nothing[1];

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
	} else if (st.st_size > 0) {
		void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (bytes == MAP_FAILED)
			rc = gt_fail_errno(err, "cannot map '%s'", path);
		else
			*out = (struct gt_map){bytes, (size_t)st.st_size};
	}
	close(fd);
	return rc;
}

void gt_map_close(struct gt_map *map)
{
	if (map->length)
		munmap((void *)(uintptr_t)map->bytes, map->length);
	*map = (struct gt_map){.bytes = nothing};
}
