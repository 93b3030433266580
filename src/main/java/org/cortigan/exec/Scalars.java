// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.FloatBuffer;
import java.util.List;
import org.cortigan.graph.DType;

/** Reads all elements of a session's small outputs after the last run or the run before. Reading allocates nothing. */
public abstract class Scalars {
    private final Runnable check;

    /** @param check throws unless the session may be used */
    private Scalars(Runnable check) {
        this.check = check;
    }

    /**
     * Waits for one run, not for later ones, and reads its outputs.
     *
     * @param back 0 for the last run; 1 for the run before it, only on a device with a stream
     * @param into receives the outputs one after the other, in the order of the names given to {@link Session#scalars}
     */
    public final void read(int back, double[] into) {
        check.run();
        readRun(back, into);
    }

    abstract void readRun(int back, double[] into);

    /** Reads the last run's outputs in place. */
    static final class Current extends Scalars {
        private final Storage[] outputs;

        Current(Runnable check, List<Storage> outputs) {
            super(check);
            this.outputs = outputs.toArray(Storage[]::new);
        }

        @Override
        void readRun(int back, double[] into) {
            if (back != 0) throw new IllegalArgumentException("a CPU session keeps only the outputs of the last run");
            int n = 0;
            for (Storage s : outputs) for (int k = 0, m = s.elements(); k < m; k++) into[n++] = s.get(k);
        }
    }

    /** Reads either of the last two runs, whose outputs the mirror keeps. */
    static final class Mirrored extends Scalars {
        private final StreamLauncher launcher;
        private final FloatBuffer[][] received;

        /**
         * @throws IllegalArgumentException if an output is an input or a variable, has over 1024 bytes, or is not f32
         */
        Mirrored(Runnable check, StreamLauncher launcher, List<Storage> outputs) {
            super(check);
            this.launcher = launcher;
            received = new FloatBuffer[2][outputs.size()];
            for (int i = 0; i < outputs.size(); i++) {
                if (!(outputs.get(i) instanceof MirroredStorage s) || s.stored() != DType.F32)
                    throw new IllegalArgumentException(
                            outputs.get(i).type() + " cannot be read as scalars: only an f32 output of at most "
                                    + Mirror.LIMIT_BYTES + " bytes, neither input nor variable, is kept for two runs");
                for (int set = 0; set < 2; set++) received[set][i] = s.received(set);
            }
        }

        @Override
        void readRun(int back, double[] into) {
            int n = 0;
            for (FloatBuffer b : received[launcher.await(back)])
                for (int k = 0, m = b.capacity(); k < m; k++) into[n++] = b.get(k);
        }
    }
}
