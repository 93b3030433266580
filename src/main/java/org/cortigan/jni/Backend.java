// SPDX-License-Identifier: Apache-2.0
package org.cortigan.jni;

/** Kernel tables of the native library (native/include/cg/abi.h, Backend). */
public enum Backend {
    /** Reference kernels in double, for tests. */
    REFERENCE,
    PORTABLE,
    AVX2,
    AVX512,
    CUDA,
    /** CUDA kernels simulated on the CPU, for tests. */
    SIM;

    /** Number of the backend in {@link Native}. {@link Kernels#check} compares the names with those of the library. */
    public int number() {
        return ordinal();
    }
}
