// tensor/half.h - floats of 16 bits and fewer as double, and back for the two that are generated.
//
// Pure, internal to tensor/. Reading is exact; writing rounds to nearest, ties to even.
#ifndef GT_TENSOR_HALF_H
#define GT_TENSOR_HALF_H

#include "tensor/dtype.h"

#include <string.h>

static inline float gt_float_from_bits(uint32_t bits)
{
	float value;
	memcpy(&value, &bits, sizeof value);
	return value;
}

static inline double gt_f16_double(uint16_t half)
{
	uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
	uint32_t exponent = (half >> 10) & 0x1fu, mantissa = half & 0x3ffu;
	if (exponent == 0) {
		double tiny = (double)mantissa * 0x1p-24;
		return sign ? -tiny : tiny;
	}
	// 112 is the difference of the two biases.
	exponent = exponent == 0x1f ? 0xff : exponent + 112;
	return (double)gt_float_from_bits(sign | exponent << 23 | mantissa << 13);
}

static inline double gt_bf16_double(uint16_t half)
{
	return (double)gt_float_from_bits((uint32_t)half << 16);
}

// The float kinds of 8 and 4 bits; `bits` holds the pattern in its low bits.
double gt_f8_double(enum gt_dtype type, uint8_t bits);

uint16_t gt_double_f16(double value);
uint16_t gt_double_bf16(double value);

#endif // GT_TENSOR_HALF_H
