/* The OpenVINO plug-in, told that every device is Intel's.
 *
 * Up to 1.8 the plug-in offers its CPU device on Intel's processors only, although it computes on
 * others. This library stands in front of it, so that the tests run on every x86-64 machine: it
 * hands the plug-in a copy of ONNX Runtime's table of functions in which the vendor of a device is
 * always Intel. For tests only; the service never loads it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define INTEL 0x8086
/* OrtApi only ever grows at its end: HardwareDevice_VendorId has this place since 1.22. */
#define VENDOR_ID 308
#define TABLE_SIZE 512

typedef struct {
    const void *(*get_api)(uint32_t version);
    const char *(*get_version)(void);
} ApiBase;
typedef void *(*CreateFactories)(const char *, const ApiBase *, const void *, void **, size_t,
                                 size_t *);
typedef void *(*ReleaseFactory)(void *);

static const ApiBase *real;
static void *plugin;
static void *table[TABLE_SIZE];

static uint32_t vendor_id(const void *device) {
    (void)device;
    return INTEL;
}

static const void *get_api(uint32_t version) {
    const void *functions = real->get_api(version);
    if (functions == NULL) return NULL;
    memcpy(table, functions, sizeof table);
    table[VENDOR_ID] = (void *)vendor_id;
    return table;
}

static const char *get_version(void) { return real->get_version(); }

static const ApiBase changed = {get_api, get_version};

void *CreateEpFactories(const char *name, const ApiBase *base, const void *logger,
                        void **factories, size_t most, size_t *count) {
    real = base;
    plugin = dlopen(PLUGIN, RTLD_NOW | RTLD_LOCAL);
    if (plugin == NULL) abort();
    CreateFactories create = (CreateFactories)dlsym(plugin, "CreateEpFactories");
    return create(name, &changed, logger, factories, most, count);
}

void *ReleaseEpFactory(void *factory) {
    return ((ReleaseFactory)dlsym(plugin, "ReleaseEpFactory"))(factory);
}
