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
    int16_t *weights; // (panels, blocks, block / 2, COLUMNS, 2): pairs, as vpmaddwd takes them
    float *scales; // (panels, blocks, COLUMNS)
    float *bias; // (panels, COLUMNS)
} Matrix;

// Rows as integers. They lie MOST_DEPTH apart: a stride that the compiler knows leaves one address
// for all rows of a tile, and so enough registers.
typedef struct {
    long rows;
    int16_t *values; // (blocks, rows, MOST_DEPTH)
    float *scales; // (blocks, rows)
} Rounded;

static inline long min(long one, long other) { return one < other ? one : other; }
static inline long ceil_div(long value, long size) { return (value + size - 1) / size; }

static inline long depth_of(const Matrix *matrix, long block)
{
    return min(matrix->depth - block * matrix->block, matrix->block);
}

// Add the products of pairs to sums.
static inline Vector dot(Vector sums, Vector pairs, Vector weights)
{
#if defined __AVX512VNNI__
    return (Vector)_mm512_dpwssd_epi32((__m512i)sums, (__m512i)pairs, (__m512i)weights);
#elif defined __AVXVNNI__
    return (Vector)_mm256_dpwssd_avx_epi32((__m256i)sums, (__m256i)pairs, (__m256i)weights);
#elif defined __AVX2__
    return sums + (Vector)_mm256_madd_epi16((__m256i)pairs, (__m256i)weights);
#else
    for (int i = 0; i < LANES; i++)
        sums[i] += (int16_t)pairs[i] * (int16_t)weights[i] + (pairs[i] >> 16) * (weights[i] >> 16);
    return sums;
#endif
}

typedef struct {
    const int16_t *rows; // (rows, MOST_DEPTH)
    const Vector *weights; // (pairs, 2)
    const char *ahead; // weights to prefetch, `step` bytes for each pair
    long pairs, step;
} Tile;

// Sum up the products of a tile. The compiler must know its rows and unroll loops over them, so
// that the sums stay in registers. The loop over the pairs is not unrolled: that gains nothing, and
// a compiler that has more values than registers stores sums in memory.
static inline __attribute__((always_inline)) void sum(Tile tile, const int rows, Vector *out)
{
    Vector sums[MOST_ROWS][2] = {0};
    for (long k = 0; k < tile.pairs; k++, tile.rows += 2, tile.weights += 2) {
        for (int i = 0; i < COLUMNS * (int)sizeof(Pair); i += CACHE_LINE)
            __builtin_prefetch(tile.ahead + i);
        tile.ahead += tile.step;
        UNROLLED
        for (int r = 0; r < rows; r++) {
            const Vector pairs = (Vector){0} + *(const Pair *)(tile.rows + r * MOST_DEPTH);
            sums[r][0] = dot(sums[r][0], pairs, tile.weights[0]);
            sums[r][1] = dot(sums[r][1], pairs, tile.weights[1]);
        }
    }
    UNROLLED
    for (int r = 0; r < rows; r++) {
        out[2 * r] = sums[r][0];
        out[2 * r + 1] = sums[r][1];
    }
}

// Not inlined: its caller would take registers. Clang unrolls a loop over the cases too late.
static __attribute__((noinline)) void sum_rows(const Tile *tile, long rows, Vector *out)
{
    switch (rows) {
    case 1: sum(*tile, 1, out); break;
    case 2: sum(*tile, 2, out); break;
    case 3: sum(*tile, 3, out); break;
    case 4: sum(*tile, 4, out); break;
    case 5: sum(*tile, 5, out); break;
    case 6: sum(*tile, 6, out); break;
#if MOST_ROWS == 12
    case 7: sum(*tile, 7, out); break;
    case 8: sum(*tile, 8, out); break;
    case 9: sum(*tile, 9, out); break;
    case 10: sum(*tile, 10, out); break;
    case 11: sum(*tile, 11, out); break;
    case 12: sum(*tile, 12, out); break;
#endif
    }
}

// Multiply rows by panel `p`, the whole of it; `out` is the place of its first column, in rows
// `stride` apart. The first block of a row adds to the bias, and the others to what is there.
// Weights are prefetched one block ahead of their use, in the order of memory.
static void multiply(const Matrix *matrix, long p, const Rounded *from, float *out, long stride)
{
    const long size = matrix->block * COLUMNS, tiles = ceil_div(from->rows, MOST_ROWS);
    for (long j = 0; j < matrix->blocks; j++) {
        const int16_t *weights = matrix->weights + (p * matrix->blocks + j) * size;
        const Floats *scales = (Floats *)(matrix->scales + (p * matrix->blocks + j) * COLUMNS);
        for (long t = 0, row = 0; t < tiles; t++) {
            const long end = row + ceil_div(from->rows - row, tiles - t); // tiles of equal size
            const Tile tile = {
                from->values + (j * from->rows + row) * MOST_DEPTH, (const Vector *)weights,
                (const char *)(weights + size + size * t / tiles), ceil_div(depth_of(matrix, j), 2),
                2 * (long)sizeof(Vector) / tiles};
            Vector sums[2 * MOST_ROWS], *sum = sums;
            sum_rows(&tile, end - row, sums);
            for (; row < end; row++, sum += 2) {
                const float scale = from->scales[j * from->rows + row];
                Floats *line = (Floats *)(out + row * stride);
                const Floats *start = j ? line : (Floats *)(matrix->bias + p * COLUMNS);
                line[0] = __builtin_convertvector(sum[0], Floats) * (scale * scales[0]) + start[0];
                line[1] = __builtin_convertvector(sum[1], Floats) * (scale * scales[1]) + start[1];
            }
        }
    }
}

// From here on rows are plain C, which compilers turn into vectors. No step depends on their width:
// no sum runs over a row, and multiplying and adding are one step only where fmaf says so.
typedef union { float value; uint32_t bits; } Float;

// A float near this, 1.5 · 2^23, has no digits after the point: adding it rounds to an integer, and
// leaves that in the lowest bits.
static const float ROUNDING = 12582912;

// Round a row, with a zero behind if its length is odd, and return the scale that turns it back:
// NaN if a value is not finite.
static float quantize(const float *restrict row, long count, int16_t *restrict out)
{
    // Without their sign, floats are in the order of their bits; infinity and NaN are the largest.
    Float reach = {1e-20f}; // of a row of zeros
    for (long i = 0; i < count; i++) {
        const uint32_t bits = ((Float){row[i]}).bits & 0x7fffffff;
        reach.bits = bits > reach.bits ? bits : reach.bits;
    }
    memset(out, 0, ceil_div(count, 2) * 2 * sizeof *out);
    if (!isfinite(reach.value))
        return NAN;
    const float factor = LIMIT / reach.value;
    for (long i = 0; i < count; i++)
        out[i] = (int16_t)((Float){fmaf(row[i], factor, ROUNDING)}).bits;
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
