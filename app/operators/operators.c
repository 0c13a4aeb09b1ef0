// ONNX Runtime's custom operators in the domain app.operators. Weights and biases are constants.
//
// Int16Linear(x, W1 … Wn [, b1 … bn] [, residual]) -> y1 … yn, for n = `parts` products of one input.
// Int16FeedForward(x, W1 [, W2], W3 [, b1 [, b2], b3] [, residual]) -> y = act(x W1) W3, or with a
// gate (act(x W1) · x W2) W3. With `gate` = 2, W1 holds both side by side.
//
// Attributes: `bias` and `residual`, whether there are such inputs; `activation`, a number of
// kernels.h; `gate`, 0 to 2; and what may be tuned for a model: `limit`, to which rows are rounded,
// and `block`, so many entries of a row at most share a scale.
#include <stdio.h>
#include <stdlib.h>

#include "products.h"

#define EXPORTED __attribute__((visibility("default")))
#define TRY(call) do { OrtStatus *status_ = (call); if (status_) return status_; } while (0)

enum { MOST_RANK = 8, MOST_THREADS = 1024 };

static const OrtApi *api; // set when operators are registered, always to the same table

typedef struct Operator Operator;
typedef struct Node Node;

// An operator as a session registers it, with that session's choices.
struct Operator {
    OrtCustomOp op; // first: ONNX Runtime hands it back
    const Kernel *kernel;
    int threads;
    OrtStatus *(*read)(const Operator *, const OrtKernelInfo *, Node *);
};

struct Node {
    OrtAllocator *allocator;
    int threads, parts, has_bias, has_residual, activation, limit, block;
    size_t inputs;
    Matrix matrix, down; // `down` of a feed-forward layer alone
};

static OrtStatus *invalid(const char *message)
{
    return api->CreateStatus(ORT_INVALID_ARGUMENT, message);
}

// ---- What nodes hold.

typedef struct {
    float *values;
    int64_t shape[MOST_RANK];
    size_t rank;
} Tensor;

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
    if (value >= least && value <= most)
        return NULL;
    char text[80];
    snprintf(text, sizeof text, "%s has to be between %d and %d", name, least, most);
    return invalid(text);
}

// Read what both operators have; `products` is the number of weights among the inputs.
static OrtStatus *read_common(const OrtKernelInfo *info, int products, Node *node)
{
    TRY(read_number(info, "bias", 0, 1, 0, &node->has_bias));
    TRY(read_number(info, "residual", 0, 1, 0, &node->has_residual));
    TRY(read_number(info, "activation", IDENTITY, SILU, IDENTITY, &node->activation));
    TRY(read_number(info, "limit", 1, LARGEST_LIMIT, 8191, &node->limit));
    TRY(read_number(info, "block", MOST_COLUMNS, MOST_DEPTH, MOST_DEPTH, &node->block));
    if (node->block % MOST_COLUMNS)
        return invalid("block has to be a multiple of 32");
    TRY(api->KernelInfo_GetInputCount(info, &node->inputs));
    if (node->inputs != (size_t)(1 + products * (1 + node->has_bias) + node->has_residual))
        return invalid("the number of inputs does not fit the attributes");
    return api->KernelInfoGetAllocator(info, ORT_DEFAULT_MEMORY, &node->allocator);
}

// Read and pack weights that begin at one input, and their biases at another; `halved` weights hold
// two parts side by side.
static OrtStatus *read_matrix(
    const OrtKernelInfo *info, const Kernel *kernel, const Node *node, const size_t at[2], int count, int halved,
    Matrix *out)
{
    Part parts[MOST_PARTS];
    int64_t depth = 0;
    for (int i = 0; i < count; i++) {
        Tensor weights, bias = {0};
        TRY(read_constant(info, at[0] + i, 2, &weights));
        if (node->has_bias)
            TRY(read_constant(info, at[1] + i, 1, &bias));
        if (weights.shape[0] < 1 || weights.shape[1] < 1 || (i && weights.shape[0] != depth))
            return invalid("weights are empty, or differ in depth");
        if (node->has_bias && bias.shape[0] != weights.shape[1])
            return invalid("a bias has another width than its weights");
        depth = weights.shape[0];
        parts[i] = (Part){weights.values, bias.values, weights.shape[1], weights.shape[1]};
    }
    if (halved) {
        if (parts[0].stride % 2)
            return invalid("weights of an odd width cannot be halved");
        const long half = parts[0].width /= 2;
        parts[1] = (Part){
            parts[0].weights + half, node->has_bias ? parts[0].bias + half : NULL, half, parts[0].stride};
    }
    const char *fault = pack(out, kernel, parts, count + halved, depth, node->limit, node->block);
    return fault ? api->CreateStatus(ORT_FAIL, fault) : NULL;
}

