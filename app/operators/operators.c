// ONNX Runtime's custom operator Int16Products, in the domain app.operators:
//
//     (x, W1, b1, … Wn, bn) -> x W1 + b1, … x Wn + bn, for one to three constant W and b; or with
//     `feed_forward`: act(x W1 + b1) W2 + b2, or gated: (act(x W1 + b1) · (x W2 + b2)) W3 + b3.
//
// Attributes besides: `activation`, a number of kernel.h; `halves`, 1 if W1 is the left half of
// what is given for it, and W2 the right one of the same, likewise b; and what may be tuned for a
// model: `limit`, to which rows are rounded, and `block`, so many times 32 entries share a scale.
#include <cpuid.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"
#include "ort_api.h"

#define EXPORTED __attribute__((visibility("default")))
#define TRY(call) do { OrtStatus *status_ = (call); if (status_) return status_; } while (0)

enum {
    MOST_RANK = 8,
    MOST_MATRICES = 3,
    LARGEST_LIMIT = 16383, // so that at least 17 bits of a sum are left for the weights
    GROUP_ROWS = 96, // computed at a time: what they need stays in a second-level cache of 512 kB
    SHARE_ROWS = 24, // for which reading the weights again from that cache costs little
};

static const OrtApi *api; // set when operators are registered, always to the same table
EXPORTED int operators_kernel; // of layers made from now on: 0 is the best, others are for tests

// The matrices of a node. All give an output, or the last alone.
typedef struct {
    const Kernel *kernel;
    int feed_forward, activation, limit;
    int count, first_output;
    long panels; // of the outputs
    Matrix matrices[MOST_MATRICES];
} Layer;

typedef struct {
    float *values;
    int64_t shape[MOST_RANK];
    size_t rank;
} Tensor;

static OrtStatus *invalid(const char *message)
{
    return api->CreateStatus(ORT_INVALID_ARGUMENT, message);
}

// Return a kernel: by its number, or the best for 0; null if the processor does not have it.
static const Kernel *choose_kernel(int number)
{
    unsigned a = 0, b, c, d; // GCC 12's __builtin_cpu_supports does not know AVX-VNNI
    const int vnni = __get_cpuid_count(7, 1, &a, &b, &c, &d) && a & 1 << 4;
    __builtin_cpu_init();
    const int has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const int has_avx512 = has_avx2 && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
    const Kernel *kernels[] = { // the plain one is for tests: it is slower than float32
        NULL, &plain, has_avx2 ? &avx2 : NULL, has_avx2 && vnni ? &avx_vnni : NULL,
        has_avx512 ? &avx512_vnni : NULL};
    for (int best = 4; !number && best > 1; best--)
        number = kernels[best] ? best : 0;
    return kernels[number];
}

// Return why the operators cannot be used on this machine, or null.
EXPORTED const char *operators_fault(void)
{
    return choose_kernel(0) ? NULL : "the processor has no AVX2";
}

// ---- Making a layer.

// Pack a column of a block, and return its scale: NaN if a weight is not finite. It gets the
// largest factor with which no sum can leave 32 bits, whatever a row holds:
// limit · Σ|weight| < 2^31, where rounding adds at most 1/2 to each weight.
static float pack_column(
    const float *weights, long stride, long depth, int limit, int16_t *out, long columns)
{
    double sum = 0, largest = 0;
    for (long k = 0; k < depth; k++) {
        const double size = fabs((double)weights[k * stride]);
        sum += size;
        largest = fmax(largest, size);
    }
    if (!isfinite(sum))
        return NAN;
    const double most = (double)INT32_MAX / limit - (double)depth;
    const double factor = sum > 1e-30 ? fmin(most / sum, INT16_MAX / largest) : 1;
    for (long k = 0; k < depth; k++)
        out[k / 2 * 2 * columns + k % 2] = (int16_t)lrint(weights[k * stride] * factor);
    return (float)(1 / factor);
}

