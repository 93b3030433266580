// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.cortigan.nsd.NsdImport;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
        name = "nsd",
        description = "Makes a subject in the challenge's layout from the files of the Natural Scenes Dataset (NSD), as"
                + " the challenge's organisers did: betas on fsaverage, z-scored within each session and averaged over"
                + " the repeats of a photograph.",
        mixinStandardHelpOptions = true,
        footer = {
            "",
            "Reads, under --nsd: nsddata/experiments/nsd/nsd_expdesign.mat,"
                    + " nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5,"
                    + " nsddata_betas/ppdata/subj0X/fsaverage/BETAS/{lh,rh}.betas_sessionNN.mgh and {lh,rh}.ncsnr.mgh,"
                    + " nsddata/freesurfer/fsaverage/label/{lh,rh}.nsdgeneral.mgz and nsdgeneralRSC.mgz,"
                    + " nsddata/freesurfer/subj0X/label (ROIs: {lh,rh}.CLASS.mgz, CLASS.mgz.ctab),"
                    + " nsddata/ppdata/subj0X/transforms/{lh,rh}.white-to-fsaverage.mgz."
        })
final class ImportNsd implements Callable<Integer> {
    @Mixin
    private Output output;

    @Option(
            names = "--nsd",
            required = true,
            paramLabel = "DIR",
            description = "Folder that holds nsddata, nsddata_betas and nsddata_stimuli.")
    private Path nsd;

    @Option(names = "--subject", required = true, paramLabel = "N", description = "1 to 8.")
    private int subject;

    @Option(
            names = {"-o", "--out"},
            required = true,
            paramLabel = "DIR",
            description = "Folder for subj0X.")
    private Path out;

    @Option(
            names = "--betas",
            defaultValue = "betas_fithrf_GLMdenoise_RR",
            paramLabel = "BETAS",
            description = "Version of the betas (default ${DEFAULT-VALUE}).")
    private String betas;

    @Option(
            names = "--vertices",
            defaultValue = "challenge",
            split = ",",
            paramLabel = "WHICH",
            description = "challenge: nsdgeneral and the organisers' nsdgeneralRSC; nsdgeneral; all of fsaverage; or a"
                    + " left and a right mask, LH,RH (mgz, mgh or npy), which marks vertices with numbers above 0"
                    + " (default ${DEFAULT-VALUE}).")
    private List<String> vertices;

    @Option(
            names = "--test",
            defaultValue = "challenge",
            paramLabel = "WHICH",
            description = "Test photographs. challenge: those seen in the last three sessions only, as the organisers"
                    + " chose them; shared: those that all subjects were to see; none; or a text file with NSD's"
                    + " numbers, counted from 0, one a line (default ${DEFAULT-VALUE}).")
    private String test;

    @Option(
            names = "--sessions",
            defaultValue = "0",
            paramLabel = "N",
            description = "Use only the first N sessions (default: all that are there).")
    private int sessions;

    @Option(
            names = "--rois",
            defaultValue = "prf-visualrois,floc-bodies,floc-faces,floc-places,floc-words,streams",
            split = ",",
            paramLabel = "CLASS",
            description = "ROI classes, or none (default: the challenge's six).")
    private List<String> rois;

    @Option(names = "--no-ceilings", description = "Write no noise ceilings. They need ncsnr.")
    private boolean noCeilings;

    @Option(
            names = "--image-size",
            defaultValue = "0",
            paramLabel = "PIXELS",
            description = "Side of the images (default: as in NSD, 425).")
    private int imageSize;

    @Override
    public Integer call() {
        Path folder = NsdImport.write(
                new NsdImport.Options(
                        nsd,
                        subject,
                        out,
                        betas,
                        vertices.stream().map(String::strip).toList(),
                        test,
                        sessions,
                        rois.equals(List.of("none"))
                                ? List.of()
                                : rois.stream().map(String::strip).toList(),
                        !noCeilings,
                        imageSize),
                output::note);
        output.line("%s", folder);
        return 0;
    }
}
