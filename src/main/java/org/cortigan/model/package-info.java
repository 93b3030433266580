// SPDX-License-Identifier: Apache-2.0
/**
 * Generators and discriminators, and a trained generator that predicts. It uses layers and runs them by {@code exec};
 * training is above it.
 */
package org.cortigan.model;
