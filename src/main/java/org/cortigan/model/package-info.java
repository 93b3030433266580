// SPDX-License-Identifier: Apache-2.0
/**
 * Generators, discriminators, and trained generators that predict. The package builds networks from the layers of
 * {@code nn} and runs them with {@code exec}; {@code train} builds on it.
 */
@NullMarked
package org.cortigan.model;

import org.jspecify.annotations.NullMarked;