// Add a matrix (depth, width) to a layer, given in rows `stride` apart. Blocks are at most so deep.
static OrtStatus *pack(
    Layer *layer, const float *weights, const float *bias, long depth, long width, long stride,
    long deepest)
{
    const long columns = layer->kernel->columns, panels = parts(width, columns);
    const long blocks = parts(depth, deepest), block = parts(parts(depth, blocks), 32) * 32;
    const long size = panels * blocks * block * columns * (long)sizeof(int16_t);
    const long floats = panels * (blocks + 1) * columns * (long)sizeof(float);
    int16_t *memory = aligned_alloc(64, parts(size + floats, 64) * 64); // freed as the weights
    if (!memory)
        return api->CreateStatus(ORT_FAIL, "out of memory");
    memset(memory, 0, size + floats);
    float *scales = (float *)((char *)memory + size), *biases = scales + panels * blocks * columns;
    Matrix *matrix = &layer->matrices[layer->count++];
    *matrix = (Matrix){depth, width, block, blocks, panels, memory, scales, biases};
    memcpy(biases, bias, width * sizeof(float));
    for (long n = 0; n < width; n++)
        for (long j = 0; j < blocks; j++) {
            const long at = (n / columns * blocks + j) * columns;
            scales[at + n % columns] = pack_column(
                weights + j * block * stride + n, stride, depth_of(matrix, j), layer->limit,
                memory + at * block + n % columns * 2, columns);
            if (isnan(scales[at + n % columns]))
                return invalid("a weight is not a finite number");
        }
    return NULL;
}

static OrtStatus *read_tensor(const OrtValue *value, Tensor *out)
{
    OrtShape *shape;
    TRY(api->GetTensorTypeAndShape(value, &shape));
    OrtStatus *status = api->GetDimensionsCount(shape, &out->rank);
    if (!status && out->rank > MOST_RANK)
        status = invalid("a tensor has more than 8 axes");
    if (!status)
        status = api->GetDimensions(shape, out->shape, out->rank);
    api->ReleaseTensorTypeAndShapeInfo(shape);
    return status ? status : api->GetTensorMutableData((OrtValue *)value, (void **)&out->values);
}

static OrtStatus *read_constant(const OrtKernelInfo *info, size_t index, size_t rank, Tensor *out)
{
    int constant = 0;
    const OrtValue *value = NULL;
    TRY(api->KernelInfoGetConstantInput_tensor(info, index, &constant, &value));
    if (!constant || !value)
        return invalid("weights and biases have to be constant");
    TRY(read_tensor(value, out));
    return out->rank == rank ? NULL : invalid("weights have two axes, and biases one");
}

static OrtStatus *read_number(
    const OrtKernelInfo *info, const char *name, int least, int most, int usual, int *out)
{
    int64_t value = usual;
    OrtStatus *status = api->KernelInfoGetAttribute_int64(info, name, &value);
    if (status) // it is not there
        api->ReleaseStatus(status);
    *out = (int)value;
    return value >= least && value <= most ? NULL : invalid("an attribute is out of its range");
}

static OrtStatus *read_layer(const OrtKernelInfo *info, Layer *layer)
{
    int halves, block;
    size_t inputs;
    layer->kernel = choose_kernel(operators_kernel);
    if (!layer->kernel)
        return invalid("the processor does not have this kernel");
    TRY(read_number(info, "feed_forward", 0, 1, 0, &layer->feed_forward));
    TRY(read_number(info, "activation", IDENTITY, SILU, IDENTITY, &layer->activation));
    TRY(read_number(info, "halves", 0, 1, 0, &halves));
    TRY(read_number(info, "limit", 1, LARGEST_LIMIT, 8191, &layer->limit));
    TRY(read_number(info, "block", 1, MOST_DEPTH / 32, MOST_DEPTH / 32, &block));
    TRY(api->KernelInfo_GetInputCount(info, &inputs));
    const long count = (long)inputs / 2;
    if (inputs % 2 == 0 || count <= layer->feed_forward + halves || count > MOST_MATRICES)
        return invalid("the number of inputs does not fit the attributes");
    for (long i = 0; i < count; i++) {
        Tensor weights, bias;
        TRY(read_constant(info, 1 + 2 * i, 2, &weights));
        TRY(read_constant(info, 2 + 2 * i, 1, &bias));
        const long depth = weights.shape[0], stride = weights.shape[1];
        const long width = halves && i < 2 ? stride / 2 : stride;
        const long start = halves && i == 1 ? width : 0;
        if (!depth || !width || stride % width || bias.shape[0] != stride)
            return invalid("weights are empty, or do not fit their bias or into halves");
        TRY(pack(
            layer, weights.values + start, bias.values + start, depth, width, stride, block * 32));
    }
    layer->first_output = layer->feed_forward ? layer->count - 1 : 0;
    const Matrix *first = layer->matrices;
    for (int i = 0; i < layer->count; i++) {
        const int is_output = i >= layer->first_output;
        layer->panels += is_output ? first[i].panels : 0;
        if (first[i].depth != (is_output && layer->feed_forward ? first->width : first->depth)
            || (!is_output && first[i].width != first->width))
            return invalid("weights do not fit each other");
    }
    return NULL;
}

