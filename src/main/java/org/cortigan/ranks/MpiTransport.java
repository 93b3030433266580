// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ranks;

import org.cortigan.InputException;
import org.cortigan.exec.Transport;
import org.cortigan.jni.Mpi;

/** The ranks that {@code mpirun} or {@code srun} started, by Open MPI. A process can join once. */
public final class MpiTransport implements Transport {
    private final int rank, size;

    /** Joins the run; call it on the thread that will use the transport. */
    public MpiTransport() {
        Mpi.load();
        try {
            Mpi.start();
        } catch (RuntimeException e) {
            throw new InputException(
                    "MPI",
                    String.valueOf(e.getMessage()),
                    "Install Open MPI 3, 4 or 5 (Debian: openmpi-bin), and start the ranks with its mpirun",
                    e);
        }
        rank = Mpi.rank();
        size = Mpi.size();
    }

    @Override
    public int rank() {
        return rank;
    }

    @Override
    public int size() {
        return size;
    }

    @Override
    public void exchange(long[] sendFrom, long[] sendBytes, long[] receiveTo, long[] receiveBytes) {
        Mpi.exchange(sendFrom, sendBytes, receiveTo, receiveBytes);
    }

    @Override
    public void abort(int exitCode) {
        Mpi.abort(exitCode);
    }

    @Override
    public void close() {
        Mpi.finish();
    }
}
