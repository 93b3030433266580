// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.bytedeco.cuda.global.cudart.*;

import java.util.Optional;
import java.util.function.Consumer;
import org.bytedeco.cuda.cudart.cudaDeviceProp;
import org.cortigan.InputException;
import org.cortigan.exec.ComputeCapability;
import org.cortigan.exec.Device;
import org.cortigan.exec.DeviceRuntime;
import org.cortigan.exec.Precision;
import org.cortigan.exec.Ranks;
import org.cortigan.exec.Session;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.jni.Backend;
import org.cortigan.jni.Kernels;
import org.cortigan.jni.Native;
import org.cortigan.op.Ops;

/** An NVIDIA GPU. Close its sessions and variables first. */
public final class CudaDevice implements Device {
    /** Major version of the oldest architecture that the kernels are built for; later ones run native code or PTX. */
    static final int OLDEST_MAJOR = 8;

    private final String name;
    private final ComputeCapability capability;
    private final CudaRuntime runtime;
    private final Optional<String> preferred;
    /** Whether this is the device that was opened, not a view of it. */
    private final boolean opened;

    private CudaDevice(
            String name,
            ComputeCapability capability,
            CudaRuntime runtime,
            Optional<String> preferred,
            boolean opened) {
        this.name = name;
        this.capability = capability;
        this.runtime = runtime;
        this.preferred = preferred;
        this.opened = opened;
    }

    private CudaDevice view(CudaRuntime r, Optional<String> names) {
        return new CudaDevice(name, capability, r, names, false);
    }

    /**
     * Opens a GPU and tests it with a kernel.
     *
     * @param note receives lines for the user
     * @throws InputException naming the missing driver, runtime, library, architecture or GPU, and the remedy
     */
    static CudaDevice open(int number, Consumer<String> note) {
        String what = "device cuda:" + number;
        CudaLibraries.load();
        int count = count(what);
        if (number >= count)
            throw new InputException(
                    what,
                    "does not exist; cards here: " + count,
                    count == 1
                            ? "Use cuda:0"
                            : "Use cuda:0 to cuda:" + (count - 1) + "; CUDA_VISIBLE_DEVICES may hide others");
        String product = product(number);
        ComputeCapability capability = capability(number);
        String name = "cuda:" + number + " (" + product + ", " + capability.architecture() + ")";
        if (capability.major() < OLDEST_MAJOR)
            throw new InputException(
                    what,
                    product + " has architecture " + capability + ", the kernels need " + OLDEST_MAJOR + ".0",
                    "Use a card of 2020 or newer, or --device cpu");
        String kernels = CudaLibraries.kernels();
        try {
            Native.load_backend(Backend.CUDA.number(), kernels);
        } catch (RuntimeException e) {
            throw new InputException(
                    what,
                    "the kernels do not load: " + e.getMessage(),
                    "Install the CUDA 13 toolkit's libcudart.so.13",
                    e);
        }
        Optional<String> preferred = preferredAttention(what, product, capability);
        CudaRuntime.checkProperties();
        CudaDevice d = null;
        try {
            CudaRuntime r = new CudaRuntime(number);
            d = new CudaDevice(name, capability, r, preferred, true);
            d.selfTest();
            // Without the libraries CortiGAN's own kernels compute products and convolutions: for comparison, and where
            // CUDA is simulated.
            if (!Boolean.getBoolean(CudaLibraries.OWN))
                r.libraries(new VendorKernels(r, product, attribute(number, cudaDevAttrL2CacheSize), note));
            return d;
        } catch (RuntimeException | Error e) {
            if (d != null)
                try {
                    d.close();
                } catch (RuntimeException x) {
                    e.addSuppressed(x);
                }
            if (e instanceof InputException || e instanceof LinkageError) throw e;
            throw new InputException(
                    what,
                    product + " (architecture " + capability + ") does not run the kernels: " + e.getMessage(),
                    "If it says that no kernel image is available, build with -Dcuda.architectures="
                            + capability.major() + capability.minor() + "; otherwise update the driver",
                    e);
        }
    }

    /**
     * The attention implementation that -Dcortigan.cuda.attention prefers: on mma.sync, which all supported GPUs have,
     * or on wgmma, Hopper's own instructions. Without it the first of the kernel's list that takes the shapes computes.
     */
    private static Optional<String> preferredAttention(String what, String product, ComputeCapability capability) {
        String which = System.getProperty("cortigan.cuda.attention");
        if (which == null) return Optional.empty();
        if (!which.equals("mma") && !which.equals("wgmma"))
            throw new InputException("-Dcortigan.cuda.attention", "'" + which + "' is unknown", "Use mma or wgmma");
        if (which.equals("wgmma") && !capability.equals(ComputeCapability.HOPPER))
            throw new InputException(
                    what,
                    product + " has architecture " + capability + ", wgmma is for " + ComputeCapability.HOPPER,
                    "Leave out -Dcortigan.cuda.attention");
        if (!Kernels.implementations(Backend.CUDA.number(), "attention", DType.BF16.variant())
                .contains(which))
            throw new InputException(
                    what,
                    "attention on " + which + " is not in this build",
                    "Build with -Dcuda.architectures=90a, or leave out -Dcortigan.cuda.attention");
        return Optional.of(which);
    }

