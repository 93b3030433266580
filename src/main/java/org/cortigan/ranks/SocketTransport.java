// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ranks;

import java.io.EOFException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.net.SocketTimeoutException;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.Iterator;
import java.util.List;
import java.util.function.Function;
import org.cortigan.exec.Transport;
import org.cortigan.jni.Memory;
import org.jspecify.annotations.Nullable;

/**
 * Ranks that reach each other by TCP, where something else has started them: executors of Spark, or a program of yours.
 * Every rank listens; each connects to those before it. The key of the run keeps strangers out; nothing is encrypted.
 */
public final class SocketTransport implements Transport {
    private static final int HELLO = Integer.BYTES + Long.BYTES;

    /** Milliseconds in which all ranks must have come, and in which one that connects must have said who it is. */
    private static final int COME = 300_000, GREET = 10_000;

    /** Bytes of one view of memory. */
    private static final long MOST = 1 << 30;

    private final int rank, size;
    /** By rank; null for this one. */
    private final @Nullable SocketChannel[] others;

    private final Selector selector;

    private SocketTransport(int rank, SocketChannel[] others) throws IOException {
        this.rank = rank;
        this.size = others.length;
        this.others = others;
        selector = Selector.open();
        for (SocketChannel c : others) {
            if (c == null) continue;
            c.setOption(StandardSocketOptions.TCP_NODELAY, true);
            c.setOption(StandardSocketOptions.SO_KEEPALIVE, true);
            c.configureBlocking(false);
            c.register(selector, 0);
        }
    }

    /**
     * Joins a run.
     *
     * @param host name or address under which the other ranks reach this machine
     * @param key number that all ranks of the run share
     * @param exchange from this rank's {@code host:port} to those of all ranks in their order; called once
     * @param rank number of this rank among them
     * @throws UncheckedIOException if a rank cannot be reached
     */
    public static SocketTransport join(String host, long key, int rank, Function<String, List<String>> exchange) {
        SocketChannel[] others = {};
        try (ServerSocketChannel server = ServerSocketChannel.open().bind(null)) {
            int port = ((InetSocketAddress) server.getLocalAddress()).getPort();
            List<String> all = exchange.apply(host + ":" + port);
            others = new SocketChannel[all.size()];
            for (int q = 0; q < rank; q++) {
                String to = all.get(q);
                int colon = to.lastIndexOf(':');
                others[q] = SocketChannel.open(
                        new InetSocketAddress(to.substring(0, colon), Integer.parseInt(to.substring(colon + 1))));
                ByteBuffer hello =
                        ByteBuffer.allocate(HELLO).putInt(rank).putLong(key).flip();
                while (hello.hasRemaining()) others[q].write(hello);
            }
            long deadline = System.nanoTime() + COME * 1_000_000L;
            for (int left = all.size() - rank - 1; left > 0; ) {
                long wait = (deadline - System.nanoTime()) / 1_000_000;
                server.socket().setSoTimeout((int) Math.max(1, wait));
                SocketChannel c = server.socket().accept().getChannel();
                int q = greeted(c, key, rank, others);
                if (q < 0) {
                    c.close();
                    continue;
                }
                others[q] = c;
                left--;
            }
            return new SocketTransport(rank, others);
        } catch (IOException e) {
            for (SocketChannel c : others) if (c != null) closeQuietly(c);
            throw new UncheckedIOException("rank " + rank + " cannot reach the others: " + e.getMessage(), e);
        }
    }

    private static void closeQuietly(SocketChannel c) {
        try {
            c.close();
        } catch (IOException e) {
            // The error that led here is reported.
        }
    }

    /** The rank that connects; -1 for a stranger. */
    private static int greeted(SocketChannel c, long key, int rank, SocketChannel[] others) throws IOException {
        ByteBuffer hello;
        try {
            c.socket().setSoTimeout(GREET);
            byte[] bytes = c.socket().getInputStream().readNBytes(HELLO);
            if (bytes.length < HELLO) return -1;
            hello = ByteBuffer.wrap(bytes);
        } catch (SocketTimeoutException e) {
            return -1;
        }
        int q = hello.getInt();
        return hello.getLong() == key && q > rank && q < others.length && others[q] == null ? q : -1;
    }

    @Override
    public int rank() {
        return rank;
    }

    @Override
    public int size() {
        return size;
    }

    /** What a channel still has to move in one exchange. */
    private static final class Left {
        private long from, out, to, in;

        ByteBuffer next(boolean sends) {
            long at = sends ? from : to, n = Math.min(sends ? out : in, MOST);
            return Memory.at(at, n);
        }
    }

    @Override
    public void exchange(long[] sendFrom, long[] sendBytes, long[] receiveTo, long[] receiveBytes) {
        try {
            int busy = 0;
            for (SelectionKey k : selector.keys()) {
                Left left = new Left();
                int q = rankOf(k);
                left.from = sendFrom[q];
                left.out = sendBytes[q];
                left.to = receiveTo[q];
                left.in = receiveBytes[q];
                k.attach(left);
                if (interest(k, left)) busy++;
            }
            while (busy > 0) {
                selector.select();
                for (Iterator<SelectionKey> i = selector.selectedKeys().iterator(); i.hasNext(); ) {
                    SelectionKey k = i.next();
                    i.remove();
                    Left left = (Left) k.attachment();
                    move(k, left);
                    if (!interest(k, left)) busy--;
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e.getMessage(), e);
        }
    }

    private int rankOf(SelectionKey k) {
        for (int q = 0; q < size; q++) if (others[q] == k.channel()) return q;
        throw new IllegalStateException("the channel belongs to no rank");
    }

    private static boolean interest(SelectionKey k, Left left) {
        int ops = (left.out > 0 ? SelectionKey.OP_WRITE : 0) | (left.in > 0 ? SelectionKey.OP_READ : 0);
        k.interestOps(ops);
        return ops != 0;
    }

    private void move(SelectionKey k, Left left) throws IOException {
        SocketChannel c = (SocketChannel) k.channel();
        try {
            if (k.isReadable() && left.in > 0) {
                int n = c.read(left.next(false));
                if (n < 0) throw new EOFException("the connection ended");
                left.to += n;
                left.in -= n;
            }
            if (k.isWritable() && left.out > 0) {
                int n = c.write(left.next(true));
                left.from += n;
                left.out -= n;
            }
        } catch (IOException e) {
            throw new IOException("rank " + rankOf(k) + " is lost: " + e.getMessage(), e);
        }
    }

    /** Closes the connections, by which the other ranks notice. */
    @Override
    public void abort(int exitCode) {
        close();
    }

    @Override
    public void close() {
        try {
            for (SocketChannel c : others) if (c != null) c.close();
            selector.close();
        } catch (IOException e) {
            throw new UncheckedIOException(e.getMessage(), e);
        }
    }
}
