#include "products.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    TASK_ROWS = 96, // of a task: what these need stays in a second-level cache of 512 kB
    LEAST_TASK_ROWS = 24, // fewer do not pay for reading all weights
    ROW_BYTES = MOST_DEPTH * sizeof(int16_t) + sizeof(float), // of a block of a quantized row
};

static long rounded_up(long value, long multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

static long least(long one, long other)
{
    return one < other ? one : other;
}

// ---- Packing.

static void *zeros(size_t count, size_t size)
{
    void *memory = aligned_alloc(64, rounded_up((long)(count * size), 64));
    if (memory)
        memset(memory, 0, count * size);
    return memory;
}

// Pack `depth` rows of up to a panel's columns. Each column gets the largest factor with which no
// sum can leave 32 bits, whatever a row holds: limit · Σ|weight| < 2^31, where rounding adds at most
// 1/2 to each weight.
static const char *pack_panel(
    const Matrix *matrix, const float *weights, long stride, long depth, long columns, int16_t *out, float *scales)
{
    const long panel = matrix->kernel->columns;
    double sums[MOST_COLUMNS] = {0}, largest[MOST_COLUMNS] = {0}, factors[MOST_COLUMNS];
    for (long k = 0; k < depth; k++)
        for (long c = 0; c < columns; c++) {
            const double size = fabs((double)weights[k * stride + c]);
            sums[c] += size;
            largest[c] = size > largest[c] ? size : largest[c];
        }
    const double most = (double)INT32_MAX / matrix->limit - (double)depth;
    for (long c = 0; c < columns; c++) {
        if (!isfinite(sums[c]))
            return "a weight is not a finite number";
        factors[c] = sums[c] > 1e-30 ? fmin(most / sums[c], INT16_MAX / largest[c]) : 1;
        scales[c] = (float)(1 / factors[c]);
    }
    for (long k = 0; k < depth; k++)
        for (long c = 0; c < columns; c++)
            out[(k / 2 * panel + c) * 2 + k % 2] = (int16_t)lrint(weights[k * stride + c] * factors[c]);
    return NULL;
}

const char *pack(
    Matrix *matrix, const Kernel *kernel, const Part *parts, int count, long depth, int limit, long deepest)
{
    const long columns = kernel->columns, blocks = (depth + deepest - 1) / deepest;
    const long block = rounded_up((depth + blocks - 1) / blocks, MOST_COLUMNS);
    long panels = 0;
    *matrix = (Matrix){kernel, count, limit, depth, block, blocks, {0}, {0}, NULL, NULL, NULL};
    for (int i = 0; i < count; i++) {
        matrix->widths[i] = parts[i].width;
        panels = matrix->panels[i + 1] = panels + (parts[i].width + columns - 1) / columns;
    }
    matrix->weights = zeros((size_t)blocks * panels * block * columns, sizeof(int16_t));
    matrix->scales = zeros((size_t)blocks * panels * columns, sizeof(float));
    matrix->bias = zeros((size_t)panels * columns, sizeof(float));
    if (!matrix->weights || !matrix->scales || !matrix->bias)
        return "out of memory";
    for (int i = 0; i < count; i++) {
        const Part *part = &parts[i];
        if (part->bias)
            memcpy(matrix->bias + matrix->panels[i] * columns, part->bias, part->width * sizeof(float));
        for (long j = 0; j < blocks; j++)
            for (long p = matrix->panels[i], n = 0; p < matrix->panels[i + 1]; p++, n += columns) {
                const char *fault = pack_panel(
                    matrix, part->weights + j * block * part->stride + n, part->stride, least(depth - j * block, block),
                    least(part->width - n, columns), matrix->weights + (j * panels + p) * block * columns,
                    matrix->scales + (j * panels + p) * columns);
                if (fault)
                    return fault;
            }
    }
    return NULL;
}

void free_matrix(Matrix *matrix)
{
    free(matrix->weights);
    free(matrix->scales);
    free(matrix->bias);
}

// ---- Tasks: some of the rows, and some of the columns if there are few rows for the threads.

typedef struct {
    Work work;
    const Session *session;
    long row_tasks, column_tasks;
    int failed; // set by any task
} Job;

// One block of quantized rows.
typedef struct {
    int16_t *values; // (rows, MOST_DEPTH)
    float *scales; // (rows,)
    long rows;
} Block;

// Return block `j` of those that lie in memory one behind the other.
static Block block_at(char *memory, long j, long rows)
{
    char *start = memory + j * rows * ROW_BYTES;
    return (Block){(int16_t *)start, (float *)(start + rows * MOST_DEPTH * sizeof(int16_t)), rows};
}

static void quantize_row(const Matrix *matrix, long j, const float *input, long r, Block out)
{
    const long depth = least(matrix->depth - j * matrix->block, matrix->block);
    out.scales[r] = matrix->kernel->quantize(
        input, depth, rounded_up(depth, 2), matrix->limit, out.values + r * MOST_DEPTH);
}

// Quantize all blocks of rows, which are as long as the matrix is deep, into memory as `block_at` has it.
static void quantize(const Matrix *matrix, const float *input, long rows, char *memory)
{
    for (long j = 0; j < matrix->blocks; j++)
        for (long r = 0; r < rows; r++)
            quantize_row(
                matrix, j, input + r * matrix->depth + j * matrix->block, r, block_at(memory, j, rows));
}

// Where a panel's sums go: from the first row and the panel's first column on, so many columns.
typedef struct {
    float *values;
    const float *residual; // or null
    long stride, columns;
} Output;

// Multiply rows by panel `p` of block `j`. The first block sets the output, others add to it. `next`
// is the panel that will follow, of all blocks: weights come from memory one panel ahead of their use.
static void multiply_panel(const Matrix *matrix, long j, long p, long next, Block block, Output out)
{
    const Kernel *kernel = matrix->kernel;
    const long panel = kernel->columns, panels = matrix->panels[matrix->parts], at = j * panels + p;
    const long size = matrix->block * panel, tiles = (block.rows + kernel->rows - 1) / kernel->rows;
    const int16_t *ahead = matrix->weights + next % (matrix->blocks * panels) * size;
    for (long t = 0, r = 0; t < tiles; t++) {
        const long count = (block.rows - r + tiles - t - 1) / (tiles - t); // evenly
        const Tile tile = {
            .rows = block.values + r * MOST_DEPTH,
            .weights = matrix->weights + at * size,
            .depth = rounded_up(least(matrix->depth - j * matrix->block, matrix->block), 2),
            .ahead = (const char *)(ahead + size * t / tiles),
            .step = 2 * panel * sizeof(int16_t) / tiles,
            .row_scales = block.scales + r,
            .column_scales = matrix->scales + at * panel,
            .bias = j ? NULL : matrix->bias + p * panel,
            .residual = j || !out.residual ? NULL : out.residual + r * out.stride,
            .out = out.values + r * out.stride,
            .stride = out.stride,
            .columns = (int)least(out.columns, panel),
        };
        kernel->multiply(&tile, (int)count);
        r += count;
    }
}

// Multiply rows by panel `p` of all blocks, which lie in memory as `block_at` has them.
static void multiply_blocks(const Matrix *matrix, long p, char *memory, long rows, Output out)
{
    const long panels = matrix->panels[matrix->parts];
    for (long j = 0; j < matrix->blocks; j++) {
        const long next = j + 1 < matrix->blocks ? (j + 1) * panels + p : p + 1;
        multiply_panel(matrix, j, p, next, block_at(memory, j, rows), out);
    }
}

// Allocate what a task needs, and note in its job if there is no memory.
static char *allocate(Job *job, size_t bytes)
{
    void *memory = NULL;
    OrtStatus *status = job->session->api->AllocatorAlloc(job->session->allocator, bytes, &memory);
    if (status)
        job->session->api->ReleaseStatus(status);
    if (status || !memory)
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
    return status ? NULL : memory;
}

static void release(const Job *job, void *memory)
{
    OrtStatus *status = job->session->api->AllocatorFree(job->session->allocator, memory);
    if (status)
        job->session->api->ReleaseStatus(status);
}

static OrtStatus *run(Job *job, void (*task)(void *, size_t))
{
    const OrtApi *api = job->session->api;
    const size_t tasks = job->row_tasks * job->column_tasks;
    OrtStatus *status = NULL;
    if (tasks == 1)
        task(job, 0);
    else
        status = api->KernelContext_ParallelFor(job->session->context, task, tasks, 0, job);
    if (!status && job->failed)
        status = api->CreateStatus(ORT_FAIL, "out of memory");
    return status;
}

static void multiply_task(void *argument, size_t index)
{
    Job *job = argument;
    const Work *work = &job->work;
    const Matrix *matrix = work->matrix;
    const long columns = matrix->kernel->columns, c = (long)index % job->column_tasks;
    const long start = work->rows * ((long)index / job->column_tasks) / job->row_tasks;
    const long rows = work->rows * ((long)index / job->column_tasks + 1) / job->row_tasks - start;
    char *memory = allocate(job, matrix->blocks * rows * ROW_BYTES);
    if (!memory)
        return;
    quantize(matrix, work->input + start * matrix->depth, rows, memory);
    for (int i = 0; i < matrix->parts; i++) {
        const long width = matrix->widths[i], panels = matrix->panels[i + 1] - matrix->panels[i];
        for (long p = panels * c / job->column_tasks; p < panels * (c + 1) / job->column_tasks; p++) {
            const long at = start * width + p * columns;
            const Output out = {
                work->outputs[i] + at, work->residual ? work->residual + at : NULL, width, width - p * columns};
            multiply_blocks(matrix, matrix->panels[i] + p, memory, rows, out);
        }
    }
    release(job, memory);
    const long width = matrix->widths[0], panels = matrix->panels[1];
    const long from = panels * c / job->column_tasks * columns;
    const long to = least(panels * (c + 1) / job->column_tasks * columns, width);
    for (long at = start * width + from; at < (start + rows) * width; at += width)
        matrix->kernel->activate(
            work->outputs[0] + at, work->gated ? work->outputs[1] + at : NULL, to - from, work->activation);
}

OrtStatus *multiply(const Session *session, const Work *work)
{
    Job job = {*work, session, (work->rows + TASK_ROWS - 1) / TASK_ROWS, 1, 0};
    if (job.row_tasks < 4 * session->threads && job.row_tasks % session->threads)
        job.column_tasks = session->threads;
    return work->rows ? run(&job, multiply_task) : NULL;
}

// The wide middle of a feed-forward layer exists one block at a time, in the cache.
static void feed_forward_task(void *argument, size_t index)
{
    Job *job = argument;
    const Work *work = &job->work;
    const Matrix *up = work->matrix, *down = work->down;
    const long columns = up->kernel->columns, width = down->widths[0];
    const long start = work->rows * (long)index / job->row_tasks;
    const long rows = work->rows * ((long)index + 1) / job->row_tasks - start;
    const size_t wide = rows * MOST_DEPTH;
    char *memory = allocate(job, (up->blocks + 1) * rows * ROW_BYTES + up->parts * wide * sizeof(float));
    if (!memory)
        return;
    float *middle = (float *)(memory + (up->blocks + 1) * rows * ROW_BYTES);
    const Block rounded = block_at(memory, up->blocks, rows);
    quantize(up, work->input + start * up->depth, rows, memory);
    for (long j = 0; j < down->blocks; j++) {
        const long depth = least(down->depth - j * down->block, down->block), first = j * down->block / columns;
        for (int i = 0; i < up->parts; i++)
            for (long n = 0; n < depth; n += columns) {
                const Output out = {middle + i * wide + n, NULL, MOST_DEPTH, depth - n};
                multiply_blocks(up, up->panels[i] + first + n / columns, memory, rows, out);
            }
        for (long r = 0; r < rows; r++) {
            float *row = middle + r * MOST_DEPTH;
            up->kernel->activate(row, up->parts > 1 ? row + wide : NULL, depth, work->activation);
            quantize_row(down, j, row, r, rounded);
        }
        for (long p = 0; p < down->panels[1]; p++) {
            const long at = start * width + p * columns;
            const Output out = {
                work->outputs[0] + at, work->residual ? work->residual + at : NULL, width, width - p * columns};
            multiply_panel(down, j, p, j * down->panels[1] + p + 1, rounded, out);
        }
    }
    release(job, memory);
}

OrtStatus *feed_forward(const Session *session, const Work *work)
{
    Job job = {*work, session, (work->rows + TASK_ROWS - 1) / TASK_ROWS, 1, 0};
    if (!work->rows)
        return NULL;
    if (job.row_tasks < 4 * session->threads)
        job.row_tasks = rounded_up(job.row_tasks, session->threads);
    if (session->threads == 1 || work->rows / job.row_tasks >= LEAST_TASK_ROWS)
        return run(&job, feed_forward_task);
    // With few rows, threads share the columns: first those of the middle, then those of the output.
    const int parts = work->matrix->parts;
    const size_t wide = (size_t)work->rows * work->down->depth;
    float *middle = (float *)allocate(&job, parts * wide * sizeof *middle);
    if (!middle)
        return session->api->CreateStatus(ORT_FAIL, "out of memory");
    const Work up = {
        .matrix = work->matrix, .input = work->input, .outputs = {middle, middle + (parts - 1) * wide},
        .activation = work->activation, .gated = parts > 1, .rows = work->rows};
    const Work down = {
        .matrix = work->down, .input = middle, .residual = work->residual, .outputs = {work->outputs[0]},
        .rows = work->rows};
    OrtStatus *status = multiply(session, &up);
    if (!status)
        status = multiply(session, &down);
    release(&job, middle);
    return status;
}