    /**
     * Number of GPUs.
     *
     * @throws InputException if there is none, or no driver for them
     */
    static int count(String what) {
        int[] n = new int[1], driver = new int[1], runtime = new int[1];
        int e = cudaGetDeviceCount(n);
        if (e == cudaSuccess && n[0] > 0) return n[0];
        cudaDriverGetVersion(driver);
        cudaRuntimeGetVersion(runtime);
        String versions = "driver for CUDA " + CudaLibraries.version(driver[0]) + ", runtime "
                + CudaLibraries.version(runtime[0]);
        if (e == cudaErrorInsufficientDriver)
            throw new InputException(
                    what,
                    "the driver is missing or older than the runtime (" + CudaRuntime.text(e) + "; " + versions + ")",
                    "Install NVIDIA's driver, 580 or newer");
        if (e == cudaErrorNoDevice || e == cudaSuccess)
            throw new InputException(
                    what,
                    "the driver sees no card (cudaGetDeviceCount: " + CudaRuntime.text(e) + "; " + versions + ")",
                    "Check nvidia-smi, and that CUDA_VISIBLE_DEVICES does not hide the card");
        throw new InputException(
                what, "cudaGetDeviceCount: " + CudaRuntime.text(e) + "; " + versions, "Check nvidia-smi and dmesg");
    }

    /** The GPU's name. Only the first members of cudaDeviceProp are the same in every CUDA 13. */
    static String product(int number) {
        try (cudaDeviceProp p = new cudaDeviceProp()) {
            check(cudaGetDeviceProperties(p, number), "cudaGetDeviceProperties");
            return p.name().getString();
        }
    }

    static long memory(int number) {
        try (cudaDeviceProp p = new cudaDeviceProp()) {
            check(cudaGetDeviceProperties(p, number), "cudaGetDeviceProperties");
            return p.totalGlobalMem();
        }
    }

    static ComputeCapability capability(int number) {
        return new ComputeCapability(
                attribute(number, cudaDevAttrComputeCapabilityMajor),
                attribute(number, cudaDevAttrComputeCapabilityMinor));
    }

    private static int attribute(int number, int what) {
        int[] v = new int[1];
        check(cudaDeviceGetAttribute(v, what, number), "cudaDeviceGetAttribute");
        return v[0];
    }

    private static void check(int error, String call) {
        if (error != cudaSuccess) throw new IllegalStateException(call + ": " + CudaRuntime.text(error));
    }

    /** Adds two numbers twice: the first run is launched, the second is recorded, as in every session. */
    private void selfTest() {
        Graph g = new Graph();
        g.output("sum", Ops.add(g.input("a", DType.F32, 1), g.input("b", DType.F32, 1)));
        try (Variables v = new Variables(this);
                Session s = new Session(g, this, v)) {
            for (int i = 1; i <= 2; i++) {
                s.input("a").set(0, i);
                s.input("b").set(0, 40);
                s.run();
                double sum = s.scalar("sum");
                if (sum != 40 + i) throw new IllegalStateException("40 + " + i + " gave " + sum);
            }
        }
    }

    @Override
    public String name() {
        return name + (runtime.tf32() ? ", tf32" : "");
    }

    @Override
    public int backend() {
        return Backend.CUDA.number();
    }

    /** From now on this device is that of one rank, with all its views. */
    @Override
    public Device in(Ranks ranks) {
        if (ranks.size() > 1) runtime.join(ranks);
        return this;
    }

    @Override
    public DeviceRuntime runtime() {
        return runtime;
    }

    @Override
    public boolean supports(Precision p) {
        return p != Precision.FP8 || capability.hasFp8();
    }

    @Override
    public Device with(Precision p) {
        boolean tf32 = p == Precision.TF32;
        return tf32 == runtime.tf32() ? this : view(runtime.tf32(tf32), preferred);
    }

    @Override
    public Optional<String> preferred() {
        return preferred;
    }

    @Override
    public Device preferring(String implementation) {
        Kernels.requireImplementation(backend(), implementation);
        return view(runtime, Optional.of(implementation));
    }

    @Override
    public Optional<ComputeCapability> capability() {
        return Optional.of(capability);
    }

    /** Frees the GPU's resources; does nothing on a view of the device. */
    @Override
    public void close() {
        if (opened) runtime.close();
    }
}
