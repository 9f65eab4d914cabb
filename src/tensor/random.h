// tensor/random.h - xoshiro256**, the generator behind generated inputs.
//
// Pure, internal to tensor/. Algorithms: xoshiro256** 1.0 by David Blackman and Sebastiano Vigna,
// seeded by SplitMix64 as its authors advise (https://prng.di.unimi.it/, both public domain).
// Written here from their definition; tests/unit/test_generate.c holds published vectors.
#ifndef GT_TENSOR_RANDOM_H
#define GT_TENSOR_RANDOM_H

#include <stdint.h>

struct gt_random {
	uint64_t s[4];
};

// Next number of SplitMix64; `state` moves on.
uint64_t gt_splitmix64(uint64_t *state);

// State from four numbers of SplitMix64 that starts at `key`. Never all zero.
void gt_random_seed(struct gt_random *r, uint64_t key);

static inline uint64_t gt_random_next(struct gt_random *r)
{
	uint64_t *s = r->s, x = s[1] * 5, shifted = s[1] << 17;
	uint64_t result = (x << 7 | x >> 57) * 9;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= shifted;
	s[3] = s[3] << 45 | s[3] >> 19;
	return result;
}

#endif // GT_TENSOR_RANDOM_H
