// SPDX-License-Identifier: Apache-2.0
package org.cortigan.surface;

import java.util.Locale;
import org.cortigan.cortex.Mesh;

/** From where a hemisphere is seen. No view is mirrored. */
public enum View {
    /** From its own side: the front of the left hemisphere is at the left. */
    LATERAL("lateral"),
    /** From the other hemisphere. */
    MEDIAL("medial"),
    /** From below, the front down, so that the left hemisphere is at the left. */
    VENTRAL("ventral (front down)"),
    /** From behind. */
    POSTERIOR("posterior"),
    /** From above, the front up. */
    DORSAL("dorsal"),
    /** The flat map, seen from outside. */
    FLAT("flat");

    private final String heading;

    View(String heading) {
        this.heading = heading;
    }

    /** Name in options. */
    public String key() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** Name in pictures. */
    String heading() {
        return heading;
    }

    /**
     * Turns points so that the viewer looks at them.
     *
     * @param hemisphere 0 left, 1 right
     * @return [points][3]: to the right, up, and towards the viewer, mm
     */
    float[] turned(float[] points, int hemisphere) {
        boolean fromLeft = (this == LATERAL) == (hemisphere == 0);
        float[] out = new float[points.length];
        for (int i = 0; i < out.length; i += 3) {
            float x = points[i], y = points[i + 1], z = points[i + 2];
            switch (this) {
                case LATERAL, MEDIAL -> put(out, i, fromLeft ? -y : y, z, fromLeft ? -x : x);
                case VENTRAL -> put(out, i, x, -y, -z);
                case POSTERIOR -> put(out, i, x, z, -y);
                case DORSAL -> put(out, i, x, y, z);
                case FLAT -> put(out, i, x, y, 0);
            }
        }
        return out;
    }

    private static void put(float[] out, int i, float right, float up, float near) {
        out[i] = right;
        out[i + 1] = up;
        out[i + 2] = near;
    }

    /** Left, right, lower and upper end of the used points of a turned mesh. */
    static float[] extent(Mesh mesh, float[] turned) {
        float[] e = {Float.MAX_VALUE, -Float.MAX_VALUE, Float.MAX_VALUE, -Float.MAX_VALUE};
        for (int v : mesh.triangles()) {
            e[0] = Math.min(e[0], turned[3 * v]);
            e[1] = Math.max(e[1], turned[3 * v]);
            e[2] = Math.min(e[2], turned[3 * v + 1]);
            e[3] = Math.max(e[3], turned[3 * v + 1]);
        }
        return e;
    }
}