static OrtStatus *read_linear(const Operator *operator, const OrtKernelInfo *info, Node *node)
{
    TRY(read_number(info, "parts", 1, MOST_PARTS, 1, &node->parts));
    TRY(read_common(info, node->parts, node));
    if ((node->parts > 1) + node->has_residual + (node->activation != IDENTITY) > 1)
        return invalid("a product is one of several, or has a residual, or an activation");
    const size_t at[] = {1, 1 + node->parts};
    return read_matrix(info, operator->kernel, node, at, node->parts, 0, &node->matrix);
}

static OrtStatus *read_feed_forward(const Operator *operator, const OrtKernelInfo *info, Node *node)
{
    int gate;
    TRY(read_number(info, "gate", 0, 2, 0, &gate));
    const int ups = gate == 1 ? 2 : 1;
    node->parts = 1;
    TRY(read_common(info, ups + 1, node));
    const size_t up_at[] = {1, 2 + ups}, down_at[] = {1 + ups, 2 + 2 * ups};
    TRY(read_matrix(info, operator->kernel, node, up_at, ups, gate == 2, &node->matrix));
    TRY(read_matrix(info, operator->kernel, node, down_at, 1, 0, &node->down));
    for (int i = 0; i < node->matrix.parts; i++)
        if (node->matrix.widths[i] != node->down.depth)
            return invalid("the last weights have another depth than the others have columns");
    return NULL;
}

// ---- What ONNX Runtime calls.

static void destroy(void *kernel)
{
    Node *node = kernel;
    free_matrix(&node->matrix);
    free_matrix(&node->down);
    if (node->allocator)
        api->ReleaseAllocator(node->allocator);
    free(node);
}

static OrtStatus *create(const OrtCustomOp *op, const OrtApi *table, const OrtKernelInfo *info, void **out)
{
    (void)table;
    const Operator *operator = (const Operator *)op;
    Node *node = calloc(1, sizeof *node);
    if (!node)
        return api->CreateStatus(ORT_FAIL, "out of memory");
    node->threads = operator->threads;
    OrtStatus *status = operator->read(operator, info, node);
    if (status)
        destroy(node);
    else
        *out = node;
    return status;
}

static OrtStatus *compute(void *kernel, OrtKernelContext *context)
{
    const Node *node = kernel;
    const int is_layer = node->down.parts > 0;
    const Matrix *last = is_layer ? &node->down : &node->matrix;
    const OrtValue *value;
    Tensor input, residual = {0};
    TRY(api->KernelContext_GetInput(context, 0, &value));
    TRY(read_tensor(value, &input));
    if (!input.rank || input.shape[input.rank - 1] != node->matrix.depth)
        return invalid("the input has another width than the weights have rows");
    Work work = {
        .matrix = &node->matrix, .down = &node->down, .input = input.values,
        .activation = (Activation)node->activation, .rows = 1};
    for (size_t i = 0; i + 1 < input.rank; i++)
        work.rows *= input.shape[i];
    if (node->has_residual) {
        TRY(api->KernelContext_GetInput(context, node->inputs - 1, &value));
        TRY(read_tensor(value, &residual));
        int fits = residual.rank == input.rank && residual.shape[input.rank - 1] == last->widths[0];
        for (size_t i = 0; fits && i + 1 < input.rank; i++)
            fits = residual.shape[i] == input.shape[i];
        if (!fits)
            return invalid("the residual has another shape than the output");
        work.residual = residual.values;
    }
    for (int i = 0; i < node->parts; i++) {
        OrtValue *made;
        input.shape[input.rank - 1] = last->widths[i];
        TRY(api->KernelContext_GetOutput(context, i, input.shape, input.rank, &made));
        TRY(api->GetTensorMutableData(made, (void **)&work.outputs[i]));
    }
    const Session session = {api, context, node->allocator, node->threads};
    return is_layer ? feed_forward(&session, &work) : multiply(&session, &work);
}

