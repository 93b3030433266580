package org.cortigan.exec;

import org.cortigan.graph.DType;

/** Where a session runs. */
public interface Device {
    /** For messages and records, for example {@code cpu (avx512, 2 threads)}. */
    String name();

    /** Bytes of one stored element. */
    int elementBytes(DType t);

    /** Number of the kernel table (native/include/cg/abi.h, Backend), or -1 if nothing is to run. */
    int backend();

    /** Threads for kernels. */
    int threads();

    /** Whether kernels compute in double on double storage. */
    default boolean reference() {
        return false;
    }
}
