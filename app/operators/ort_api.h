// The part of ONNX Runtime's C interface that custom operators need, declared here so that nothing
// but a compiler is needed to build them. OrtApi is a table of functions that only ever grows, and
// is asked for by the version that a library was written for: onnxruntime_c_api.h, "Rules on how
// to add a new Ort API version". The gaps are members that are not used.
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
enum { ORT_FLOAT = 1 }; // ONNXTensorElementDataType
enum { ORT_DEFAULT_MEMORY = 0 }; // OrtMemType
enum { ORT_VARIADIC = 2 }; // OrtCustomOpInputOutputCharacteristic

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
    OrtStatus *(*KernelInfoGetConstantInput_tensor)(
        const OrtKernelInfo *info, size_t index, int *is_constant, const OrtValue **out); // 249
    const void *gap250[24];
    OrtStatus *(*KernelContext_ParallelFor)( // 274; returns when all tasks have run
        const OrtKernelContext *context, void (*task)(void *job, size_t index), size_t tasks,
        size_t batches, void *job);
} OrtApi;

_Static_assert(offsetof(OrtApi, KernelContext_ParallelFor) == 274 * sizeof(void *), "gaps");

typedef struct {
    const OrtApi *(*GetApi)(uint32_t version); // null if the library is older
} OrtApiBase;

// An operator, as version 17 declares it.
struct OrtCustomOp {
    uint32_t version;
    const void *gap1;
    const char *(*GetName)(const OrtCustomOp *);
    const char *(*GetExecutionProviderType)(const OrtCustomOp *);
    int (*GetInputType)(const OrtCustomOp *, size_t index);
    size_t (*GetInputTypeCount)(const OrtCustomOp *);
    int (*GetOutputType)(const OrtCustomOp *, size_t index);
    size_t (*GetOutputTypeCount)(const OrtCustomOp *);
    const void *gap8;
    void (*KernelDestroy)(void *kernel);
    int (*GetInputCharacteristic)(const OrtCustomOp *, size_t index);
    int (*GetOutputCharacteristic)(const OrtCustomOp *, size_t index);
    int (*GetInputMemoryType)(const OrtCustomOp *, size_t index);
    int (*GetVariadicInputMinArity)(const OrtCustomOp *);
    int (*GetVariadicInputHomogeneity)(const OrtCustomOp *);
    int (*GetVariadicOutputMinArity)(const OrtCustomOp *);
    int (*GetVariadicOutputHomogeneity)(const OrtCustomOp *);
    OrtStatus *(*CreateKernelV2)(
        const OrtCustomOp *, const OrtApi *, const OrtKernelInfo *, void **out);
    OrtStatus *(*KernelComputeV2)(void *kernel, OrtKernelContext *);
    const void *gap19;
    int (*GetStartVersion)(const OrtCustomOp *);
    int (*GetEndVersion)(const OrtCustomOp *);
};
