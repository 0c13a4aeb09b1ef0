// The arithmetic on panels and on rows, compiled for one kind of processor. All give the same bits:
// integer sums are exact, and the rest is float32 arithmetic whose every step IEEE 754 defines, in
// the same order everywhere. build.py says what a processor has: LANES, the 32-bit entries of a
// vector, and MOST_ROWS, whose sums fit into registers, two vectors each. Of 16 registers 12 hold
// sums, and the others two weights, a pair of a row and its products; of 32, 24 hold sums.
#pragma once

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { COLUMNS = 2 * LANES, CACHE_LINE = 64 };
enum { LIMIT = 8191 }; // rows are rounded to -LIMIT .. LIMIT
enum { MOST_DEPTH = 384 }; // of a block: entries of a row that go into one integer sum
enum { IDENTITY, GELU, GELU_TANH, SILU }; // activations

#ifdef __clang__
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 12")
#endif

typedef int32_t Pair __attribute__((may_alias)); // two integers of 16 bits, or a sum of 32
typedef int32_t Vector __attribute__((vector_size(4 * LANES), may_alias));
typedef float Floats __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

// Weights, packed in the order in which they are read.
typedef struct {
    long depth, width; // of the weights: entries of a row, and of what it becomes
    long block, blocks; // entries of a row in a block, a multiple of 32; the last may have fewer
    long panels; // of COLUMNS columns
    long size; // of a panel in a block
    int16_t *weights; // (panels, blocks, size), where put_weight puts them
    float *scales; // (panels, blocks, COLUMNS)
    float *bias; // (panels, COLUMNS)
} Matrix;

// Rows as integers. For vectors they lie MOST_DEPTH apart: a stride that the compiler knows leaves
// one address for all rows of a tile, and so enough registers.
typedef struct {
    long rows;
    int16_t *values; // (blocks, rows, MOST_DEPTH), where row_of and put_row have them
    float *scales; // (blocks, rows)
} Rounded;

static inline long min(long one, long other) { return one < other ? one : other; }
static inline long ceil_div(long value, long size) { return (value + size - 1) / size; }

static inline long depth_of(const Matrix *matrix, long block)
{
    return min(matrix->depth - block * matrix->block, matrix->block);
}

#if defined __AMX_INT8__ || defined __AMXINT8__ // as GCC and clang name it
#include "tiles.h"
#else
#include "vectors.h"
#endif

// From here on rows are plain C, which compilers turn into vectors. No step depends on their width:
// no sum runs over a row, and multiplying and adding are one step only where fmaf says so.
typedef union { float value; uint32_t bits; } Float;

// A float near this, 1.5 · 2^23, has no digits after the point: adding it rounds to an integer, and
// leaves that in the lowest bits.
static const float ROUNDING = 12582912;

// Round a row, with zeros behind up to a whole step, and return the scale that turns it back:
// NaN if a value is not finite.
static __attribute__((noinline)) float quantize(
    const float *restrict row, long count, int16_t *restrict out)
{
    // Without their sign, floats are in the order of their bits; infinity and NaN are the largest.
    Float reach = {1e-20f}; // of a row of zeros
    for (long i = 0; i < count; i++) {
        const uint32_t bits = ((Float){row[i]}).bits & 0x7fffffff;
        reach.bits = bits > reach.bits ? bits : reach.bits;
    }
    int16_t entries[MOST_DEPTH] = {0};
    const float factor = isfinite(reach.value) ? LIMIT / reach.value : 0;
    for (long i = 0; i < count; i++)
        entries[i] = (int16_t)((Float){fmaf(row[i], factor, ROUNDING)}).bits;
    put_row(out, entries, count);
    if (!isfinite(reach.value))
        return NAN;
    return reach.value / LIMIT;
}

// Each activation is x / (1 + 2^(x · slope(x²))), where slope is a polynomial: fitted for GELU, and
// exact for the others. Beyond ±limit the second factor stays what it is there, nearly 0 or 1. The
// errors are below 4e-7 of x or 1, far below those of the products before and behind.
static const struct { float limit, slope[6]; } activations[] = {
    [GELU] = {
        5.4f, {1.88166e-7f, -8.825069e-6f, 1.439902e-4f, 1.357423e-4f, -.104880187f, -2.30219494f}},
    [GELU_TANH] = {8, {0, 0, 0, 0, -.102943240f, -2.30220820f}},
    [SILU] = {40, {0, 0, 0, 0, 0, -1.44269504f}}};

// 2^x between -1/2 and 1/2, a polynomial too.
static const float power[6] = {
    1.32764725e-3f, 9.67554189e-3f, 5.55071309e-2f, .240221202f, .693146944f, 1.00000012f};

// Apply an activation in place, and multiply by the gate unless it is null.
static void activate(float *restrict values, const float *restrict gate, long count, int activation)
{
    const float *restrict slope = activations[activation].slope;
    const float limit = activations[activation].limit;
    for (long i = 0; activation != IDENTITY && i < count; i++) {
        float x = values[i] > limit ? limit : values[i], steepness = slope[0];
        x = x < -limit ? -limit : x;
        for (int k = 1; k < 6; k++)
            steepness = fmaf(steepness, x * x, slope[k]);
        const Float whole = {x * steepness + ROUNDING};
        const float rest = x * steepness - (whole.value - ROUNDING);
        Float result = {power[0]};
        for (int k = 1; k < 6; k++)
            result.value = fmaf(result.value, rest, power[k]);
        result.bits += whole.bits << 23; // added to the exponent that it has
        values[i] /= 1 + result.value;
    }
    for (long i = 0; gate && i < count; i++)
        values[i] *= gate[i];
}
