// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

/**
 * Bad input from outside the engine: a file, a recipe value, a shape, a device. The message is one line that names
 * where (file and field), what is wrong, and the remedy; the command line prints it as it stands and exits with a
 * non-zero code. Readers of untrusted files throw this and nothing else.
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

    /** As {@link #InputException(String, String, String)}, keeping the cause chain. */
    public InputException(String where, String problem, String remedy, Throwable cause) {
        super(where + ": " + problem + ". " + remedy, cause);
    }
}
