// SPDX-License-Identifier: Apache-2.0
package org.cortigan.djl;

import ai.djl.BaseModel;
import ai.djl.Device;
import ai.djl.inference.Predictor;
import ai.djl.modality.cv.Image;
import ai.djl.translate.TranslateException;
import ai.djl.util.passthrough.PassthroughNDManager;
import ai.djl.util.passthrough.PassthroughTranslator;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.cortigan.InputException;
import org.cortigan.cortex.Images;

/**
 * A predictor of DJL that predicts the measured responses [vertices] to photographs, with CortiGAN's engine and no
 * other. Of each photograph it takes what {@code predict --images} takes: the largest centred square, resampled to the
 * model's size. It stays with the thread that made the predictor.
 *
 * <p>Needs DJL's API (ai.djl:api) on the class path, which CortiGAN does not bring.
 */
@SuppressWarnings("exports") // an application that uses this class requires ai.djl.api itself
public final class DjlPredictor extends Predictor<Image, float[]> {
    /** A model that holds nothing: the predictor has its own. */
    private static final class NoModel extends BaseModel {
        NoModel() {
            super("CortiGAN");
            manager = PassthroughNDManager.INSTANCE;
        }

        @Override
        public void load(Path folder, String prefix, Map<String, ?> options) {
            throw new UnsupportedOperationException("a model of CortiGAN is loaded by org.cortigan.model.Model");
        }
    }

    private final org.cortigan.model.Predictor responses;
    private final int side;

    /** @param responses predicts responses; {@link #close} closes it */
    public DjlPredictor(org.cortigan.model.Predictor responses) {
        super(new NoModel(), new PassthroughTranslator<>(), Device.cpu(), false);
        this.responses = responses;
        side = (int) Math.round(Math.sqrt(responses.imageBytes() / 3.0));
    }

    @Override
    public List<float[]> batchPredict(List<Image> photographs) throws TranslateException {
        List<float[]> all = new ArrayList<>();
        int size = responses.imageBytes(), columns = responses.columns();
        for (int at = 0; at < photographs.size(); at += responses.batch()) {
            int n = Math.min(responses.batch(), photographs.size() - at);
            byte[] rgb = new byte[n * size];
            for (int i = 0; i < n; i++) System.arraycopy(square(photographs.get(at + i)), 0, rgb, i * size, size);
            float[] rows = responses.predict(rgb);
            for (int i = 0; i < n; i++) all.add(Arrays.copyOfRange(rows, i * columns, (i + 1) * columns));
        }
        return all;
    }

    /** The pixels that the model takes. PNG keeps the samples of whatever holds the image. */
    private byte[] square(Image photograph) throws TranslateException {
        ByteArrayOutputStream png = new ByteArrayOutputStream();
        try {
            photograph.save(png, "png");
            return Images.decode(Path.of("image"), png.toByteArray()).stored().square(side);
        } catch (IOException | InputException e) {
            throw new TranslateException("the image cannot be read: " + e.getMessage(), e);
        }
    }

    @Override
    public void close() {
        super.close();
        responses.close();
    }
}
