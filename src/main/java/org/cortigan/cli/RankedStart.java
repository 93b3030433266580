// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.function.IntSupplier;
import java.util.function.Supplier;
import org.cortigan.InputException;
import org.cortigan.exec.Ranks;
import org.cortigan.ranks.Launched;
import org.jspecify.annotations.Nullable;

/**
 * How the ranks of a command begin: rank 0 prepares everything before the others do. So it alone decodes the
 * photographs into the cache, and tells what is wrong with the recipe or the data once.
 */
final class RankedStart {
    /** What rank 0 tells the others. */
    private static final int FAILED = 0, READY = 1;

    /** Milliseconds that another rank waits before it tells an error: if all fail alike, rank 0 speaks. */
    private static final long PATIENCE = 500;

    private final Ranks ranks;
    private final int threads;
    private boolean began;
    /** The checkpoint to resume from, as rank 0 has told; empty for none. */
    private String checkpoint = "";

    RankedStart(Ranks ranks) {
        this.ranks = ranks;
        threads = Launched.threads(ranks);
    }

    /** Threads of this rank, unless the user names a number. */
    int threads() {
        return threads;
    }

    Ranks ranks() {
        return ranks;
    }

    /** Runs the command, and leaves the ranks; an error of one rank ends all. */
    int run(IntSupplier command, PrintWriter err) {
        try {
            if (!ranks.isFirst()) {
                byte[] told = ranks.fromFirst(new byte[0]);
                if (told[0] == FAILED) {
                    ranks.leave();
                    return 0; // Another code would make mpirun end rank 0 before it has told why.
                }
                began = true;
                checkpoint = new String(told, 1, told.length - 1, StandardCharsets.UTF_8);
            }
            int code = command.getAsInt();
            ranks.leave();
            return code;
        } catch (RuntimeException | Error e) {
            if (ranks.isFirst() && !began) {
                try {
                    ranks.fromFirst(new byte[] {FAILED});
                    ranks.leave();
                } catch (RuntimeException lost) {
                    e.addSuppressed(lost);
                }
                throw e;
            }
            fail(e, err);
            throw e;
        }
    }

    private void fail(Throwable e, PrintWriter err) {
        try {
            if (!ranks.isFirst()) Thread.sleep(PATIENCE);
        } catch (InterruptedException i) {
            Thread.currentThread().interrupt();
        }
        if (e instanceof InputException) err.println("cortigan: " + ranks.name() + ": " + e.getMessage());
        else {
            err.println("cortigan: " + ranks.name() + ":");
            e.printStackTrace(err);
        }
        err.flush();
        ranks.abort(1);
    }

    /** The checkpoint that rank 0 finds, so that all resume from the same one. */
    @Nullable
    Path fromFirst(Supplier<@Nullable Path> find) {
        if (!ranks.isFirst()) return checkpoint.isEmpty() ? null : Path.of(checkpoint);
        Path found = find.get();
        if (found != null) checkpoint = found.toString();
        return found;
    }

    /** Rank 0 has prepared everything; the others begin. */
    void ready() {
        if (ranks.size() == 1 || !ranks.isFirst() || began) return;
        began = true;
        byte[] name = checkpoint.getBytes(StandardCharsets.UTF_8), told = new byte[1 + name.length];
        told[0] = READY;
        System.arraycopy(name, 0, told, 1, name.length);
        ranks.fromFirst(told);
    }
}
