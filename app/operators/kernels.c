#include "kernels.h"

#include <cpuid.h>
#include <immintrin.h>
#include <math.h>
#include <string.h>

// Inlined into functions for several processors, and compiled anew for each.
#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLLED _Pragma("clang loop unroll(full)")
#define ROLLED _Pragma("clang loop unroll(disable)")
#else
#define UNROLLED _Pragma("GCC unroll 24")
#define ROLLED _Pragma("GCC unroll 1")
#endif
#define AVX2 __attribute__((target("avx2,fma")))
#define AVX_VNNI __attribute__((target("avx2,fma,avxvnni")))
#define AVX512_VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")))

// ---- float32: plain C, which compilers turn into vectors. No step depends on their width: there
// is no sum over a row, and a multiplication and an addition are one step only where fmaf says so.

INLINE int32_t bits_of(float value)
{
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

INLINE float quantize(const float *restrict values, long count, long padded, int limit, int16_t *restrict out)
{
    // Without their sign, floats are in the order of their bits; infinity and NaN are the largest.
    int32_t largest = 0;
    for (long i = 0; i < count; i++) {
        int32_t bits = bits_of(values[i]) & 0x7fffffff;
        largest = bits > largest ? bits : largest;
    }
    if (largest >= bits_of(INFINITY)) {
        memset(out, 0, padded * sizeof *out);
        return NAN;
    }
    float reach;
    memcpy(&reach, &largest, sizeof reach);
    reach = reach < 1e-20f ? 1e-20f : reach; // of a row of zeros
    float factor = limit / reach;
    // A float near 1.5 · 2^23 has no digits after the point: adding that rounds to an integer, and
    // leaves it in the lowest bits.
    const float shift = 12582912;
    for (long i = 0; i < count; i++)
        out[i] = (int16_t)bits_of(fmaf(values[i], factor, shift));
    memset(out + count, 0, (padded - count) * sizeof *out);
    return reach / limit;
}

INLINE float clamped(float x, float limit)
{
    x = x > limit ? limit : x; // NaN stays NaN
    return x < -limit ? -limit : x;
}

// Rational approximations, as Eigen has them. The errors are below 1e-6, far below those of the
// products before and behind.
INLINE float erf_of(float x)
{
    x = clamped(x, 4);
    float y = x * x;
    float p = fmaf(-2.72614225801306e-10f, y, 2.77068142495902e-08f);
    p = fmaf(p, y, -2.10102402082508e-06f);
    p = fmaf(p, y, -5.69250639462346e-05f);
    p = fmaf(p, y, -7.34990630326855e-04f);
    p = fmaf(p, y, -2.95459980854025e-03f);
    p = fmaf(p, y, -1.60960333262415e-02f);
    float q = fmaf(-1.45660718464996e-05f, y, -2.13374055278905e-04f);
    q = fmaf(q, y, -1.68282697438203e-03f);
    q = fmaf(q, y, -7.37332916720468e-03f);
    q = fmaf(q, y, -1.42647390514189e-02f);
    return x * p / q;
}

INLINE float tanh_of(float x)
{
    x = clamped(x, 7.90531110763549805f);
    float y = x * x;
    float p = fmaf(-2.76076847742355e-16f, y, 2.00018790482477e-13f);
    p = fmaf(p, y, -8.60467152213735e-11f);
    p = fmaf(p, y, 5.12229709037114e-08f);
    p = fmaf(p, y, 1.48572235717979e-05f);
    p = fmaf(p, y, 6.37261928875436e-04f);
    p = fmaf(p, y, 4.89352455891786e-03f);
    float q = fmaf(1.19825839466702e-06f, y, 1.18534705686654e-04f);
    q = fmaf(q, y, 2.26843463243900e-03f);
    q = fmaf(q, y, 4.89352518554385e-03f);
    return x * p / q;
}

INLINE void activate(float *restrict values, const float *restrict gate, long count, Activation activation)
{
    switch (activation) { // each is x / 2 · (1 + s(x)), where s goes from -1 to 1
    case GELU:
        for (long i = 0; i < count; i++) {
            float half = values[i] * 0.5f;
            values[i] = fmaf(half, erf_of(values[i] * 0.70710678118654752f), half);
        }
        break;
    case GELU_TANH:
        for (long i = 0; i < count; i++) {
            float x = values[i], half = x * 0.5f;
            float inner = 0.79788456080286536f * fmaf(0.044715f * x * x, x, x);
            values[i] = fmaf(half, tanh_of(inner), half);
        }
        break;
    case SILU:
        for (long i = 0; i < count; i++) {
            float half = values[i] * 0.5f;
            values[i] = fmaf(half, tanh_of(half), half);
        }
        break;
    case IDENTITY:
        break;
    }
    if (gate)
        for (long i = 0; i < count; i++)
            values[i] *= gate[i];
}

// Scale sums, (rows, columns of a panel), and add what is to be added.
INLINE void finish(const Tile *tile, int rows, int panel, const int32_t *restrict sums)
{
    const float *restrict scales = tile->column_scales, *restrict bias = tile->bias;
    const int columns = tile->columns;
    for (int r = 0; r < rows; r++, sums += panel) {
        const float scale = tile->row_scales[r];
        float *restrict out = tile->out + r * tile->stride;
        if (!bias) {
            for (int c = 0; c < columns; c++)
                out[c] = (float)sums[c] * (scale * scales[c]) + out[c];
        } else if (tile->residual) {
            const float *restrict residual = tile->residual + r * tile->stride;
            for (int c = 0; c < columns; c++)
                out[c] = ((float)sums[c] * (scale * scales[c]) + bias[c]) + residual[c];
        } else {
            for (int c = 0; c < columns; c++)
                out[c] = (float)sums[c] * (scale * scales[c]) + bias[c];
        }
    }
}

// ---- Sums of integer products: two registers for each row hold the sums of a panel's columns. The
// loop over the rows must be unrolled, for the sums to be in registers at all. The one over the depth
// is not: nothing is gained, and a compiler that has more to keep than registers stores sums instead.

INLINE int32_t pair_at(const int16_t *values)
{
    int32_t pair;
    memcpy(&pair, values, sizeof pair);
    return pair;
}

typedef __m256i Dot(__m256i sums, __m256i pair, __m256i weights); // add the products of pairs

AVX2 INLINE __m256i dot_avx2(__m256i sums, __m256i pair, __m256i weights)
{
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pair, weights));
}

