/* The functions of CUDA's and TensorRT's libraries that the service itself calls. For tests only. */
int cudaRuntimeGetVersion(int *version) {
    *version = 13010;
    return 0;
}

int getInferLibVersion(void) {
    return 101601;
}
