// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import org.cortigan.io.Json;

/**
 * A connection that speaks the Chrome DevTools Protocol (https://chromedevtools.github.io/devtools-protocol): numbered
 * calls with answers, and events. One connection serves the sessions of all targets.
 */
final class DevTools implements AutoCloseable {
    /** Messages that a failure shows, and how much of each. */
    private static final int RECENT = 20, SHOWN = 200;

    /** @param session target that the event is of; "" for the browser itself */
    record Event(String session, String method, Map<String, Object> params) {}

    private final Map<Long, CompletableFuture<Map<String, Object>>> waiting = new ConcurrentHashMap<>();
    private final Deque<String> recent = new ArrayDeque<>();
    private final Consumer<Event> events;
    private final WebSocket socket;
    private CompletableFuture<WebSocket> sending = CompletableFuture.completedFuture(null);
    private long calls;
    private volatile String closed = "";

    /**
     * @param address begins with ws:
     * @param events receives the events, one at a time, on a thread of the connection; must not wait for an answer
     */
    DevTools(String address, Duration limit, Consumer<Event> events) {
        this.events = events;
        socket = await(
                HttpClient.newBuilder()
                        .proxy(HttpClient.Builder.NO_PROXY)
                        .connectTimeout(limit)
                        .build()
                        .newWebSocketBuilder()
                        .buildAsync(URI.create(address), new Receiver()),
                "the connection to " + address,
                limit);
    }

    /** Puts the parts of a text together. */
    private final class Receiver implements WebSocket.Listener {
        private final StringBuilder text = new StringBuilder();

        @Override
        public CompletionStage<?> onText(WebSocket from, CharSequence part, boolean last) {
            text.append(part);
            if (last) {
                String whole = text.toString();
                text.setLength(0);
                received(whole);
            }
            from.request(1);
            return null;
        }

        @Override
        public CompletionStage<?> onClose(WebSocket from, int status, String reason) {
            ended("Chromium closed the connection (" + status + " " + reason + ")");
            return null;
        }

        @Override
        public void onError(WebSocket from, Throwable error) {
            ended("the connection failed: " + error);
        }
    }

    private void received(String text) {
        remember("< " + text);
        Map<String, Object> message = Json.object(Json.parse(text, "DevTools"), "DevTools");
        if (message.get("id") instanceof Long id) {
            CompletableFuture<Map<String, Object>> answer = waiting.remove(id);
            if (answer != null) answer.complete(message);
        } else {
            events.accept(new Event(
                    (String) message.getOrDefault("sessionId", ""),
                    (String) message.get("method"),
                    Json.object(message.getOrDefault("params", Map.of()), "DevTools")));
        }
    }

    private void ended(String why) {
        closed = why;
        waiting.values().forEach(f -> f.completeExceptionally(new IllegalStateException(why)));
    }

    private void remember(String message) {
        synchronized (recent) {
            if (recent.size() == RECENT) recent.removeFirst();
            recent.addLast(message.length() > SHOWN ? message.substring(0, SHOWN) + "..." : message);
        }
    }

    /** The last messages, "&gt;" before those to Chromium. */
    String recent() {
        synchronized (recent) {
            return String.join("\n", recent);
        }
    }

    /** Calls a method without waiting for its answer, from any thread. */
    synchronized CompletableFuture<Map<String, Object>> send(String session, String method, Map<String, ?> parameters) {
        CompletableFuture<Map<String, Object>> answer = new CompletableFuture<>();
        long id = ++calls;
        Map<String, Object> message = new LinkedHashMap<>();
        message.put("id", id);
        message.put("method", method);
        message.put("params", parameters);
        if (!session.isEmpty()) message.put("sessionId", session);
        String text = Json.compact(message);
        remember("> " + text);
        waiting.put(id, answer);
        if (!closed.isEmpty()) answer.completeExceptionally(new IllegalStateException(closed));
        // A socket takes a text only after it has sent the one before.
        sending = sending.exceptionally(e -> null).thenCompose(done -> socket.sendText(text, true));
        return answer;
    }

    /**
     * Calls a method and waits for its result.
     *
     * @throws IllegalStateException if Chromium answers with an error, in too long a time, or not at all
     */
    Map<String, Object> call(String session, String method, Map<String, ?> parameters, Duration limit) {
        Map<String, Object> answer = await(send(session, method, parameters), method, limit);
        if (answer.containsKey("error"))
            throw new IllegalStateException(method + " failed: " + Json.compact(answer.get("error")));
        return Json.object(answer.get("result"), method);
    }

    /** Waits for something that Chromium does. */
    <T> T await(CompletableFuture<T> what, String name, Duration limit) {
        try {
            return what.get(limit.toMillis(), TimeUnit.MILLISECONDS);
        } catch (TimeoutException e) {
            throw failure(name + " did not end within " + limit.toMillis() + " ms", e);
        } catch (ExecutionException e) {
            throw failure(name + " failed: " + e.getCause().getMessage(), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw failure(name + " was interrupted", e);
        }
    }

    private IllegalStateException failure(String what, Exception cause) {
        return new IllegalStateException(what + ". The last messages:\n" + recent(), cause);
    }

    @Override
    public void close() {
        ended("the connection is closed");
        socket.abort();
    }
}
