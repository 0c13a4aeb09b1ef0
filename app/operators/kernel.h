// A kernel: the arithmetic on panels and on rows, compiled for one kind of processor. All give the
// same bits: integer sums are exact, and the rest is float32 arithmetic whose every step IEEE 754
// defines, in the same order everywhere.
#pragma once

#include <stdint.h>

enum { MOST_DEPTH = 384 }; // of a block: so many entries of a row go into one integer sum
enum { IDENTITY, GELU, GELU_TANH, SILU }; // activations

// Weights, packed in the order in which they are read.
typedef struct {
    long depth, width; // of the weights: entries of a row, and of what it becomes
    long block, blocks; // entries of a row in a block, a multiple of 32; the last may have fewer
    long panels; // of as many columns as the kernel takes at a time
    int16_t *weights; // (panels, blocks, block / 2, columns, 2): pairs, as vpmaddwd takes them
    float *scales; // (panels, blocks, columns)
    float *bias; // (panels, columns)
} Matrix;

// Rows as integers. They lie MOST_DEPTH apart: a stride that the compiler knows leaves one address
// for all rows of a tile, and so enough registers.
typedef struct {
    long rows;
    int16_t *values; // (blocks, rows, MOST_DEPTH)
    float *scales; // (blocks, rows)
} Rounded;

typedef struct {
    int columns; // of a panel
    // Multiply rows by panel `p`; `out` is the place of its first column, in rows `stride` apart.
    void (*multiply)(const Matrix *matrix, long p, const Rounded *from, float *out, long stride);
    // Round a row to -limit .. limit, with a zero behind if its length is odd, and return the scale
    // that turns it back: NaN if a value is not finite.
    float (*quantize)(const float *row, long count, int limit, int16_t *out);
    // Apply an activation in place, and multiply by the gate unless it is null.
    void (*activate)(float *values, const float *gate, long count, int activation);
} Kernel;

extern const Kernel plain, avx2, avx_vnni, avx512_vnni; // build.py has their processors

static inline long least(long one, long other)
{
    return one < other ? one : other;
}

// Return how many parts of some size a value has.
static inline long parts(long value, long size)
{
    return (value + size - 1) / size;
}

static inline long depth_of(const Matrix *matrix, long block)
{
    return least(matrix->depth - block * matrix->block, matrix->block);
}
