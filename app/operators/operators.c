// The operator Int16Products for ONNX Runtime, compiled once for each kernel, with its name KERNEL:
//
//     (x, W1, b1, … Wn, bn) -> x W1 + b1, … x Wn + bn, for one to three constant W and b; or with
//     `feed_forward`: act(x W1 + b1) W2 + b2, or gated: (act(x W1 + b1) · (x W2 + b2)) W3 + b3.
//
// Attributes besides: `activation`, a number of kernel.h; and `halves`, 1 if W1 is the left half of
// the given matrix, and W2 its right half, likewise b.
#include <pthread.h>
#include <stdlib.h>

#include "kernel.h"
#include "ort_api.h"

enum { MOST_RANK = 8, MOST_MATRICES = 3 };

// The matrices of a node: first those that make a feed-forward layer's middle, then its outputs.
typedef struct {
    long middles, count;
    int activation;
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

static OrtStatus *read_tensor(const OrtValue *value, Tensor *out)
{
    OrtShape *shape;
    TRY(api->GetTensorTypeAndShape(value, &shape));
    OrtStatus *status = api->GetDimensionsCount(shape, &out->rank);
    if (!status)
        status = out->rank > MOST_RANK ? invalid("a tensor has more than 8 axes")
                                       : api->GetDimensions(shape, out->shape, out->rank);
    api->ReleaseTensorTypeAndShapeInfo(shape);
    return status ? status : api->GetTensorMutableData((OrtValue *)value, (void **)&out->values);
}

// A cache line before packed weights, scales and biases, which all sessions of a model share.
typedef struct Packed {
    struct Packed *next;
    long users, bytes;
} Packed;

static Packed *every;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // of them

static void use(Packed *packed, Matrix *matrix)
{
    matrix->weights = (int16_t *)((char *)packed + CACHE_LINE);
    matrix->scales = (float *)(matrix->weights + matrix->panels * matrix->blocks * matrix->size);
    matrix->bias = matrix->scales + matrix->panels * matrix->blocks * COLUMNS;
}

// Have a matrix use equal weights that are there already, in place of its own.
static void share(Matrix *matrix)
{
    Packed *own = (Packed *)((char *)matrix->weights - CACHE_LINE), *one;
    pthread_mutex_lock(&lock);
    for (one = every; one; one = one->next)
        if (one->bytes == own->bytes && !memcmp(one + 1, own + 1, own->bytes - sizeof *own))
            break;
    if (one)
        free(own);
    else {
        own->next = every;
        every = one = own;
    }
    one->users++;
    use(one, matrix);
    pthread_mutex_unlock(&lock);
}

static void release(Matrix *matrix)
{
    Packed *packed = (Packed *)((char *)matrix->weights - CACHE_LINE), **link = &every;
    pthread_mutex_lock(&lock);
    if (!--packed->users) {
        while (*link != packed)
            link = &(*link)->next;
        *link = packed->next;
        free(packed);
    }
    pthread_mutex_unlock(&lock);
}

// Pack weights that lie in rows `stride` apart into a matrix whose depth and width are set. Each
// column of a block gets the largest factor with which no sum can leave 32 bits, whatever a row
// holds: LIMIT · Σ|weight| < 2^31, where rounding adds at most 1/2 to each weight.
static OrtStatus *pack(Matrix *matrix, const float *weights, const float *bias, long stride)
{
    const long panels = matrix->panels = ceil_div(matrix->width, COLUMNS);
    const long blocks = matrix->blocks = ceil_div(matrix->depth, MOST_DEPTH);
    const long block = matrix->block = ceil_div(ceil_div(matrix->depth, blocks), 32) * 32;
    const long panel = matrix->size = ceil_div(block, STEP) * STEP * COLUMNS;
    const long columns = panels * COLUMNS * (long)sizeof(float);
    const long bytes = CACHE_LINE + panels * blocks * panel * 2 + (blocks + 1) * columns;
    Packed *packed = aligned_alloc(CACHE_LINE, ceil_div(bytes, CACHE_LINE) * CACHE_LINE);
    if (!packed)
        return api->CreateStatus(ORT_FAIL, "out of memory");
    memset(packed, 0, bytes);
    packed->bytes = bytes;
    use(packed, matrix);
    memcpy(matrix->bias, bias, matrix->width * sizeof(float));
    for (long n = 0; n < matrix->width; n++)
        for (long j = 0; j < blocks; j++) {
            const float *column = weights + j * block * stride + n;
            const long depth = depth_of(matrix, j), at = (n / COLUMNS * blocks + j) * COLUMNS;
            double sum = 0, largest = 0;
            for (long k = 0; k < depth; k++) {
                sum += fabs((double)column[k * stride]);
                largest = fmax(largest, fabs((double)column[k * stride]));
            }
            if (!isfinite(sum)) {
                free(packed);
                matrix->weights = NULL;
                return invalid("a weight is not a finite number");
            }
            const double most = (double)INT32_MAX / LIMIT - (double)depth;
            const double factor = sum > 1e-30 ? fmin(most / sum, INT16_MAX / largest) : 1;
            int16_t *out = matrix->weights + at / COLUMNS * panel;
            for (long k = 0; k < depth; k++)
                put_weight(out, panel, k, n % COLUMNS, (int16_t)lrint(column[k * stride] * factor));
            matrix->scales[at + n % COLUMNS] = (float)(1 / factor);
        }
    share(matrix);
    return NULL;
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

// Read the matrix number `i`, whose shape has to fit those before it.
static OrtStatus *read_matrix(const OrtKernelInfo *info, Layer *layer, long i, int halved)
{
    Tensor weights, bias;
    TRY(read_constant(info, 1 + 2 * i, 2, &weights));
    TRY(read_constant(info, 2 + 2 * i, 1, &bias));
    Matrix *first = layer->matrices, *matrix = first + i;
    const long stride = weights.shape[1], width = halved ? stride / 2 : stride;
    *matrix = (Matrix){.depth = weights.shape[0], .width = width};
    const int is_middle = i < layer->middles;
    const long depth = layer->middles && !is_middle ? first->width : first->depth;
    if (!depth || !width || stride % width || bias.shape[0] != stride || matrix->depth != depth
        || (is_middle && width != first->width))
        return invalid("weights are empty, or do not fit each other, their bias or into halves");
    const long start = halved ? i * width : 0;
    return pack(matrix, weights.values + start, bias.values + start, stride);
}

static OrtStatus *read_number(const OrtKernelInfo *info, const char *name, int most, int *out)
{
    int64_t value = 0;
    OrtStatus *status = api->KernelInfoGetAttribute_int64(info, name, &value);
    if (status) // it is not there
        api->ReleaseStatus(status);
    *out = (int)value;
    return value >= 0 && value <= most ? NULL : invalid("an attribute is out of its range");
}

static OrtStatus *read_layer(const OrtKernelInfo *info, Layer *layer)
{
    int feed_forward, halves;
    size_t inputs;
    TRY(read_number(info, "feed_forward", 1, &feed_forward));
    TRY(read_number(info, "activation", SILU, &layer->activation));
    TRY(read_number(info, "halves", 1, &halves));
    TRY(api->KernelInfo_GetInputCount(info, &inputs));
    layer->count = (long)inputs / 2;
    layer->middles = feed_forward ? layer->count - 1 : 0;
    if (inputs % 2 == 0 || layer->count <= feed_forward + halves || layer->count > MOST_MATRICES)
        return invalid("the number of inputs does not fit the attributes");
    for (long i = 0; i < layer->count; i++)
        TRY(read_matrix(info, layer, i, halves && i < 2));
    return NULL;
}

static void destroy(void *kernel)
{
    Layer *layer = kernel;
    for (int i = 0; i < MOST_MATRICES; i++)
        if (layer->matrices[i].weights)
            release(&layer->matrices[i]);
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

// A group of rows, computed at a time. The threads of the session share its columns.
typedef struct {
    const Layer *layer;
    long start; // in the outputs
    long shares; // of its rows, for which the middle is computed apart
    Rounded input, middle;
    float *outputs[MOST_MATRICES]; // of each matrix that makes one
} Group;

// Where part `i` of equal parts of rows starts: rows that lie together are in one.
static long start_of(long rows, long i, long parts)
{
    return min(rows, ceil_div(rows * i / parts, TILE) * TILE);
}

// Compute a block of a feed-forward layer's wide middle, for a share of the rows. The middle is
// float32 only here, in the cache.
static void compute_middle(void *argument, size_t task)
{
    const Group *group = argument;
    const Layer *layer = group->layer;
    const Matrix *down = &layer->matrices[layer->middles];
    const long j = (long)task / group->shares, share = (long)task % group->shares;
    const long rows = group->input.rows, from = start_of(rows, share, group->shares);
    const long depth = depth_of(down, j), count = start_of(rows, share + 1, group->shares) - from;
    const Rounded input = {count, row_of(&group->input, 0, from), group->input.scales + from};
    float middle[MOST_MATRICES - 1][GROUP][MOST_DEPTH];
    for (int i = 0; i < layer->middles; i++)
        for (long c = 0; c < depth; c += COLUMNS)
            multiply(&layer->matrices[i], (j * down->block + c) / COLUMNS, &input,
                middle[i][0] + c, MOST_DEPTH);
    for (long r = 0; r < count; r++) {
        const float *gate = layer->middles > 1 ? middle[1][r] : NULL;
        activate(middle[0][r], gate, depth, layer->activation);
        group->middle.scales[j * rows + from + r] = quantize(
            middle[0][r], depth, row_of(&group->middle, j, from + r));
    }
}

// Compute a panel of one of the outputs. The last one of a matrix may have columns too many.
static void compute_panel(void *argument, size_t panel)
{
    const Group *group = argument;
    const Layer *layer = group->layer;
    const Rounded *rows = layer->middles ? &group->middle : &group->input;
    long i = layer->middles, p = (long)panel;
    for (; p >= layer->matrices[i].panels; i++)
        p -= layer->matrices[i].panels;
    const long width = layer->matrices[i].width, columns = min(width - p * COLUMNS, COLUMNS);
    float *out = group->outputs[i] + group->start * width + p * COLUMNS;
    if (columns == COLUMNS)
        return multiply(&layer->matrices[i], p, rows, out, width);
    float whole[GROUP * COLUMNS];
    multiply(&layer->matrices[i], p, rows, whole, COLUMNS);
    for (long r = 0; r < rows->rows; r++)
        memcpy(out + r * width, whole + r * COLUMNS, columns * sizeof(float));
}

static OrtStatus *compute(void *kernel, OrtKernelContext *context)
{
    const Layer *layer = kernel;
    const Matrix *first = layer->matrices, *down = first + layer->middles;
    const OrtValue *value;
    Tensor input;
    TRY(api->KernelContext_GetInput(context, 0, &value));
    TRY(read_tensor(value, &input));
    if (!input.rank || input.shape[input.rank - 1] != first->depth)
        return invalid("the input has another width than the weights have rows");
    long rows = 1, panels = 0;
    for (size_t i = 0; i + 1 < input.rank; i++)
        rows *= input.shape[i];
    Group group = {.layer = layer};
    for (long i = layer->middles; i < layer->count; i++) {
        OrtValue *output;
        panels += first[i].panels;
        input.shape[input.rank - 1] = first[i].width;
        TRY(api->KernelContext_GetOutput(
            context, i - layer->middles, input.shape, input.rank, &output));
        TRY(api->GetTensorMutableData(output, (void **)&group.outputs[i]));
    }
    const long groups = ceil_div(rows, GROUP), most = GROUP * (first->blocks + down->blocks);
    const long bytes = most * (MOST_DEPTH * (long)sizeof(int16_t) + (long)sizeof(float));
    int16_t *values = aligned_alloc(CACHE_LINE, ceil_div(bytes, CACHE_LINE) * CACHE_LINE);
    if (!values)
        return api->CreateStatus(ORT_FAIL, "out of memory");
    float *scales = (float *)(values + most * MOST_DEPTH);
    OrtStatus *status = NULL;
    for (long g = 0; g < groups && !status; g++) {
        group.start = start_of(rows, g, groups);
        const long count = start_of(rows, g + 1, groups) - group.start;
        group.input = (Rounded){count, values, scales};
        for (long j = 0; j < first->blocks; j++)
            for (long r = 0; r < count; r++) {
                const float *row = input.values + (group.start + r) * first->depth;
                scales[j * count + r] = quantize(
                    row + j * first->block, depth_of(first, j), row_of(&group.input, j, r));
            }
        group.middle = (Rounded){
            count, row_of(&group.input, first->blocks, 0), scales + first->blocks * count};
        // Narrow layers have too few blocks for many threads; in wide ones shares are in pieces.
        group.shares = first->blocks == 1 ? ceil_div(count, SHARE) : 1;
        if (layer->middles)
            status = api->KernelContext_ParallelFor(
                context, compute_middle, down->blocks * group.shares, 0, &group);
        if (!status)
            status = api->KernelContext_ParallelFor(context, compute_panel, panels, 0, &group);
    }
    free(values);
    return status;
}

// The callbacks of an ONNX Runtime operator.
static const char *name(const OrtCustomOp *op) { return "Int16Products"; }
static const char *provider(const OrtCustomOp *op) { return "CPUExecutionProvider"; }
static int type(const OrtCustomOp *op, size_t index) { return ORT_FLOAT; }
static int memory_type(const OrtCustomOp *op, size_t index) { return 0; } // usual
static int kind(const OrtCustomOp *op, size_t index) { return ORT_VARIADIC; }
static size_t single(const OrtCustomOp *op) { return 1; }
static int one(const OrtCustomOp *op) { return 1; }

EXPORTED const OrtCustomOp KERNEL = {
    .version = 17, .GetName = name, .GetExecutionProviderType = provider, .GetInputType = type,
    .GetInputTypeCount = single, .GetOutputType = type, .GetOutputTypeCount = single,
    .KernelDestroy = destroy, .GetInputCharacteristic = kind, .GetOutputCharacteristic = kind,
    .GetInputMemoryType = memory_type, .GetVariadicInputMinArity = one,
    .GetVariadicInputHomogeneity = one, .GetVariadicOutputMinArity = one,
    .GetVariadicOutputHomogeneity = one, .CreateKernelV2 = create, .KernelComputeV2 = compute,
    .GetStartVersion = one, .GetEndVersion = one};
