// SPDX-License-Identifier: Apache-2.0
// The driver that the bindings ask the loader for; the runtime in cudart.cpp needs none.
extern "C" __attribute__((visibility("default"))) int cuDriverGetVersion(int* v) { return *v = 13000, 0; }
