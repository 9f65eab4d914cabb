#include "base/hash.h"

#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
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

// A gt_hasher is the library's state, which has an alignment of its own, under a name of ours.
static XXH3_state_t *state_of(struct gt_hasher *hasher)
{
	return (XXH3_state_t *)(void *)hasher;
}

struct gt_hasher *gt_hasher_new(void)
{
	XXH3_state_t *state = XXH3_createState();
	if (!state)
		abort();
	XXH3_128bits_reset(state);
	return (struct gt_hasher *)(void *)state;
}

void gt_hasher_add(struct gt_hasher *hasher, const void *bytes, size_t length)
{
	XXH3_128bits_update(state_of(hasher), bytes, length);
}

gt_code gt_hasher_add_file(struct gt_hasher *hasher, int fd, const char *path, uint64_t most,
                           uint64_t *bytes, struct gt_err *err)
{
	char chunk[16384]; // a stack may be small (ulimit -s)
	uint64_t at = 0;
	gt_code rc = GT_OK;
	while (at < most) {
		size_t left = most - at < sizeof chunk ? (size_t)(most - at) : sizeof chunk;
		ssize_t n = pread(fd, chunk, left, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = gt_fail_errno(err, "cannot read '%s'", path);
		if (n <= 0)
			break;
		gt_hasher_add(hasher, chunk, (size_t)n);
		at += (uint64_t)n;
	}
	if (bytes)
		*bytes = at;
	return rc;
}

void gt_hasher_tell(const struct gt_hasher *hasher, char out[GT_HASH_SIZE])
{
	to_hex(XXH3_128bits_digest((const XXH3_state_t *)(const void *)hasher), out);
}

void gt_hasher_free(struct gt_hasher *hasher)
{
	XXH3_freeState(state_of(hasher));
}

gt_code gt_hash_file(const char *path, char out[GT_HASH_SIZE], uint64_t *bytes, struct gt_err *err)
{
	int fd;
	gt_code rc = gt_file_open(path, &fd, err);
	if (rc)
		return rc;
	struct gt_hasher *hasher = gt_hasher_new();
	rc = gt_hasher_add_file(hasher, fd, path, UINT64_MAX, bytes, err);
	if (!rc)
		gt_hasher_tell(hasher, out);
	gt_hasher_free(hasher);
	close(fd);
	return rc;
}
