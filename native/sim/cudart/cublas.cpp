// SPDX-License-Identifier: Apache-2.0
// Empty cuBLAS library: the bindings load it but call nothing in it.
extern "C" __attribute__((visibility("default"))) int cublas_is_simulated() { return 1; }
