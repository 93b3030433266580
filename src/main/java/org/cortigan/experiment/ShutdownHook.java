// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

/** Work that a signal to the JVM starts; the JVM ends when it has returned. */
final class ShutdownHook {
    private ShutdownHook() {}

    /** Returns false if a signal has come already; the hook then never runs. */
    static boolean add(Thread hook) {
        try {
            Runtime.getRuntime().addShutdownHook(hook);
            return true;
        } catch (IllegalStateException e) {
            return false;
        }
    }

    static void remove(Thread hook) {
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException e) {
            // The JVM is shutting down: the hook is running or has run.
        }
    }
}