static void destroy(void *kernel)
{
    Layer *layer = kernel;
    for (int i = 0; i < MOST_MATRICES; i++)
        free(layer->matrices[i].weights);
    free(layer);
}

static OrtStatus *create(
    const OrtCustomOp *op, const OrtApi *table, const OrtKernelInfo *info, void **out)
{
    Layer *layer = calloc(1, sizeof *layer);
    if (!layer)
        return table->CreateStatus(ORT_FAIL, "out of memory");
    OrtStatus *status = read_layer(info, layer);
    if (status)
        destroy(layer);
    *out = status ? NULL : layer;
    return status;
}

// ---- Computing: a group of rows at a time, whose columns the threads of the session share.

typedef struct {
    const Layer *layer;
    long start; // in the outputs
    long shares; // of its rows, for which the middle is computed apart
    Rounded input, middle;
    float *outputs[MOST_MATRICES];
} Group;

// Round rows to what block `j` of a matrix multiplies, and write them from row `at` of `out` on.
static void round_block(
    const Layer *layer, const Matrix *matrix, long j, const float *rows, long count, long stride,
    Rounded *out, long at)
{
    for (long r = 0; r < count; r++, at++)
        out->scales[at] = layer->kernel->quantize(
            rows + r * stride, depth_of(matrix, j), layer->limit, out->values + at * MOST_DEPTH);
}

// Compute a block of a feed-forward layer's wide middle, for a share of the rows. The middle is
// float32 only here, in the cache.
static void compute_middle(void *argument, size_t task)
{
    Group *group = argument;
    const Layer *layer = group->layer;
    const Matrix *down = &layer->matrices[layer->first_output];
    const long block = (long)task / group->shares, share = (long)task % group->shares;
    const long rows = group->input.rows, from = rows * share / group->shares;
    const Rounded input = {rows * (share + 1) / group->shares - from,
        group->input.values + from * MOST_DEPTH, group->input.scales + from};
    const long columns = layer->kernel->columns, depth = depth_of(down, block);
    float middle[MOST_MATRICES - 1][GROUP_ROWS * MOST_DEPTH];
    for (int i = 0; i < layer->first_output; i++)
        for (long c = 0; c < depth; c += columns)
            layer->kernel->multiply(
                &layer->matrices[i], (block * down->block + c) / columns, &input, middle[i] + c,
                MOST_DEPTH);
    for (long at = 0; at < input.rows * MOST_DEPTH; at += MOST_DEPTH)
        layer->kernel->activate(
            middle[0] + at, layer->first_output > 1 ? middle[1] + at : NULL, depth,
            layer->activation);
    round_block(layer, down, block, middle[0], input.rows, MOST_DEPTH, &group->middle,
        block * rows + from);
}

// Compute a panel of one of the outputs.
static void compute_panel(void *argument, size_t panel)
{
    const Group *group = argument;
    const Layer *layer = group->layer;
    long i = layer->first_output, p = (long)panel;
    for (; p >= layer->matrices[i].panels; i++)
        p -= layer->matrices[i].panels;
    const long width = layer->matrices[i].width;
    layer->kernel->multiply(
        &layer->matrices[i], p, layer->feed_forward ? &group->middle : &group->input,
        group->outputs[i] + group->start * width + p * layer->kernel->columns, width);
}

