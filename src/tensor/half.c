#include "tensor/half.h"

#include <math.h>

// What the patterns with all ones, and minus zero, mean.
enum special {
	SPECIAL_IEEE,       // largest exponent: infinities and NaNs
	SPECIAL_ALL_ONES,   // only exponent and mantissa all ones: NaN
	SPECIAL_MINUS_ZERO, // only the pattern of minus zero: NaN
	SPECIAL_NONE,
};

struct layout {
	unsigned exponent, mantissa; // bits
	int bias;
	enum special special;
};

static double decode(struct layout l, uint8_t bits)
{
	unsigned magnitude_bits = l.exponent + l.mantissa;
	unsigned magnitude = bits & ((1u << magnitude_bits) - 1);
	bool negative = (bits >> magnitude_bits) & 1;
	unsigned mantissa = magnitude & ((1u << l.mantissa) - 1);
	unsigned exponent = magnitude >> l.mantissa;
	double sign = negative ? -1.0 : 1.0;
	if (l.special == SPECIAL_IEEE && exponent == (1u << l.exponent) - 1)
		return mantissa ? copysign((double)NAN, sign) : sign * (double)INFINITY;
	if (l.special == SPECIAL_ALL_ONES && magnitude == (1u << magnitude_bits) - 1)
		return copysign((double)NAN, sign);
	if (l.special == SPECIAL_MINUS_ZERO && negative && magnitude == 0)
		return (double)NAN;
	// A subnormal has the exponent of the smallest normal and no leading one.
	int scale = (exponent ? (int)exponent : 1) - l.bias - (int)l.mantissa;
	unsigned whole = exponent ? mantissa | 1u << l.mantissa : mantissa;
	return sign * ldexp((double)whole, scale);
}

double gt_f8_double(enum gt_dtype type, uint8_t bits)
{
	switch (type) {
	case GT_FLOAT8E4M3FN:
		return decode((struct layout){4, 3, 7, SPECIAL_ALL_ONES}, bits);
	case GT_FLOAT8E4M3FNUZ:
		return decode((struct layout){4, 3, 8, SPECIAL_MINUS_ZERO}, bits);
	case GT_FLOAT8E5M2:
		return decode((struct layout){5, 2, 15, SPECIAL_IEEE}, bits);
	case GT_FLOAT8E5M2FNUZ:
		return decode((struct layout){5, 2, 16, SPECIAL_MINUS_ZERO}, bits);
	case GT_FLOAT4E2M1:
		return decode((struct layout){2, 1, 1, SPECIAL_NONE}, bits & 0xf);
	case GT_FLOAT8E8M0: // a power of two: no sign, no mantissa, no zero
		return bits == 0xff ? (double)NAN : ldexp(1.0, bits - 127);
	default:
		return (double)NAN;
	}
}

// Encode for an IEEE layout with `exponent_bits` and `mantissa_bits`.
static uint16_t encode(double value, int exponent_bits, int mantissa_bits)
{
	uint32_t sign = signbit(value) ? 1u << (exponent_bits + mantissa_bits) : 0;
	uint32_t infinity = ((1u << exponent_bits) - 1) << mantissa_bits;
	if (isnan(value))
		return (uint16_t)(sign | infinity | 1u << (mantissa_bits - 1));
	double size = fabs(value);
	if (isinf(value))
		return (uint16_t)(sign | infinity);
	if (size == 0)
		return (uint16_t)sign;
	int smallest = 2 - (1 << (exponent_bits - 1)); // exponent of the smallest normal
	int exponent;
	frexp(size, &exponent);
	exponent--;
	if (exponent < smallest)
		exponent = smallest;
	if (exponent > -smallest + 1)
		return (uint16_t)(sign | infinity);
	// In units of the last place; scaling by a power of two is exact here.
	double units = ldexp(size, mantissa_bits - exponent);
	uint32_t whole = (uint32_t)units;
	double rest = units - whole;
	if (rest > 0.5 || (rest == 0.5 && (whole & 1)))
		whole++;
	// The leading one of a normal number adds 1 to the exponent field, and so does a carry.
	uint32_t bits = whole + ((uint32_t)(exponent - smallest) << mantissa_bits);
	return (uint16_t)(sign | (bits > infinity ? infinity : bits));
}

uint16_t gt_double_f16(double value)
{
	return encode(value, 5, 10);
}

uint16_t gt_double_bf16(double value)
{
	return encode(value, 8, 7);
}
