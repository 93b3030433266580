// SPDX-License-Identifier: Apache-2.0
package org.cortigan.jni;

/** Tables of kernels (native/include/cg/abi.h, Backend). */
public enum Backend {
    /** The double references, for tests. */
    REFERENCE,
    PORTABLE,
    AVX2,
    AVX512,
    CUDA,
    /** The CUDA kernels on the processor, for tests. */
    SIM;

    /** Its number in {@link Native}'s functions. {@link Kernels#check} compares the names with the library's. */
    public int number() {
        return ordinal();
    }
}
