// SPDX-License-Identifier: Apache-2.0
// The CUDA driver library, which the bindings load; the simulated runtime in cudart.cpp does not use it.
extern "C" __attribute__((visibility("default"))) int cuDriverGetVersion(int* v) { return *v = 13000, 0; }
