#include "base/hash.h"

#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include <xxhash.h>

uint64_t gt_hash64(const void *bytes, size_t length)
{
	return XXH3_64bits(bytes, length);
}

static void to_hex(XXH128_hash_t hash, char out[GT_HASH_SIZE])
{
	snprintf(out, GT_HASH_SIZE, "%016llx%016llx", (unsigned long long)hash.high64,
	         (unsigned long long)hash.low64);
}

void gt_hash_bytes(const void *bytes, size_t length, char out[GT_HASH_SIZE])
{
	to_hex(XXH3_128bits(bytes, length), out);
}

gt_code gt_hash_file(const char *path, char out[GT_HASH_SIZE], uint64_t *bytes, struct gt_err *err)
{
	int fd;
	gt_code rc = gt_file_open(path, &fd, err);
	if (rc)
		return rc;
	XXH3_state_t *state = XXH3_createState();
	if (!state) {
		close(fd);
		return gt_fail(err, GT_NO_MEMORY, "no memory to hash '%s'", path);
	}
	XXH3_128bits_reset(state);
	uint64_t total = 0;
	char chunk[16384]; // a stack may be small (ulimit -s)
	for (;;) {
		ssize_t n = read(fd, chunk, sizeof chunk);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = gt_fail_errno(err, "cannot read '%s'", path);
		if (n <= 0)
			break;
		XXH3_128bits_update(state, chunk, (size_t)n);
		total += (uint64_t)n;
	}
	if (!rc)
		to_hex(XXH3_128bits_digest(state), out);
	if (bytes)
		*bytes = total;
	XXH3_freeState(state);
	close(fd);
	return rc;
}
