// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * Wrong input: a file, a recipe value, a shape or a device. The message is one line: where (file and field), what is
 * wrong, and the remedy. The command line prints the message unchanged and exits with a non-zero code. Readers of
 * untrusted files throw no other exception.
 */
public class InputException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final String problem;

    /**
     * @param where the file and field at fault, for example {@code "lh_training_fmri.npy, header field 'descr'"}
     * @param problem what is wrong there
     * @param remedy what the user can do about it
     */
    public InputException(String where, String problem, String remedy) {
        this(where, problem, remedy, null);
    }

    /** The same with a cause; null for none. */
    public InputException(String where, String problem, String remedy, @Nullable Throwable cause) {
        super(oneLine(where + ": " + problem + ". " + remedy), cause);
        this.problem = problem;
    }

    /** What is wrong, without where and the remedy: for a caller that knows better ones. */
    public String problem() {
        return problem;
    }

    /**
     * The text with its control characters, those for lines and for the direction of writing included, written as
     * Java's escapes. Names of files may have them, and a terminal obeys them.
     */
    public static String oneLine(String text) {
        StringBuilder out = new StringBuilder();
        text.codePoints().forEach(c -> {
            if (Character.isISOControl(c) || c >= 0x2028 && c <= 0x202e || c >= 0x2066 && c <= 0x2069)
                out.append(String.format(Locale.ROOT, "\\u%04x", c));
            else out.appendCodePoint(c);
        });
        return out.toString();
    }
}
