// Products: rows of float32 times constant weights, computed with 16-bit integers.
#pragma once

#include "kernels.h"
#include "ort_api.h"

enum { MOST_PARTS = 3 };

// Weights of one product, or of several of one input, side by side; packed for a kernel.
typedef struct {
    const Kernel *kernel;
    int parts;
    int limit; // rows are rounded to -limit .. limit
    long depth; // entries of a row
    long block; // so many of them go into one integer sum, a multiple of MOST_COLUMNS
    long blocks;
    long widths[MOST_PARTS]; // columns of each part
    long panels[MOST_PARTS + 1]; // where the panels of each part begin, and where the last ends
    int16_t *weights; // (blocks, panels, block / 2, columns of a panel, 2)
    float *scales; // (blocks, panels, columns of a panel)
    float *bias; // (panels, columns of a panel)
} Matrix;

// One part as float32: weights (depth, width) with rows `stride` apart, bias (width,) or null.
typedef struct {
    const float *weights, *bias;
    long width, stride;
} Part;

// Pack parts of one depth, in blocks of at most `deepest`. Return null, or what is wrong; the matrix
// is to be freed in either case.
const char *pack(
    Matrix *matrix, const Kernel *kernel, const Part *parts, int count, long depth, int limit, long deepest);
void free_matrix(Matrix *matrix);

// What a run has from its session: memory, and threads to share the work.
typedef struct {
    const OrtApi *api;
    const OrtKernelContext *context;
    OrtAllocator *allocator;
    int threads;
} Session;

// A product, or with `down` a feed-forward layer; rows are those of the input, (rows, depth).
typedef struct {
    const Matrix *matrix, *down;
    const float *input, *residual; // residual (rows, width of the output) or null
    float *outputs[MOST_PARTS]; // (rows, width) of each part
    Activation activation; // of the first part; the residual is added to what is not activated
    int gated; // multiply the first part by the second, whose output is scratch
    long rows;
} Work;

OrtStatus *multiply(const Session *session, const Work *work);
// Multiply by `matrix`, gated if it has two parts, activate, and multiply by `down`.
OrtStatus *feed_forward(const Session *session, const Work *work);
