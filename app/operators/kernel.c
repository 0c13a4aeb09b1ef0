// Compiled once for each kernel, for its kind of processor, with its name as KERNEL: build.py.
#include "kernel.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

// Sums are kept in registers, two for each row of a tile. Of 16 registers 12 hold those of 6 rows,
// and the others two weights, a pair of a row and its products; of 32, 24 hold those of 12.
#if defined __AVX512VNNI__
enum { LANES = 16, MOST_ROWS = 12 };
#elif defined __AVX2__
enum { LANES = 8, MOST_ROWS = 6 };
#else
enum { LANES = 4, MOST_ROWS = 6 };
#endif
enum { COLUMNS = 2 * LANES, CACHE_LINE = 64 };

#ifdef __clang__
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 12")
#endif

typedef int32_t Pair __attribute__((may_alias)); // two integers of 16 bits, or a sum of 32
typedef int32_t Vector __attribute__((vector_size(4 * LANES), may_alias));

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
    const char *ahead; // weights to be fetched meanwhile, `step` bytes for each pair
    long pairs, step;
} Tile;

// Sum up the products of a tile. The compiler has to know its rows: only sums of unrolled loops can
// be in registers. The loop over the pairs is not unrolled: nothing is gained, and a compiler that
// has more to keep than registers stores sums instead.
static inline __attribute__((always_inline)) void sum(Tile tile, const int rows, Vector *out)
{
    Vector sums[MOST_ROWS][2] = {0};
    for (long k = 0; k < tile.pairs; k++, tile.rows += 2, tile.weights += 2) {
        UNROLLED
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

// Not inlined: what is around it would take registers.
static __attribute__((noinline)) void sum_rows(const Tile *tile, long rows, Vector *out)
{
    switch (rows) {
    case 1: sum(*tile, 1, out); break;
    case 2: sum(*tile, 2, out); break;
    case 3: sum(*tile, 3, out); break;
    case 4: sum(*tile, 4, out); break;
    case 5: sum(*tile, 5, out); break;
    case 6: sum(*tile, 6, out); break;
#ifdef __AVX512VNNI__
    case 7: sum(*tile, 7, out); break;
    case 8: sum(*tile, 8, out); break;
    case 9: sum(*tile, 9, out); break;
    case 10: sum(*tile, 10, out); break;
    case 11: sum(*tile, 11, out); break;
    case 12: sum(*tile, 12, out); break;
#endif
    }
}

// The first block of a row sets the output, with the bias, and the others add to it. Weights are
// fetched from memory one block ahead of their use: what lies behind is what comes next.
static void multiply(const Matrix *matrix, long p, const Rounded *from, float *out, long stride)
{
    const long size = matrix->block * COLUMNS, tiles = parts(from->rows, MOST_ROWS);
    const long columns = least(matrix->width - p * COLUMNS, COLUMNS);
    const float *restrict bias = matrix->bias + p * COLUMNS;
    for (long j = 0; j < matrix->blocks; j++) {
        const int16_t *weights = matrix->weights + (p * matrix->blocks + j) * size;
        const float *restrict scales = matrix->scales + (p * matrix->blocks + j) * COLUMNS;
        for (long t = 0, row = 0; t < tiles; t++) {
            const long end = row + parts(from->rows - row, tiles - t); // as many in each tile
            Vector sums[2 * MOST_ROWS];
            const Tile tile = {
                from->values + (j * from->rows + row) * MOST_DEPTH, (const Vector *)weights,
                (const char *)(weights + size + size * t / tiles), parts(depth_of(matrix, j), 2),
                2 * (long)sizeof(Vector) / tiles};
            sum_rows(&tile, end - row, sums);
            for (const Pair *restrict sum_of = (const Pair *)sums; row < end; sum_of += COLUMNS) {
                const float scale = from->scales[j * from->rows + row];
                float *restrict line = out + row++ * stride;
                if (j)
                    for (long c = 0; c < columns; c++)
                        line[c] = (float)sum_of[c] * (scale * scales[c]) + line[c];
                else
                    for (long c = 0; c < columns; c++)
                        line[c] = (float)sum_of[c] * (scale * scales[c]) + bias[c];
            }
        }
    }
}

// ---- Rows: plain C, which compilers turn into vectors. No step depends on their width: no sum
// runs over a row, and a multiplication and an addition are one step only where fmaf says so.

typedef union {
    float value;
    int32_t bits;
} Float;

static float quantize(const float *restrict row, long count, int limit, int16_t *restrict out)
{
    // Without their sign, floats are in the order of their bits; infinity and NaN are the largest.
    Float reach = {1e-20f}; // of a row of zeros
    for (long i = 0; i < count; i++) {
        const int32_t bits = ((Float){row[i]}).bits & 0x7fffffff;
        reach.bits = bits > reach.bits ? bits : reach.bits;
    }
    memset(out, 0, parts(count, 2) * 2 * sizeof *out);
    if (!isfinite(reach.value))
        return NAN;
    const float factor = limit / reach.value;
    // A float near 1.5 · 2^23 has no digits after the point: adding that rounds to an integer, and
    // leaves it in the lowest bits.
    for (long i = 0; i < count; i++)
        out[i] = (int16_t)((Float){fmaf(row[i], factor, 12582912)}).bits;
    return reach.value / limit;
}

enum { ABOVE = 7 };

// Return x · above(x²) / below(x²), two polynomials; beyond ±limit, what it is there.
static inline float rational(
    float x, float limit, const float *above, const float *below, int terms)
{
    x = x > limit ? limit : x;
    x = x < -limit ? -limit : x;
    float numerator = above[0], denominator = below[0];
    UNROLLED
    for (int i = 1; i < ABOVE; i++)
        numerator = fmaf(numerator, x * x, above[i]);
    UNROLLED
    for (int i = 1; i < terms; i++)
        denominator = fmaf(denominator, x * x, below[i]);
    return x * numerator / denominator;
}

// As Eigen has them. The errors are below 1e-6, far below those of the products before and behind.
static inline float erf_of(float x)
{
    static const float above[ABOVE] = {
        -2.72614225801306e-10f, 2.77068142495902e-08f, -2.10102402082508e-06f,
        -5.69250639462346e-05f, -7.34990630326855e-04f, -2.95459980854025e-03f,
        -1.60960333262415e-02f};
    static const float below[] = {
        -1.45660718464996e-05f, -2.13374055278905e-04f, -1.68282697438203e-03f,
        -7.37332916720468e-03f, -1.42647390514189e-02f};
    return rational(x, 4, above, below, 5);
}

static inline float tanh_of(float x)
{
    static const float above[ABOVE] = {
        -2.76076847742355e-16f, 2.00018790482477e-13f, -8.60467152213735e-11f,
        5.12229709037114e-08f, 1.48572235717979e-05f, 6.37261928875436e-04f,
        4.89352455891786e-03f};
    static const float below[] = {
        1.19825839466702e-06f, 1.18534705686654e-04f, 2.26843463243900e-03f,
        4.89352518554385e-03f};
    return rational(x, 7.90531110763549805f, above, below, 4);
}

// Each activation is x / 2 · (1 + s(x)), where s goes from -1 to 1.
static void activate(float *restrict values, const float *restrict gate, long count, int activation)
{
    if (activation == GELU)
        for (long i = 0; i < count; i++) {
            const float x = values[i], s = erf_of(x * 0.70710678118654752f);
            values[i] = fmaf(x * 0.5f, s, x * 0.5f);
        }
    if (activation == GELU_TANH)
        for (long i = 0; i < count; i++) {
            const float x = values[i], cubed = fmaf(0.044715f * x * x, x, x);
            values[i] = fmaf(x * 0.5f, tanh_of(0.79788456080286536f * cubed), x * 0.5f);
        }
    if (activation == SILU)
        for (long i = 0; i < count; i++) {
            const float half = values[i] * 0.5f;
            values[i] = fmaf(half, tanh_of(half), half);
        }
    for (long i = 0; gate && i < count; i++)
        values[i] *= gate[i];
}

const Kernel KERNEL = {COLUMNS, multiply, quantize, activate};
