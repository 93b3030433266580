// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Other processes of this program. */
final class OwnProcess {
    private OwnProcess() {}

    /**
     * A command in another JVM of the same kind, with this one's options and class path.
     *
     * @param program name of the class that has the main method
     */
    static List<String> command(String program, List<String> jvmOptions, List<String> arguments) {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(ManagementFactory.getRuntimeMXBean().getInputArguments());
        command.addAll(jvmOptions);
        command.add("-cp");
        command.add(System.getProperty("java.class.path"));
        command.add(program);
        command.addAll(arguments);
        return command;
    }

    /** The JVM's option for the number of cores that Java's own threads use. */
    static String cores(Object threads) {
        return "-XX:ActiveProcessorCount=" + threads;
    }

    /** Ends this process as a signal does, after a checkpoint, when the pipe from its parent ends: it has died. */
    static void endWith(InputStream parent) {
        Thread watch = new Thread(
                () -> {
                    try {
                        parent.transferTo(OutputStream.nullOutputStream());
                    } catch (IOException e) {
                        // The pipe is broken, which is as good as its end.
                    }
                    System.exit(Train.STOPPED);
                },
                "parent");
        watch.setDaemon(true);
        watch.start();
    }
}
