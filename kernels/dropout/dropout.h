// SPDX-License-Identifier: Apache-2.0
// Inverted dropout (Srivastava et al. 2014): y = x / (1 - rate) where an element is kept, 0 where it is dropped.
// Element i is dropped if dropout_bits(first + i) < threshold = rate 2^32. x, y [n] in T; first + n is at most 2^32; y
// may alias x. The gradient is the same function of dY, so that no mask is stored. `first` is above 0 where x is a part
// of a larger tensor, whose other parts other ranks have.
//
// The bits are a pure function of the step's key (two 32-bit words), the site (which dropout of the graph) and i, so
// they are equal on every device, for any number of threads and any vector width, and in a resumed run. Key and site
// pass the finaliser of SplitMix64 (Steele et al. 2014), a bijection in which every bit of the input changes half of
// the bits of the result, so that steps and sites have unrelated keys. The two words of the result enter a hash of the
// counter i: three multiplications and four xor-shifts in 32 bits (Wellons' triple32, chosen by search for the least
// bias). The second word enters after the first multiplication; otherwise the masks of two keys would be permutations
// of each other. A mask needs no more: DropoutTest checks rates, neighbours, steps and sites. Philox (Salmon et al.
// 2011), the usual counter-based generator, takes 64-bit products, which AVX2 computes for half a vector at a time:
// about three times as many instructions.
//
// About 14 integer operations an element; one read, one write. Deterministic.
#pragma once
#include "cg/abi.h"

#if defined(__CUDACC__)
#define CG_DROPOUT __host__ __device__ static inline
#else
#define CG_DROPOUT static inline
#endif

namespace cg {
struct DropoutArgs {
    const void* x;
    const void* key;  // two int32
    void* y;
    i64 n;
    i64 first;
    i64 site;
    i64 threshold;  // of 2^32
    double scale;   // 1 / (1 - rate)
};

/// The key of one site in one step.
struct DropoutKey {
    uint32_t low, high;
};
CG_DROPOUT DropoutKey dropout_key(const void* key, i64 site) {
    const uint32_t* k = (const uint32_t*)key;
    uint64_t z = ((uint64_t)k[1] << 32 | k[0]) ^ (uint64_t)site;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return {(uint32_t)z, (uint32_t)(z >> 32)};
}

/// 32 random bits of element i, or of a vector of elements.
template <class U>
CG_DROPOUT U dropout_bits(U i, DropoutKey k) {
    U h = i ^ k.low;
    h ^= h >> 17;
    h *= 0xed5ad4bbu;
    h ^= (h >> 11) ^ k.high;
    h *= 0xac4c1b51u;
    h ^= h >> 15;
    h *= 0x31848babu;
    h ^= h >> 14;
    return h;
}
}  // namespace cg