AVX_VNNI INLINE __m256i dot_avx_vnni(__m256i sums, __m256i pair, __m256i weights)
{
    return _mm256_dpwssd_avx_epi32(sums, pair, weights);
}

AVX2 INLINE void sum_16_columns(const Tile *tile, const int rows, Dot *dot, int32_t *out)
{
    __m256i sums[12];
    const int16_t *row = tile->rows, *weights = tile->weights;
    const char *ahead = tile->ahead;
    UNROLLED
    for (int i = 0; i < 2 * rows; i++)
        sums[i] = _mm256_setzero_si256();
    ROLLED
    for (const int16_t *end = row + tile->depth; row < end; row += 2, weights += 32, ahead += tile->step) {
        _mm_prefetch(ahead, _MM_HINT_T0);
        const __m256i left = _mm256_loadu_si256((const __m256i *)weights);
        const __m256i right = _mm256_loadu_si256((const __m256i *)(weights + 16));
        UNROLLED
        for (int r = 0; r < rows; r++) {
            const __m256i pair = _mm256_set1_epi32(pair_at(row + r * MOST_DEPTH));
            sums[2 * r] = dot(sums[2 * r], pair, left);
            sums[2 * r + 1] = dot(sums[2 * r + 1], pair, right);
        }
    }
    UNROLLED
    for (int i = 0; i < 2 * rows; i++)
        _mm256_storeu_si256((__m256i *)(out + 8 * i), sums[i]);
}

AVX512_VNNI INLINE void sum_32_columns(const Tile *tile, const int rows, int32_t *out)
{
    __m512i sums[24];
    const int16_t *row = tile->rows, *weights = tile->weights;
    const char *ahead = tile->ahead;
    UNROLLED
    for (int i = 0; i < 2 * rows; i++)
        sums[i] = _mm512_setzero_si512();
    ROLLED
    for (const int16_t *end = row + tile->depth; row < end; row += 2, weights += 64, ahead += tile->step) {
        _mm_prefetch(ahead, _MM_HINT_T0);
        _mm_prefetch(ahead + 64, _MM_HINT_T0);
        const __m512i left = _mm512_loadu_si512(weights);
        const __m512i right = _mm512_loadu_si512(weights + 32);
        UNROLLED
        for (int r = 0; r < rows; r++) {
            const __m512i pair = _mm512_set1_epi32(pair_at(row + r * MOST_DEPTH));
            sums[2 * r] = _mm512_dpwssd_epi32(sums[2 * r], pair, left);
            sums[2 * r + 1] = _mm512_dpwssd_epi32(sums[2 * r + 1], pair, right);
        }
    }
    UNROLLED
    for (int i = 0; i < 2 * rows; i++)
        _mm512_storeu_si512(out + 16 * i, sums[i]);
}

