// SPDX-License-Identifier: Apache-2.0
/**
 * The report of evaluations: one self-contained page with maps of the cortex, and its server while a run trains.
 *
 * <p>Java writes one JSON object into the page, and {@code report.js} draws it. A packed array
 * ({@link org.cortigan.report.Blob}) is {@code {type, n, coding, data}} with {@code scale}, {@code offset} and
 * {@code nan} where it has them; "lh, rh" is an object with one value for each hemisphere.
 *
 * <ul>
 *   <li>{@code title, created, version, command, notes}: texts; {@code live}: null, or {@code url, interval_ms}, from
 *       which the page takes new data. New data may lack keys, which then keep their values.
 *   <li>{@code colourmaps}: by name, u8 [256][3].
 *   <li>{@code geometry}: {@code mesh, level}; {@code surfaces} by kind, lh, rh, mm, coded by the middles of
 *       {@link org.cortigan.surface.Fsaverage#parents}; {@code flat_triangles}, which the flat surface has;
 *       {@code sulc}, 255 the crown of a gyrus.
 *   <li>{@code subjects} by name: {@code vertices}; {@code fsaverage}, the fsaverage vertex of each vertex;
 *       {@code shown}, the vertex that each vertex of the mesh shows, or -1; {@code rois} with {@code class, name} and
 *       vertices; {@code ceiling}, fractions, or null. Vertices are counted as in the subject's files.
 *   <li>{@code runs}: {@code id, name, subject, label, images, role, warnings}; {@code maps} by name, such as r;
 *       {@code summary} by the keys of {@link org.cortigan.eval.Metric}; {@code picture}, PNG; {@code curves} with
 *       {@code columns, rows}; {@code recipe, environment, command}; {@code readout} with {@code positions} (x, y in
 *       -1..1), {@code layers} (the strongest one, and their names) and {@code attention}; {@code photographs}, the
 *       most and the least predicted ones of each ROI.
 *   <li>{@code photographs}: data URLs by id; {@code photographs_left_out}: whether the user wanted none.
 * </ul>
 */
@NullMarked
package org.cortigan.report;

import org.jspecify.annotations.NullMarked;
