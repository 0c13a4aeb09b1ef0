// Kernels: the arithmetic on one tile of a product and on one row, for each kind of processor.
// All kernels give the same bits: integer sums are exact, and the rest is float32 arithmetic whose
// every step IEEE 754 defines, in the same order everywhere.
#pragma once

#include <stdint.h>

enum {
    MOST_DEPTH = 384, // of a block: so much of a row is multiplied at once
    MOST_COLUMNS = 32, // of a panel
    LARGEST_LIMIT = 16383, // to which rows may be rounded
};

typedef enum { IDENTITY, GELU, GELU_TANH, SILU } Activation;

// A few rows times one panel of weights. Rows lie MOST_DEPTH apart: a stride that the compiler knows
// leaves one address for all of them, and so enough registers.
typedef struct {
    const int16_t *rows; // (rows, MOST_DEPTH)
    const int16_t *weights; // (depth / 2, columns of a panel, 2): pairs, as vpmaddwd takes them
    long depth; // even
    const char *ahead; // weights that the next tiles will need, to be fetched meanwhile,
    long step; // so many bytes of them for each pair
    const float *row_scales, *column_scales;
    const float *bias; // of the columns, or null: add to what `out` holds
    const float *residual; // (rows, columns) with the stride of `out`, or null
    float *out;
    long stride;
    int columns; // to write: the last panel may hold fewer than the others
} Tile;

typedef struct {
    const char *name;
    int rows; // most of a tile
    int columns; // of a panel
    void (*multiply)(const Tile *tile, int rows);
    // Round values to -limit .. limit, fill up with zeros to `padded`, and return the scale that
    // turns them back: NaN if a value is not finite.
    float (*quantize)(const float *values, long count, long padded, int limit, int16_t *out);
    // Apply the activation in place, and multiply by the gate unless it is null.
    void (*activate)(float *values, const float *gate, long count, Activation activation);
} Kernel;

// Return the kernel of this name, or for "" the best one; null if the processor does not have it.
const Kernel *choose_kernel(const char *name);
