// Sums of products by vectors. Two entries of a row, and two weights of each column, are a pair.
#pragma once

enum { STEP = 2, TILE = 1 }; // entries of a row in a pair, and rows that lie together
enum { GROUP = 96, SHARE = 24 }; // for second-level caches of 512 kB

static inline int16_t *row_of(const Rounded *rows, long block, long row)
{
    return rows->values + (block * rows->rows + row) * MOST_DEPTH;
}

static inline void put_row(int16_t *row, const int16_t *entries, long count)
{
    memcpy(row, entries, ceil_div(count, STEP) * STEP * sizeof *row);
}

static inline void put_weight(int16_t *panel, long size, long i, long column, int16_t weight)
{
    panel[i / 2 * 2 * COLUMNS + column * 2 + i % 2] = weight;
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
    const long size = matrix->size, tiles = ceil_div(from->rows, MOST_ROWS);
    for (long j = 0; j < matrix->blocks; j++) {
        const int16_t *weights = matrix->weights + (p * matrix->blocks + j) * size;
        const Floats *scales = (Floats *)(matrix->scales + (p * matrix->blocks + j) * COLUMNS);
        for (long t = 0, row = 0; t < tiles; t++) {
            const long end = row + ceil_div(from->rows - row, tiles - t); // tiles of equal size
            const Tile tile = {
                row_of(from, j, row), (const Vector *)weights,
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