AVX2 INLINE void sum_rows_of_16(const Tile *tile, int rows, Dot *dot, int32_t *out)
{
    switch (rows) {
    case 1: sum_16_columns(tile, 1, dot, out); break;
    case 2: sum_16_columns(tile, 2, dot, out); break;
    case 3: sum_16_columns(tile, 3, dot, out); break;
    case 4: sum_16_columns(tile, 4, dot, out); break;
    case 5: sum_16_columns(tile, 5, dot, out); break;
    case 6: sum_16_columns(tile, 6, dot, out); break;
    }
}

AVX512_VNNI INLINE void sum_rows_of_32(const Tile *tile, int rows, int32_t *out)
{
    switch (rows) {
    case 1: sum_32_columns(tile, 1, out); break;
    case 2: sum_32_columns(tile, 2, out); break;
    case 3: sum_32_columns(tile, 3, out); break;
    case 4: sum_32_columns(tile, 4, out); break;
    case 5: sum_32_columns(tile, 5, out); break;
    case 6: sum_32_columns(tile, 6, out); break;
    case 7: sum_32_columns(tile, 7, out); break;
    case 8: sum_32_columns(tile, 8, out); break;
    case 9: sum_32_columns(tile, 9, out); break;
    case 10: sum_32_columns(tile, 10, out); break;
    case 11: sum_32_columns(tile, 11, out); break;
    case 12: sum_32_columns(tile, 12, out); break;
    }
}

// ---- Kernels: the above, compiled for each kind of processor.

AVX2 static void multiply_avx2(const Tile *tile, int rows)
{
    int32_t sums[6 * 16];
    sum_rows_of_16(tile, rows, dot_avx2, sums);
    finish(tile, rows, 16, sums);
}

AVX_VNNI static void multiply_avx_vnni(const Tile *tile, int rows)
{
    int32_t sums[6 * 16];
    sum_rows_of_16(tile, rows, dot_avx_vnni, sums);
    finish(tile, rows, 16, sums);
}

AVX512_VNNI static void multiply_avx512_vnni(const Tile *tile, int rows)
{
    int32_t sums[12 * 32];
    sum_rows_of_32(tile, rows, sums);
    finish(tile, rows, 32, sums);
}

static void multiply_plain(const Tile *tile, int rows)
{
    int32_t sums[6 * 16] = {0};
    for (int r = 0; r < rows; r++)
        for (long k = 0; k < tile->depth; k++)
            for (int c = 0; c < 16; c++)
                sums[r * 16 + c] +=
                    tile->rows[r * MOST_DEPTH + k] * tile->weights[(k / 2 * 16 + c) * 2 + k % 2];
    finish(tile, rows, 16, sums);
}

AVX2 static float quantize_avx2(const float *values, long count, long padded, int limit, int16_t *out)
{
    return quantize(values, count, padded, limit, out);
}

AVX512_VNNI static float quantize_avx512(const float *values, long count, long padded, int limit, int16_t *out)
{
    return quantize(values, count, padded, limit, out);
}

static float quantize_plain(const float *values, long count, long padded, int limit, int16_t *out)
{
    return quantize(values, count, padded, limit, out);
}

AVX2 static void activate_avx2(float *values, const float *gate, long count, Activation activation)
{
    activate(values, gate, count, activation);
}

AVX512_VNNI static void activate_avx512(float *values, const float *gate, long count, Activation activation)
{
    activate(values, gate, count, activation);
}

static void activate_plain(float *values, const float *gate, long count, Activation activation)
{
    activate(values, gate, count, activation);
}

static const Kernel KERNELS[] = { // the best first
    {"avx512_vnni", 12, 32, multiply_avx512_vnni, quantize_avx512, activate_avx512},
    {"avx_vnni", 6, 16, multiply_avx_vnni, quantize_avx2, activate_avx2},
    {"avx2", 6, 16, multiply_avx2, quantize_avx2, activate_avx2},
    {"plain", 6, 16, multiply_plain, quantize_plain, activate_plain}, // for tests: slower than float32
};

static int has_avx_vnni(void)
{
    unsigned a = 0, b, c, d; // GCC 12's __builtin_cpu_supports does not know it
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && a & 1 << 4;
}

const Kernel *choose_kernel(const char *name)
{
    __builtin_cpu_init();
    const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("avx512vnni");
    const int usable[] = {avx512, avx2 && has_avx_vnni(), avx2, *name};
    for (int i = 0; i < 4; i++)
        if (usable[i] && (!*name || !strcmp(KERNELS[i].name, name)))
            return &KERNELS[i];
    return NULL;
}
