// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

/** Moves bytes between the ranks of a data-parallel run. Only the thread of {@link Ranks} calls it. */
public interface Transport extends AutoCloseable {
    /** Number of this rank, from 0 on. */
    int rank();

    /** Number of ranks. */
    int size();

    /**
     * Sends bytes to every other rank and receives bytes from each. All ranks call it in the same order, with sizes
     * that fit together. What a rank would send to itself is left to the caller.
     *
     * @param sendFrom for each rank the address of what it gets
     * @param receiveTo for each rank the address of what comes from it
     * @throws RuntimeException if a rank is lost
     */
    void exchange(long[] sendFrom, long[] sendBytes, long[] receiveTo, long[] receiveBytes);

    /** Ends all ranks at once, as far as the transport can, after this one has failed. */
    void abort(int exitCode);

    /** Leaves the run in an orderly way, after the last exchange; every rank must. */
    @Override
    void close();
}
