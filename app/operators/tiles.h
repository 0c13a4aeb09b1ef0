// Sums of products by AMX, whose registers are tiles of 16 rows of 64 bytes. It multiplies bytes,
// so an entry and a weight are each 256 · upper + lower, with the sign in the upper byte, and four
// tiles hold the sums of the four products of bytes. Put together they are what 16 bits would give:
// the whole sum fits into 32 bits, so what overflows on the way is taken off again.
#pragma once

enum { STEP = 64, TILE = 16, PART = STEP * TILE }; // entries of a row, rows, and bytes of a tile
enum { GROUP = 256, SHARE = 64 }; // AMX comes with second-level caches of 2 MB

typedef uint32_t Sums __attribute__((vector_size(4 * TILE))); // of a row

// 16 rows lie together, for each step a tile of upper bytes, and behind it one of lower bytes.
static inline int16_t *row_of(const Rounded *rows, long block, long row)
{
    const long tile = block * ceil_div(rows->rows, TILE) + row / TILE;
    return rows->values + tile * TILE * MOST_DEPTH + row % TILE * STEP / 2;
}

static inline void put_row(int16_t *row, const int16_t *entries, long count)
{
    int8_t *bytes = (int8_t *)row;
    for (long i = 0; i < count; i += STEP, bytes += 2 * PART)
        for (long k = 0; k < STEP; k++) {
            bytes[k] = (int8_t)(entries[i + k] >> 8);
            bytes[PART + k] = (int8_t)entries[i + k];
        }
}

// So do four weights of a column: each half of a panel's columns has its tiles, as rows have.
static inline void put_weight(int16_t *panel, long size, long i, long column, int16_t weight)
{
    int8_t *tile = (int8_t *)(panel + column / TILE * size / 2) + i / STEP * 2 * PART;
    const long at = i % STEP / 4 * STEP + column % TILE * 4 + i % 4;
    tile[at] = (int8_t)(weight >> 8);
    tile[PART + at] = (int8_t)weight;
}

// Sum up the products of 16 rows and 16 columns, of rows that there are not as well, and prefetch
// `bytes` for each step. No product waits for the sums of the one before.
static inline void sum(const int8_t *rows, const int8_t *weights, long steps, const char *ahead,
    long bytes, Sums out[][TILE])
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (long s = 0; s < steps; s++, rows += 2 * PART, weights += 2 * PART, ahead += bytes) {
        for (long i = 0; i < bytes; i += CACHE_LINE)
            __builtin_prefetch(ahead + i, 0, 2);
        _tile_loadd(4, rows, STEP);
        _tile_loadd(6, weights, STEP);
        _tile_dpbssd(0, 4, 6);
        _tile_loadd(7, weights + PART, STEP);
        _tile_dpbsud(1, 4, 7);
        _tile_loadd(5, rows + PART, STEP);
        _tile_dpbusd(2, 5, 6);
        _tile_dpbuud(3, 5, 7);
    }
    _tile_stored(0, out[0], STEP);
    _tile_stored(1, out[1], STEP);
    _tile_stored(2, out[2], STEP);
    _tile_stored(3, out[3], STEP);
}

// The palette, the first row, and for each tile its bytes of a row and its rows.
static const struct {
    uint8_t palette, first, unused[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} tiles = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

// Multiply rows by panel `p`, the whole of it; `out` is the place of its first column, in rows
// `stride` apart. The first block of a row adds to the bias, and the others to what is there.
// Weights are prefetched one block ahead. A thread leaves no tiles behind for others to save.
static void multiply(const Matrix *matrix, long p, const Rounded *from, float *out, long stride)
{
    const long halves = 2 * ceil_div(from->rows, TILE);
    _tile_loadconfig(&tiles);
    for (long j = 0; j < matrix->blocks; j++) {
        const int16_t *weights = matrix->weights + (p * matrix->blocks + j) * matrix->size;
        const Floats *scales = (Floats *)(matrix->scales + (p * matrix->blocks + j) * COLUMNS);
        const long steps = ceil_div(depth_of(matrix, j), STEP);
        const long bytes = ceil_div(matrix->size * 2, steps * halves * CACHE_LINE) * CACHE_LINE;
        for (long i = 0; i < halves; i++) {
            const long first = i / 2 * TILE, rows = min(from->rows - first, TILE), half = i % 2;
            Sums sums[4][TILE];
            sum((const int8_t *)row_of(from, j, first),
                (const int8_t *)(weights + half * matrix->size / 2), steps,
                (const char *)(weights + matrix->size) + i * steps * bytes, bytes, sums);
            for (long r = 0; r < rows; r++) {
                const float scale = from->scales[j * from->rows + first + r];
                Floats *line = (Floats *)(out + (first + r) * stride) + half;
                const Floats *start = j ? line : (Floats *)(matrix->bias + p * COLUMNS) + half;
                const Sums middle = sums[1][r] + sums[2][r];
                const Vector whole = (Vector)((sums[0][r] << 16) + (middle << 8) + sums[3][r]);
                *line = __builtin_convertvector(whole, Floats) * (scale * scales[half]) + *start;
            }
        }
    }
    _tile_release();
}
