#include "tensor/random.h"

uint64_t gt_splitmix64(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void gt_random_seed(struct gt_random *r, uint64_t key)
{
	// SplitMix64 is a bijection of its state, so at most one of the four can be zero.
	for (int i = 0; i < 4; i++)
		r->s[i] = gt_splitmix64(&key);
}
