// The entry that ONNX Runtime looks for: it registers the operator for one kind of processor.
#include "ort_api.h"

EXPORTED const OrtCustomOp *operators_kernel; // that sessions get from now on: library.py sets it
const OrtApi *api;

EXPORTED OrtStatus *RegisterCustomOps(OrtSessionOptions *options, const OrtApiBase *base)
{
    api = base->GetApi(API_VERSION);
    if (!api) // before 1.18; there is no table to make a status with: sessions miss the operators
        return NULL;
    OrtCustomOpDomain *domain; // some bytes, which are not freed: nothing says when that may be
    TRY(api->CreateCustomOpDomain("app.operators", &domain));
    TRY(api->CustomOpDomain_Add(domain, operators_kernel));
    return api->AddCustomOpDomain(options, domain);
}
