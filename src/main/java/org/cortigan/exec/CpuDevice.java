// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.Locale;
import org.cortigan.InputException;
import org.cortigan.graph.DType;
import org.cortigan.jni.Backend;
import org.cortigan.jni.Native;
import org.cortigan.jni.NativeLoader;

/** The processor, with the kernels of one instruction set. */
public final class CpuDevice implements Device {
    /** Kernel sets from the least to the best, named as their {@link Backend}. */
    public enum Isa {
        /** Double references; slow, for tests. */
        REFERENCE,
        PORTABLE,
        AVX2,
        AVX512
    }

    private final Isa isa;
    private final int threads;
    private final HostRuntime runtime;

    private CpuDevice(Isa isa, int threads) {
        this.isa = isa;
        this.threads = threads;
        runtime = new HostRuntime(threads);
    }

    /**
     * The best instruction set of this processor; the system property {@code cortigan.isa} or the variable CORTIGAN_ISA
     * asks for a lesser one.
     *
     * @param threads number of threads, 0 for all cores
     */
    public static CpuDevice best(int threads) {
        NativeLoader.load();
        String asked = System.getProperty("cortigan.isa", System.getenv("CORTIGAN_ISA"));
        if (asked == null || asked.isEmpty()) return of(bestIsa(), threads);
        try {
            return of(Isa.valueOf(asked.toUpperCase(Locale.ROOT)), threads);
        } catch (IllegalArgumentException e) {
            throw new InputException("cortigan.isa", "'" + asked + "' is unknown", "Use portable, avx2 or avx512");
        }
    }

    /** A named instruction set; fails if the processor lacks it. */
    public static CpuDevice of(Isa isa, int threads) {
        NativeLoader.load();
        Isa best = bestIsa();
        if (isa.compareTo(best) > 0)
            throw new InputException(
                    "instruction set " + isa.name().toLowerCase(Locale.ROOT),
                    "this processor has " + Native.cpu_features(),
                    "The best kernels for it are " + best.name().toLowerCase(Locale.ROOT));
        return new CpuDevice(isa, threads > 0 ? threads : Runtime.getRuntime().availableProcessors());
    }

    /** The best instruction set of this processor. */
    private static Isa bestIsa() {
        return Isa.valueOf(Backend.values()[Native.cpu_best_backend()].name());
    }

    /** The double references on one thread. */
    public static CpuDevice doubleReference() {
        return of(Isa.REFERENCE, 1);
    }

    public Isa isa() {
        return isa;
    }

    /** Whether products in bf16 run on this processor. */
    public boolean supportsBf16() {
        return bestIsa() == Isa.AVX512;
    }

    @Override
    public String name() {
        return "cpu (" + isa.name().toLowerCase(Locale.ROOT) + ", " + threads + " threads)";
    }

    @Override
    public boolean reference() {
        return isa == Isa.REFERENCE;
    }

    @Override
    public int backend() {
        return Backend.valueOf(isa.name()).number();
    }

    @Override
    public boolean supports(DType compute) {
        return compute != DType.BF16 || supportsBf16();
    }

    @Override
    public DeviceRuntime runtime() {
        return runtime;
    }

    @Override
    public void close() {
        runtime.close();
    }
}
