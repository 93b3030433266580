// SPDX-License-Identifier: Apache-2.0
package org.cortigan.jni;

import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.Pointer;
import org.cortigan.InputException;
import org.jspecify.annotations.Nullable;

/**
 * Loads the native library from the jar, once. JavaCPP unpacks the library into a cache folder, which the system
 * property {@code org.bytedeco.javacpp.cachedir} sets.
 */
public final class NativeLoader {
    private static final String CACHE = "org.bytedeco.javacpp.cachedir";
    private static volatile boolean loaded;
    private static @Nullable InputException failure;

    private NativeLoader() {}

    /**
     * Loads the library; later calls do nothing.
     *
     * @throws InputException with the whole cause chain, if the library cannot be loaded; every later call throws the
     *     same exception
     */
    public static void load() {
        if (loaded) return;
        synchronized (NativeLoader.class) {
            if (loaded) return;
            if (failure != null) throw failure;
            try {
                Loader.load(Pointer.class);
                Loader.load(Native.class);
                Kernels.check();
                loaded = true;
            } catch (InputException e) {
                failure = e;
                throw e;
            } catch (Throwable t) {
                failure = failed(
                        "native library of CortiGAN for " + Loader.getPlatform(),
                        t,
                        "It needs 64-bit x86 Linux with glibc 2.34 or newer and libstdc++ 6; the cache folder ("
                                + System.getProperty(CACHE, "~/.javacpp/cache")
                                + ", set by -D" + CACHE + ") must be writable and not mounted noexec");
                throw failure;
            }
        }
    }

    /**
     * The exception for a library that does not load, with the whole cause chain.
     *
     * @param remedy what to do, unless the cause says better
     */
    public static InputException failed(String library, Throwable t, String remedy) {
        String causes = chain(t);
        // Java 24 and later may be told to deny native code (JEP 472).
        if (causes.contains("IllegalCallerException"))
            remedy = "Start Java with --enable-native-access=ALL-UNNAMED; on the module path name "
                    + "org.cortigan,org.bytedeco.javacpp,org.bytedeco.openblas instead";
        // The words of musl's dynamic linker; those of glibc's are others.
        else if (causes.contains("Error loading shared library") || causes.contains("Error relocating"))
            remedy = "This system's C library is musl, as on Alpine, and the library needs glibc 2.34 or newer: use"
                    + " another system or image, for example Debian 12";
        return new InputException(library, causes, remedy, t);
    }

    /** The messages of a cause chain, outermost first, in one line. */
    public static String chain(Throwable t) {
        StringBuilder s = new StringBuilder();
        Throwable cause = t;
        for (int depth = 0; cause != null && depth < 10; cause = cause.getCause(), depth++) {
            String message = cause.getMessage();
            String m = cause.getClass().getSimpleName() + (message == null ? "" : ": " + message.strip());
            s.append(depth == 0 ? "" : "; caused by ").append(m);
        }
        return s.toString();
    }
}
