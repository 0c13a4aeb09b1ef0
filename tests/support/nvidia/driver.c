/* NVIDIA's driver, as far as the service asks it: answers are set when this is compiled.
 *
 * For tests only: it shows that each answer of a driver becomes the right line for the operator, on
 * machines that have none.
 */
#include <string.h>

int cuInit(unsigned flags) {
    (void)flags;
    return STATUS;
}

int cuDriverGetVersion(int *version) {
    *version = VERSION;
    return 0;
}

int cuDeviceGetCount(int *count) {
    *count = COUNT;
    return 0;
}

int cuDeviceGet(int *device, int ordinal) {
    *device = 10 + ordinal; /* a handle, not the number it was asked for by */
    return 0;
}

int cuDeviceGetName(char *name, int length, int device) {
    strncpy(name, device == 11 ? "NVIDIA L4" : "NVIDIA H100 80GB HBM3", length);
    return 0;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    int capability = device == 11 ? 89 : 90;
    *value = attribute == 75 ? capability / 10 : attribute == 76 ? capability % 10 : -1;
    return 0;
}
