// SPDX-License-Identifier: Apache-2.0
// Shared by the oneDNN kernels: the engine, types, and a primitive with its fixed memory objects.
#pragma once

#include <unordered_map>

#include "cg/abi.h"
#include "cg/threads.h"
#include "oneapi/dnnl/dnnl.hpp"

namespace cg::onednn {

inline dnnl::engine& engine() {
    static dnnl::engine e(dnnl::engine::kind::cpu, 0);
    return e;
}

inline dnnl::stream& stream() {
    // In-order and blocking on the CPU. Threads must not share a stream, so each has its own.
    static thread_local dnnl::stream s(engine());
    return s;
}

inline dnnl::memory::data_type type(Variant variant) {
    CG_CHECK(variant == Variant::F32 || variant == Variant::BF16, "oneDNN kernels take only f32 and bf16");
    return variant == Variant::BF16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

inline i64 align64(i64 n) { return (n + 63) / 64 * 64; }

/// A primitive created once and executed with fixed memory objects whose addresses are set at each run.
class Fixed {
  public:
    dnnl::primitive primitive;
    std::unordered_map<int, dnnl::memory> args;
    i64 scratch_bytes = 0;

    template <class PD>
    void init(const PD& pd) {
        primitive = dnnl::primitive(pd);
        add(DNNL_ARG_SCRATCHPAD, pd.scratchpad_desc());
        scratch_bytes = align64((i64)pd.scratchpad_desc().get_size());
    }
    void add(int arg, const dnnl::memory::desc& d) { args.emplace(arg, dnnl::memory(d, engine(), nullptr)); }
    void set(int arg, const void* p) {
        auto it = args.find(arg);
        if (it != args.end()) it->second.set_data_handle(const_cast<void*>(p));
    }
    void run() {
        Regions::Scope scope(regions_);
        primitive.execute(stream(), args);
    }

  private:
    Regions regions_;
};

/// Attributes of every primitive: the caller's plan provides scratch memory, and results are deterministic.
inline dnnl::primitive_attr attributes() {
    dnnl::primitive_attr a;
    a.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    a.set_deterministic(true);
    return a;
}

}  // namespace cg::onednn
