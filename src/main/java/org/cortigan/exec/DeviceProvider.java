// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * A kind of device. {@link java.util.ServiceLoader} finds the providers; a provider loads its libraries only when its
 * device is asked for.
 */
public interface DeviceProvider {
    /** The name before the colon, for example {@code cuda}. */
    String kind();

    /** Why this machine certainly has no such device, found without loading a library; empty if it may have one. */
    Optional<String> absent();

    /**
     * Number of devices that this process sees, at least 1.
     *
     * @throws org.cortigan.InputException naming what is missing, and the remedy
     */
    int count();

    /**
     * Opens a device by its number, counted from 0.
     *
     * @param note receives lines for the user
     * @throws org.cortigan.InputException naming the missing driver, library, architecture or device, and the remedy
     */
    Device open(int number, Consumer<String> note);

    /** Versions and devices, one a line, and whatever is missing. Never throws. */
    List<String> report();
}
