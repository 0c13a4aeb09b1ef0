// The part of ONNX Runtime's C interface that custom operators need, declared here so that nothing
// but a compiler is needed to build them. OrtApi is a table of functions that only ever grows, and
// is asked for by the version that a library was written for: onnxruntime_c_api.h, "Rules on how
// to add a new Ort API version". The gaps are members that are not used; numbers are places.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct OrtStatus OrtStatus; // null if all is well
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtCustomOpDomain OrtCustomOpDomain;
typedef struct OrtKernelInfo OrtKernelInfo;
typedef struct OrtKernelContext OrtKernelContext;
typedef struct OrtValue OrtValue;
typedef struct OrtShape OrtShape; // OrtTensorTypeAndShapeInfo
typedef struct OrtCustomOp OrtCustomOp;

enum { API_VERSION = 18 }; // of ONNX Runtime 1.18
enum { ORT_FAIL = 1, ORT_INVALID_ARGUMENT = 2 };
enum { ORT_FLOAT = 1, ORT_VARIADIC = 2 }; // an element's type, and an input's characteristic

typedef struct {
    OrtStatus *(*CreateStatus)(int code, const char *message); // 0
    const void *gap1[25];
    OrtStatus *(*CreateCustomOpDomain)(const char *name, OrtCustomOpDomain **out); // 26
    OrtStatus *(*CustomOpDomain_Add)(OrtCustomOpDomain *domain, const OrtCustomOp *op);
    OrtStatus *(*AddCustomOpDomain)(OrtSessionOptions *options, OrtCustomOpDomain *domain);
    const void *gap29[22];
    OrtStatus *(*GetTensorMutableData)(OrtValue *value, void **out); // 51
    const void *gap52[9];
    OrtStatus *(*GetDimensionsCount)(const OrtShape *shape, size_t *out); // 61
    OrtStatus *(*GetDimensions)(const OrtShape *shape, int64_t *out, size_t count);
    const void *gap63[2];
    OrtStatus *(*GetTensorTypeAndShape)(const OrtValue *value, OrtShape **out); // 65
    const void *gap66[20];
    OrtStatus *(*KernelInfoGetAttribute_int64)( // 86
        const OrtKernelInfo *info, const char *name, int64_t *out);
    const void *gap87[3];
    OrtStatus *(*KernelContext_GetInput)( // 90
        const OrtKernelContext *context, size_t index, const OrtValue **out);
    OrtStatus *(*KernelContext_GetOutput)(
        OrtKernelContext *context, size_t index, const int64_t *shape, size_t rank, OrtValue **out);
    const void *gap92[1];
    void (*ReleaseStatus)(OrtStatus *status); // 93
    const void *gap94[5];
    void (*ReleaseTensorTypeAndShapeInfo)(OrtShape *shape); // 99
    const void *gap100[130];
    OrtStatus *(*KernelInfo_GetInputCount)(const OrtKernelInfo *info, size_t *out); // 230
    const void *gap231[18];
    OrtStatus *(*KernelInfoGetConstantInput_tensor)( // 249
        const OrtKernelInfo *info, size_t index, int *is_constant, const OrtValue **out);
    const void *gap250[24];
    OrtStatus *(*KernelContext_ParallelFor)( // 274; returns when all tasks have run
        const OrtKernelContext *context, void (*task)(void *job, size_t index), size_t tasks,
        size_t batches, void *job);
} OrtApi;
_Static_assert(offsetof(OrtApi, KernelContext_ParallelFor) == 274 * sizeof(void *), "gaps");

typedef struct { const OrtApi *(*GetApi)(uint32_t version); } OrtApiBase; // null if it is older

typedef const char *Name(const OrtCustomOp *op);
typedef size_t Count(const OrtCustomOp *op);
typedef int Number(const OrtCustomOp *op);
typedef int NumberOf(const OrtCustomOp *op, size_t index); // of an input or an output

struct OrtCustomOp { // an operator, as version 17 declares it
    uint32_t version;
    const void *gap1;
    Name *GetName, *GetExecutionProviderType;
    NumberOf *GetInputType;
    Count *GetInputTypeCount;
    NumberOf *GetOutputType;
    Count *GetOutputTypeCount;
    const void *gap8;
    void (*KernelDestroy)(void *kernel);
    NumberOf *GetInputCharacteristic, *GetOutputCharacteristic, *GetInputMemoryType;
    Number *GetVariadicInputMinArity, *GetVariadicInputHomogeneity;
    Number *GetVariadicOutputMinArity, *GetVariadicOutputHomogeneity;
    OrtStatus *(*CreateKernelV2)(
        const OrtCustomOp *op, const OrtApi *api, const OrtKernelInfo *info, void **out);
    OrtStatus *(*KernelComputeV2)(void *kernel, OrtKernelContext *context);
    const void *gap19;
    Number *GetStartVersion, *GetEndVersion;
};

extern const OrtApi *api; // set when operators are registered, always to the same table

#define EXPORTED __attribute__((visibility("default")))
#define TRY(call) do { OrtStatus *status_ = (call); if (status_) return status_; } while (0)
