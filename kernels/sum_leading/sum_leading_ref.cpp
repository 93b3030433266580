#include "kernels_all.h"

namespace cg::ref {

void sum_leading(const SumLeadingArgs& g) {
    const double* x = (const double*)g.x;
    double* y = (double*)g.y;
    for (i64 c = 0; c < g.C; c++) {
        double s = 0;
        for (i64 r = 0; r < g.R; r++) s += x[r * g.C + c];
        y[c] = g.scale * s;
    }
}

}  // namespace cg::ref