static OrtStatus *compute_group(const OrtKernelContext *context, const float *input, Group *group)
{
    const Layer *layer = group->layer;
    const Matrix *first = layer->matrices;
    const long rows = group->input.rows;
    for (long j = 0; j < first->blocks; j++)
        round_block(layer, first, j, input + j * first->block, rows, first->depth, &group->input,
            j * rows);
    // Narrow layers have too few blocks for many threads. In wide ones a share is not in one piece.
    group->shares = first->blocks == 1 ? parts(rows, SHARE_ROWS) : 1;
    if (layer->feed_forward)
        TRY(api->KernelContext_ParallelFor(context, compute_middle,
            first[layer->first_output].blocks * group->shares, 0, group));
    return api->KernelContext_ParallelFor(context, compute_panel, layer->panels, 0, group);
}

static OrtStatus *compute(void *kernel, OrtKernelContext *context)
{
    const Layer *layer = kernel;
    const Matrix *first = layer->matrices, *down = first + layer->first_output;
    const OrtValue *value;
    Tensor input;
    TRY(api->KernelContext_GetInput(context, 0, &value));
    TRY(read_tensor(value, &input));
    if (!input.rank || input.shape[input.rank - 1] != first->depth)
        return invalid("the input has another width than the weights have rows");
    Group group = {.layer = layer};
    long rows = 1;
    for (size_t i = 0; i + 1 < input.rank; i++)
        rows *= input.shape[i];
    for (int i = layer->first_output; i < layer->count; i++) {
        OrtValue *output;
        input.shape[input.rank - 1] = first[i].width;
        TRY(api->KernelContext_GetOutput(
            context, i - layer->first_output, input.shape, input.rank, &output));
        TRY(api->GetTensorMutableData(output, (void **)&group.outputs[i]));
    }
    const long groups = parts(rows, GROUP_ROWS), most = GROUP_ROWS * (first->blocks + down->blocks);
    int16_t *memory = malloc(most * (MOST_DEPTH * sizeof *memory + sizeof(float)));
    if (!memory)
        return api->CreateStatus(ORT_FAIL, "out of memory");
    float *scales = (float *)(memory + most * MOST_DEPTH);
    OrtStatus *status = NULL;
    for (long g = 0; g < groups && !status; g++) {
        group.start = rows * g / groups;
        const long count = rows * (g + 1) / groups - group.start, at = count * first->blocks;
        group.input = (Rounded){count, memory, scales};
        group.middle = (Rounded){count, memory + at * MOST_DEPTH, scales + at};
        status = compute_group(context, input.values + group.start * first->depth, &group);
    }
    free(memory);
    return status;
}

// ---- What ONNX Runtime asks an operator.

static const char *name(const OrtCustomOp *op) { return "Int16Products"; }
static const char *provider(const OrtCustomOp *op) { return "CPUExecutionProvider"; }
static int type(const OrtCustomOp *op, size_t index) { return ORT_FLOAT; }
static int memory_type(const OrtCustomOp *op, size_t index) { return ORT_DEFAULT_MEMORY; }
static int kind(const OrtCustomOp *op, size_t index) { return ORT_VARIADIC; }
static size_t single(const OrtCustomOp *op) { return 1; }
static int one(const OrtCustomOp *op) { return 1; }
static int latest(const OrtCustomOp *op) { return INT32_MAX; }

static const OrtCustomOp int16_products = {
    .version = 17, .GetName = name, .GetExecutionProviderType = provider, .GetInputType = type,
    .GetInputTypeCount = single, .GetOutputType = type, .GetOutputTypeCount = single,
    .KernelDestroy = destroy, .GetInputCharacteristic = kind, .GetOutputCharacteristic = kind,
    .GetInputMemoryType = memory_type, .GetVariadicInputMinArity = one,
    .GetVariadicInputHomogeneity = one, .GetVariadicOutputMinArity = one,
    .GetVariadicOutputHomogeneity = one, .CreateKernelV2 = create, .KernelComputeV2 = compute,
    .GetStartVersion = one, .GetEndVersion = latest};

EXPORTED OrtStatus *RegisterCustomOps(OrtSessionOptions *options, const OrtApiBase *base)
{
    api = base->GetApi(API_VERSION);
    if (!api) // before 1.18; there is no table to make a status with: sessions miss the operators
        return NULL;
    OrtCustomOpDomain *domain; // some bytes, which are not freed: nothing says when that may be
    TRY(api->CreateCustomOpDomain("app.operators", &domain));
    TRY(api->CustomOpDomain_Add(domain, &int16_products));
    return api->AddCustomOpDomain(options, domain);
}
