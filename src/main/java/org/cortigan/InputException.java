// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

import org.jspecify.annotations.Nullable;

/**
 * Wrong input: a file, a recipe value, a shape or a device. The message is one line: where (file and field), what is
 * wrong, and the remedy. The command line prints the message unchanged and exits with a non-zero code. Readers of
 * untrusted files throw no other exception.
 */
public class InputException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /**
     * @param where the file and field at fault, for example {@code "lh_training_fmri.npy, header field 'descr'"}
     * @param problem what is wrong there
     * @param remedy what the user can do about it
     */
    public InputException(String where, String problem, String remedy) {
        super(where + ": " + problem + ". " + remedy);
    }

    /** The same with a cause; null for none. */
    public InputException(String where, String problem, String remedy, @Nullable Throwable cause) {
        super(where + ": " + problem + ". " + remedy, cause);
    }
}
