// base/hash.h - fingerprints of files and lines: XXH3 by libxxhash (not cryptographic).
#ifndef GT_BASE_HASH_H
#define GT_BASE_HASH_H

#include "base/status.h"

#include <stdint.h>

// 64-bit XXH3 of some bytes: checksum of journal lines and frames, key of hash tables.
uint64_t gt_hash64(const void *bytes, size_t length);

// 128-bit XXH3 in canonical form, 32 lower-case hex digits and a NUL: what records call "hash".
#define GT_HASH_SIZE 33
void gt_hash_bytes(const void *bytes, size_t length, char out[GT_HASH_SIZE]);

// The same of a whole file, read in pieces; `bytes` (may be NULL) receives its size.
GT_MUST_USE gt_code gt_hash_file(const char *path, char out[GT_HASH_SIZE], uint64_t *bytes,
                                 struct gt_err *err);

// The same of bytes that come piece by piece.
struct gt_hasher;
struct gt_hasher *gt_hasher_new(void);
void gt_hasher_add(struct gt_hasher *hasher, const void *bytes, size_t length);

// Add the first `most` bytes of an open file, or all if it has fewer; `bytes` (may be NULL) receives how
// many there were. `path` names it in a sentence.
GT_MUST_USE gt_code gt_hasher_add_file(struct gt_hasher *hasher, int fd, const char *path,
                                       uint64_t most, uint64_t *bytes, struct gt_err *err);

// The hash of what was added so far.
void gt_hasher_tell(const struct gt_hasher *hasher, char out[GT_HASH_SIZE]);
void gt_hasher_free(struct gt_hasher *hasher);

#endif // GT_BASE_HASH_H
