// SPDX-License-Identifier: Apache-2.0
package org.cortigan.jni;

import org.bytedeco.javacpp.annotation.Platform;
import org.bytedeco.javacpp.annotation.Properties;

/** Settings with which JavaCPP builds and loads the JNI glue: the header, and the libraries in load order. */
@Properties(
        value =
                @Platform(
                        value = "linux-x86_64",
                        compiler = "cpp17",
                        include = "cg/api.h",
                        link = "cortigan_cpu",
                        preload = {"gomp@.1", "dnnl@.3"},
                        preloadresource = "/org/bytedeco/dnnl/"),
        target = "org.cortigan.jni.Native")
public final class NativeConfig {
    private NativeConfig() {}
}
