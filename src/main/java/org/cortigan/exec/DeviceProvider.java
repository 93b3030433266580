// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;

/** A kind of device that is found by {@link java.util.ServiceLoader} and touched only when it is asked for. */
public interface DeviceProvider {
    /** The name before the colon, for example {@code cuda}. */
    String kind();

    /** Why there is surely no such device here, found without loading anything; empty if there may be one. */
    Optional<String> absent();

    /**
     * Opens the device of that number, from 0 on.
     *
     * @param note takes lines for the user
     * @throws org.cortigan.InputException saying which of driver, library, architecture or device is missing, and the
     *     remedy
     */
    Device open(int number, Consumer<String> note);

    /** Versions and devices with what they offer, a line each; where something is missing, what. Never throws. */
    List<String> report();
}
