// SPDX-License-Identifier: Apache-2.0
/**
 * A training engine for GANs that predict fMRI responses from natural images. Exported is what an application embeds,
 * with the packages whose types its signatures name. {@code cli}, {@code cuda}, {@code grad} and {@code jni} are
 * internal. {@code spark} is for the class path alone, where Spark is.
 */
@SuppressWarnings("requires-automatic") // jHDF and MFL name their modules in the manifest only
module org.cortigan {
    requires static ai.djl.api;
    requires com.fasterxml.jackson.core;
    requires info.picocli;
    requires io.jhdf;
    requires java.desktop;
    requires java.management;
    requires java.xml;
    requires jdk.httpserver;
    requires org.apache.commons.lang3;
    requires org.bytedeco.javacpp;
    requires org.bytedeco.openblas;
    requires static org.bytedeco.cuda;
    requires static transitive org.jspecify;
    requires org.slf4j;
    requires org.snakeyaml.engine;
    requires us.hebi.matlab.mat.mfl.core;

    exports org.cortigan;
    exports org.cortigan.config;
    exports org.cortigan.cortex;
    exports org.cortigan.djl;
    exports org.cortigan.eval;
    exports org.cortigan.exec;
    exports org.cortigan.experiment;
    exports org.cortigan.features;
    exports org.cortigan.graph;
    exports org.cortigan.io;
    exports org.cortigan.model;
    exports org.cortigan.nn;
    exports org.cortigan.nsd;
    exports org.cortigan.onnx;
    exports org.cortigan.op;
    exports org.cortigan.plan;
    exports org.cortigan.prof;
    exports org.cortigan.ranks;
    exports org.cortigan.report;
    exports org.cortigan.ridge;
    exports org.cortigan.simulate;
    exports org.cortigan.surface;
    exports org.cortigan.train;

    opens org.cortigan.cli to
            info.picocli;

    uses org.cortigan.exec.DeviceProvider;

    provides org.cortigan.exec.DeviceProvider with
            org.cortigan.cuda.CudaProvider;
}
