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
typedef struct OrtAllocator OrtAllocator;
typedef struct OrtCustomOp OrtCustomOp;

enum { API_VERSION = 18 }; // of ONNX Runtime 1.18
enum { ORT_FAIL = 1, ORT_INVALID_ARGUMENT = 2 };
enum { ORT_FLOAT = 1 }; // ONNXTensorElementDataType
enum { ORT_REQUIRED = 0, ORT_VARIADIC = 2 }; // OrtCustomOpInputOutputCharacteristic
enum { ORT_DEFAULT_MEMORY = 0 }; // OrtMemType

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
    const void *gap66[9];
    OrtStatus *(*AllocatorAlloc)(OrtAllocator *allocator, size_t bytes, void **out); // 75
    OrtStatus *(*AllocatorFree)(OrtAllocator *allocator, void *memory);
    const void *gap77[9];
    OrtStatus *(*KernelInfoGetAttribute_int64)(const OrtKernelInfo *info, const char *name, int64_t *out); // 86
    const void *gap87[1];
    OrtStatus *(*KernelContext_GetInputCount)(const OrtKernelContext *context, size_t *out); // 88
    const void *gap89[1];
    OrtStatus *(*KernelContext_GetInput)(const OrtKernelContext *context, size_t index, const OrtValue **out); // 90
    OrtStatus *(*KernelContext_GetOutput)(
        OrtKernelContext *context, size_t index, const int64_t *shape, size_t rank, OrtValue **out);
    const void *gap92[1];
    void (*ReleaseStatus)(OrtStatus *status); // 93
    const void *gap94[5];
    void (*ReleaseTensorTypeAndShapeInfo)(OrtShape *shape); // 99
    const void *gap100[1];
    void (*ReleaseCustomOpDomain)(OrtCustomOpDomain *domain); // 101
    const void *gap102[30];
    void (*ReleaseAllocator)(OrtAllocator *allocator); // 132
    const void *gap133[97];
    OrtStatus *(*KernelInfo_GetInputCount)(const OrtKernelInfo *info, size_t *out); // 230
    const void *gap231[7];
    OrtStatus *(*GetSessionConfigEntry)(
        const OrtSessionOptions *options, const char *key, char *out, size_t *bytes); // 238
    const void *gap239[10];
    OrtStatus *(*KernelInfoGetConstantInput_tensor)(
        const OrtKernelInfo *info, size_t index, int *is_constant, const OrtValue **out); // 249
    const void *gap250[24];
    OrtStatus *(*KernelContext_ParallelFor)( // 274; returns when all tasks have run
        const OrtKernelContext *context, void (*task)(void *job, size_t index), size_t tasks,
        size_t batches, void *job);
    const void *gap275[3];
    OrtStatus *(*KernelInfoGetAllocator)(const OrtKernelInfo *info, int memory, OrtAllocator **out); // 278
} OrtApi;

_Static_assert(offsetof(OrtApi, ReleaseAllocator) == 132 * sizeof(void *), "ReleaseAllocator");
_Static_assert(offsetof(OrtApi, KernelInfo_GetInputCount) == 230 * sizeof(void *), "GetInputCount");
_Static_assert(offsetof(OrtApi, KernelInfoGetAllocator) == 278 * sizeof(void *), "GetAllocator");

typedef struct {
    const OrtApi *(*GetApi)(uint32_t version); // null if the library is older
    const char *(*GetVersionString)(void);
} OrtApiBase;

// An operator, as version 17 declares it.
struct OrtCustomOp {
    uint32_t version;
    void *(*CreateKernel)(const OrtCustomOp *, const OrtApi *, const OrtKernelInfo *);
    const char *(*GetName)(const OrtCustomOp *);
    const char *(*GetExecutionProviderType)(const OrtCustomOp *);
    int (*GetInputType)(const OrtCustomOp *, size_t index);
    size_t (*GetInputTypeCount)(const OrtCustomOp *);
    int (*GetOutputType)(const OrtCustomOp *, size_t index);
    size_t (*GetOutputTypeCount)(const OrtCustomOp *);
    void (*KernelCompute)(void *kernel, OrtKernelContext *);
    void (*KernelDestroy)(void *kernel);
    int (*GetInputCharacteristic)(const OrtCustomOp *, size_t index);
    int (*GetOutputCharacteristic)(const OrtCustomOp *, size_t index);
    int (*GetInputMemoryType)(const OrtCustomOp *, size_t index);
    int (*GetVariadicInputMinArity)(const OrtCustomOp *);
    int (*GetVariadicInputHomogeneity)(const OrtCustomOp *);
    int (*GetVariadicOutputMinArity)(const OrtCustomOp *);
    int (*GetVariadicOutputHomogeneity)(const OrtCustomOp *);
    OrtStatus *(*CreateKernelV2)(const OrtCustomOp *, const OrtApi *, const OrtKernelInfo *, void **out);
    OrtStatus *(*KernelComputeV2)(void *kernel, OrtKernelContext *);
    OrtStatus *(*InferOutputShape)(const OrtCustomOp *, void *context);
    int (*GetStartVersion)(const OrtCustomOp *);
    int (*GetEndVersion)(const OrtCustomOp *);
};