static const char *linear(const OrtCustomOp *op) { (void)op; return "Int16Linear"; }
static const char *layer(const OrtCustomOp *op) { (void)op; return "Int16FeedForward"; }
static const char *provider(const OrtCustomOp *op) { (void)op; return "CPUExecutionProvider"; }
static int type(const OrtCustomOp *op, size_t index) { (void)op; (void)index; return ORT_FLOAT; }
static int memory(const OrtCustomOp *op, size_t index) { (void)op; (void)index; return ORT_DEFAULT_MEMORY; }
static int input_kind(const OrtCustomOp *op, size_t index) { (void)op; return index ? ORT_VARIADIC : ORT_REQUIRED; }
static int output_kind(const OrtCustomOp *op, size_t index) { (void)op; (void)index; return ORT_VARIADIC; }
static size_t two(const OrtCustomOp *op) { (void)op; return 2; }
static size_t single(const OrtCustomOp *op) { (void)op; return 1; }
static int one(const OrtCustomOp *op) { (void)op; return 1; }
static int latest(const OrtCustomOp *op) { (void)op; return INT32_MAX; }

// ---- Registration.

// Operators for one kernel and number of threads. Sessions need them as long as they live, and
// ONNX Runtime does not say how long that is; so each is kept, and used again.
typedef struct Registration {
    Operator operators[2];
    OrtCustomOpDomain *domain;
    struct Registration *next;
} Registration;

static OrtStatus *find(const Kernel *kernel, int threads, OrtCustomOpDomain **out)
{
    static Registration *first;
    for (Registration *known = first; known; known = known->next)
        if (known->operators->kernel == kernel && known->operators->threads == threads) {
            *out = known->domain;
            return NULL;
        }
    Registration *made = calloc(1, sizeof *made);
    if (!made)
        return api->CreateStatus(ORT_FAIL, "out of memory");
    OrtStatus *status = api->CreateCustomOpDomain("app.operators", &made->domain);
    for (int i = 0; i < 2 && !status; i++) {
        const OrtCustomOp op = {
            .version = 17, .GetName = i ? layer : linear, .GetExecutionProviderType = provider,
            .GetInputType = type, .GetInputTypeCount = two, .GetOutputType = type, .GetOutputTypeCount = single,
            .GetInputCharacteristic = input_kind, .GetOutputCharacteristic = output_kind,
            .GetInputMemoryType = memory, .GetVariadicInputMinArity = one, .GetVariadicInputHomogeneity = one,
            .GetVariadicOutputMinArity = one, .GetVariadicOutputHomogeneity = one, .GetStartVersion = one,
            .GetEndVersion = latest, .CreateKernelV2 = create, .KernelComputeV2 = compute, .KernelDestroy = destroy};
        made->operators[i] = (Operator){op, kernel, threads, i ? read_feed_forward : read_linear};
        status = api->CustomOpDomain_Add(made->domain, &made->operators[i].op);
    }
    if (status) {
        if (made->domain)
            api->ReleaseCustomOpDomain(made->domain);
        free(made);
        return status;
    }
    made->next = first;
    first = made;
    *out = made->domain;
    return NULL;
}

// Read an entry of the session's configuration: "" if there is none, "?" if it is too long to be one.
static void read_entry(const OrtSessionOptions *options, const char *key, char *out, size_t room)
{
    size_t bytes = room;
    OrtStatus *status = api->GetSessionConfigEntry(options, key, out, &bytes);
    if (status) {
        api->ReleaseStatus(status);
        snprintf(out, room, "%s", bytes > room ? "?" : "");
    }
}

// Return why the operators cannot be used on this machine, or null.
EXPORTED const char *operators_fault(void)
{
    return choose_kernel("") ? NULL : "the processor has no AVX2";
}

EXPORTED OrtStatus *RegisterCustomOps(OrtSessionOptions *options, const OrtApiBase *base)
{
    static char lock;
    char name[16] = "", count[8] = "";
    api = base->GetApi(API_VERSION);
    if (!api) // before 1.18; there is no table to make a status with, and sessions will miss the operators
        return NULL;
    read_entry(options, "app.operators.kernel", name, sizeof name);
    read_entry(options, "app.operators.threads", count, sizeof count);
    const int threads = *count ? atoi(count) : 1;
    if (threads < 1 || threads > MOST_THREADS)
        return invalid("app.operators.threads has to be between 1 and 1024");
    const Kernel *kernel = choose_kernel(name);
    if (!kernel)
        return invalid(*name ? "app.operators.kernel names none of this processor's" : operators_fault());
    OrtCustomOpDomain *domain = NULL;
    while (__atomic_test_and_set(&lock, __ATOMIC_ACQUIRE)) // held for microseconds
        ;
    OrtStatus *status = find(kernel, threads, &domain);
    __atomic_clear(&lock, __ATOMIC_RELEASE);
    return status ? status : api->AddCustomOpDomain(options, domain);
}
