// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import org.cortigan.InputException;
import org.cortigan.exec.Device;
import org.cortigan.exec.DeviceProvider;
import org.cortigan.jni.NativeLoader;

/** NVIDIA GPUs. This class uses no CUDA bindings, so that it loads where they are missing. */
public final class CudaProvider implements DeviceProvider {
    @Override
    public String kind() {
        return "cuda";
    }

    @Override
    public Optional<String> absent() {
        if (System.getProperty(CudaLibraries.PATH) != null) return Optional.empty();
        if (Files.exists(Path.of("/dev/nvidiactl")) || Files.exists(Path.of("/dev/dxg"))) return Optional.empty();
        return Optional.of("this machine has no NVIDIA driver (neither /dev/nvidiactl nor /dev/dxg)");
    }

    @Override
    public int count() {
        NativeLoader.load();
        try {
            CudaLibraries.load();
            return CudaDevice.count("device cuda");
        } catch (LinkageError e) {
            throw missing(e);
        }
    }

    @Override
    public Device open(int number, Consumer<String> note) {
        NativeLoader.load();
        try {
            return CudaDevice.open(number, note);
        } catch (LinkageError e) {
            throw missing(e);
        }
    }

    @Override
    public List<String> report() {
        try {
            NativeLoader.load();
            return CudaReport.lines();
        } catch (InputException e) {
            return List.of("cuda: unavailable: " + e.getMessage());
        } catch (LinkageError e) {
            return List.of("cuda: unavailable: " + missing(e).getMessage());
        }
    }

    private static InputException missing(LinkageError e) {
        return new InputException(
                "device cuda",
                "the bindings are not on the class path (" + NativeLoader.chain(e) + ")",
                "Add org.bytedeco:cuda and its linux-x86_64 jar");
    }
}
