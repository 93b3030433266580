// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.Locale;
import org.cortigan.InputException;
import org.cortigan.graph.DType;
import org.cortigan.jni.Backend;
import org.cortigan.jni.Native;
import org.cortigan.jni.NativeLoader;

/** The CPU, with the kernels of one instruction set. */
public final class CpuDevice implements Device {
    /** Property that allows FP8 on a processor; what is bf16 beside it is f32 where the processor has no bf16. */
    private static final String EMULATE_FP8 = "cortigan.fp8.emulate";

    /** Sets of kernels, the slowest first, named like their {@link Backend}. */
    public enum Isa {
        /** Reference kernels in double precision; slow, for tests. */
        REFERENCE,
        PORTABLE,
        AVX2,
        AVX512
    }

    private final Isa isa;
    private final int threads;
    private final HostRuntime runtime;

    private CpuDevice(Isa isa, int threads, Ranks ranks) {
        this.isa = isa;
        this.threads = threads;
        runtime = new HostRuntime(threads, isa == Isa.REFERENCE, ranks);
    }

    @Override
    public CpuDevice in(Ranks ranks) {
        return new CpuDevice(isa, threads, ranks);
    }

    /**
     * The best instruction set of this CPU, unless the system property {@code cortigan.isa} or the environment variable
     * CORTIGAN_ISA names a lesser one.
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

    /** @throws InputException if the CPU lacks the instruction set */
    public static CpuDevice of(Isa isa, int threads) {
        NativeLoader.load();
        Isa best = bestIsa();
        if (isa.compareTo(best) > 0)
            throw new InputException(
                    "instruction set " + isa.name().toLowerCase(Locale.ROOT),
                    "this CPU lacks it and has " + Native.cpu_features(),
                    "Use the best kernels for this CPU, " + best.name().toLowerCase(Locale.ROOT));
        return new CpuDevice(isa, threads > 0 ? threads : Runtime.getRuntime().availableProcessors(), Ranks.alone());
    }

    /** The best instruction set of this CPU. */
    private static Isa bestIsa() {
        return Isa.valueOf(Backend.values()[Native.cpu_best_backend()].name());
    }

    /** The reference kernels in double precision, on one thread. */
    public static CpuDevice doubleReference() {
        return of(Isa.REFERENCE, 1);
    }

    /** The instruction set of the kernels. */
    public Isa isa() {
        return isa;
    }

    /** Whether this CPU has kernels for bf16 products. */
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

    /** FP8 is emulated, slowly, for experiments that ask for it. */
    @Override
    public boolean supports(Precision p) {
        return p == Precision.FP8 ? Boolean.getBoolean(EMULATE_FP8) : Device.super.supports(p);
    }

    @Override
    public DType compute(Precision p) {
        return p == Precision.FP8 && !supportsBf16() ? DType.F32 : p.compute();
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
