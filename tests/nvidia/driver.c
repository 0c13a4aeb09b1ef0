/* NVIDIA's driver, as far as the service asks it: answers are set when this is compiled.
 *
 * For tests only: it shows that each answer of a driver becomes the right line for the operator, on
 * machines that have none.
 */
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
