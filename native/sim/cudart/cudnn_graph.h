// SPDX-License-Identifier: Apache-2.0
// The backend API of cuDNN for cudnn.cpp: descriptors of one convolution, with or without a bias, and the engines that
// a simulated card offers for it. Stricter than the library: a descriptor takes only the attributes that CortiGAN sets,
// each with its type and number of elements, and all must be set; only channels-last strides.
// Some engines must not be taken: Winograd, sums in a varying order or in less than f32, and one whose plan fails.
#pragma once
#include <algorithm>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace {

constexpr int kNotFinalized = 2004, kType = 2010, kSetTooLate = 1001;
/// Kinds of descriptors.
enum {
    kPointwise = 0,
    kConvolution = 1,
    kEngine = 2,
    kConfiguration = 3,
    kHeuristic = 4,
    kPlan = 5,
    kForwardNode = 10,
    kByWNode = 11,
    kByXNode = 12,
    kPointwiseNode = 13,
    kGraph = 15,
    kPack = 16,
    kTensor = 17
};
/// Types of attributes.
enum {
    kHandle = 0,
    kDataType = 1,
    kBool = 2,
    kLong = 3,
    kFloat = 4,
    kPointer = 6,
    kConvMode = 7,
    kHeurMode = 8,
    kNumerical = 11,
    kPointwiseMode = 14,
    kDescriptor = 15,
    kBehavior = 19,
    kChar = 24
};
/// An attribute that may be set; `of` is the kind of the descriptors that it names.
struct Rule {
    int kind, name, type, least, most;
    bool required;
    int of;
};
constexpr Rule kRules[] = {
    {kTensor, 900, kLong, 1, 1, true, 0},
    {kTensor, 901, kDataType, 1, 1, true, 0},
    {kTensor, 902, kLong, 4, 4, true, 0},
    {kTensor, 903, kLong, 4, 4, true, 0},
    {kTensor, 906, kLong, 1, 1, true, 0},
    {kTensor, 907, kBool, 1, 1, false, 0},
    {kConvolution, 100, kDataType, 1, 1, true, 0},
    {kConvolution, 101, kConvMode, 1, 1, true, 0},
    {kConvolution, 102, kLong, 2, 2, true, 0},
    {kConvolution, 103, kLong, 2, 2, true, 0},
    {kConvolution, 104, kLong, 2, 2, true, 0},
    {kConvolution, 105, kLong, 2, 2, true, 0},
    {kConvolution, 106, kLong, 1, 1, true, 0},
    {kPointwise, 0, kPointwiseMode, 1, 1, true, 0},
    {kPointwise, 1, kDataType, 1, 1, true, 0},
    {kForwardNode, 700, kFloat, 1, 1, true, 0},
    {kForwardNode, 701, kFloat, 1, 1, true, 0},
    {kForwardNode, 702, kDescriptor, 1, 1, true, kConvolution},
    {kForwardNode, 703, kDescriptor, 1, 1, true, kTensor},
    {kForwardNode, 704, kDescriptor, 1, 1, true, kTensor},
    {kForwardNode, 705, kDescriptor, 1, 1, true, kTensor},
    {kByXNode, 706, kFloat, 1, 1, true, 0},
    {kByXNode, 707, kFloat, 1, 1, true, 0},
    {kByXNode, 708, kDescriptor, 1, 1, true, kConvolution},
    {kByXNode, 709, kDescriptor, 1, 1, true, kTensor},
    {kByXNode, 710, kDescriptor, 1, 1, true, kTensor},
    {kByXNode, 711, kDescriptor, 1, 1, true, kTensor},
    {kByWNode, 712, kFloat, 1, 1, true, 0},
    {kByWNode, 713, kFloat, 1, 1, true, 0},
    {kByWNode, 714, kDescriptor, 1, 1, true, kConvolution},
    {kByWNode, 715, kDescriptor, 1, 1, true, kTensor},
    {kByWNode, 716, kDescriptor, 1, 1, true, kTensor},
    {kByWNode, 717, kDescriptor, 1, 1, true, kTensor},
    {kPointwiseNode, 750, kDescriptor, 1, 1, true, kPointwise},
    {kPointwiseNode, 751, kDescriptor, 1, 1, true, kTensor},
    {kPointwiseNode, 752, kDescriptor, 1, 1, true, kTensor},
    {kPointwiseNode, 753, kDescriptor, 1, 1, true, kTensor},
    {kGraph, 800, kHandle, 1, 1, true, 0},
    {kGraph, 801, kDescriptor, 1, 2, true, -1},
    {kHeuristic, 200, kHeurMode, 1, 1, true, 0},
    {kHeuristic, 201, kDescriptor, 1, 1, true, kGraph},
    {kPlan, 400, kHandle, 1, 1, true, 0},
    {kPlan, 401, kDescriptor, 1, 1, false, kConfiguration},
    {kPlan, 405, kChar, 1, 1 << 20, false, 0},
    {kPack, 1000, kLong, 3, 4, true, 0},
    {kPack, 1001, kPointer, 3, 4, true, 0},
    {kPack, 1003, kPointer, 1, 1, true, 0},
};

/// An engine and the heuristic that offers it.
struct Engine {
    int64_t number, mode;
    std::vector<int> numerical, behavior;
    bool plans;
    int64_t workspace;
};
/// A convolution; the pointers of its job are not set.
struct Problem {
    Job job;
    bool bias;
};
struct Descriptor {
    int kind;
    bool finished;
    std::map<int, std::vector<int64_t>> values;
    std::string text;
    Problem problem;
    Engine engine;

    int64_t value(int name, int i = 0) { return values[name][i]; }
    Descriptor& other(int name, int i = 0) { return *(Descriptor*)value(name, i); }
};

int bytes_of(int type) {
    return type == kChar || type == kBool                                                ? 1
           : type == kHandle || type == kLong || type == kPointer || type == kDescriptor ? 8
                                                                                         : 4;
}

const Rule* rule(int kind, int name) {
    for (const Rule& r : kRules)
        if (r.kind == kind && r.name == name) return &r;
    return nullptr;
}
int set(Descriptor& d, int name, int type, int64_t n, const void* from) {
    const Rule* r = rule(d.kind, name);
    if (d.finished) return kSetTooLate;
    if (!r || n < r->least || n > r->most) return kBad;
    if (type != r->type) return kType;
    if (type == kChar) return d.text.assign((const char*)from, (size_t)n), 0;
    std::vector<int64_t> all((size_t)n);
    for (int64_t i = 0; i < n; i++) memcpy(&all[i], (const char*)from + i * bytes_of(type), (size_t)bytes_of(type));
    if (type == kDescriptor)
        for (const int64_t p : all) {
            const Descriptor& o = *(const Descriptor*)p;
            if (!o.finished) return kNotFinalized;
            if (r->of >= 0 && o.kind != r->of) return kBad;
        }
    d.values[name] = all;
    return 0;
}

int finish_tensor(Descriptor& d) {
    const std::vector<int64_t>&n = d.values[902], &s = d.values[903];
    for (const int64_t v : n)
        if (v < 1) return kBad;
    const int64_t type = d.value(901), alignment = d.value(900);
    if (alignment < 1 || (alignment & (alignment - 1))) return kBad;
    if (type != kF32 && type != kBf16) return kUnsupported;
    return s[0] == n[1] * n[2] * n[3] && s[1] == 1 && s[2] == n[3] * n[1] && s[3] == n[1] ? 0 : kUnsupported;
}
int finish_convolution(Descriptor& d) {
    for (int i = 0; i < 2; i++) {
        if (d.value(103, i) < 1 || d.value(104, i) < 0) return kBad;
        if (d.value(102, i) != 1 || d.value(104, i) != d.value(105, i)) return kUnsupported;
    }
    return d.value(106) != 2 ? kBad : d.value(100) != kF32 || d.value(101) != 1 ? kUnsupported : 0;
}
Tensor tensor(Descriptor& d) {
    return {(int)d.value(901), (int)d.value(902, 0), (int)d.value(902, 1), (int)d.value(902, 2), (int)d.value(902, 3)};
}
/// The node of a convolution: its attributes begin at `first`.
int finish_node(Descriptor& d, Kind kind, int first, int x, int w, int y) {
    const int64_t one = d.value(first), none = d.value(first + 1);
    if (number((uint32_t)one) != 1 || number((uint32_t)none) != 0) return kUnsupported;
    Descriptor& c = d.other(first + 2);
    const Tensor f = tensor(d.other(w));
    Job j = {};
    j.kind = kind, j.x = tensor(d.other(x)), j.y = tensor(d.other(y));
    j.w = {f.type, f.n, f.c, f.h, f.w};
    j.c = {(int)c.value(104, 0), (int)c.value(104, 1), (int)c.value(103, 0), (int)c.value(103, 1)};
    j.alpha = 1;
    d.problem = {j, false};
    const int64_t ids[] = {d.other(x).value(906), d.other(w).value(906), d.other(y).value(906)};
    if (ids[0] != 1 || ids[1] != 2) return kBad;
    return extents_fit(j.x, j.w, j.c, j.y) ? 0 : kBad;
}
int finish_graph(Descriptor& d) {
    if (!d.value(800)) return kBad;
    Descriptor& node = d.other(801);
    if (node.kind != kForwardNode && node.kind != kByXNode && node.kind != kByWNode) return kUnsupported;
    d.problem = node.problem;
    if (d.values[801].size() == 1) return 0;
    Descriptor& add = d.other(801, 1);
    if (node.kind != kForwardNode || add.kind != kPointwiseNode) return kUnsupported;
    Descriptor &sum = add.other(751), &bias = add.other(752), &y = add.other(753);
    if (&sum != &node.other(705) || !sum.values.count(907) || y.values.count(907)) return kBad;
    const Tensor b = tensor(bias), t = tensor(y), s = tensor(sum);
    if (b.n != 1 || b.c != t.c || b.h != 1 || b.w != 1 || t.n != s.n || t.c != s.c || t.h != s.h || t.w != s.w)
        return kBad;
    if (b.type != kF32 || s.type != kF32 || bias.value(906) != 4 || y.value(906) != 3) return kUnsupported;
    d.problem.job.y = t, d.problem.bias = true;
    return 0;
}

/// The engines that a heuristic offers, first those that the caller must not take.
std::vector<Engine> offer(const Problem& p, int64_t mode) {
    const Job& j = p.job;
    if (j.c.ph >= j.w.h || j.c.pw >= j.w.w) return {};
    const bool mixed = j.w.type != j.x.type;
    if (mixed && (j.kind != kByW || j.x.c % 8 || j.y.c % 8)) return {};
    const std::vector<Engine> precompiled = {
        {5, 3, {0, 5}, {}, true, 0},  {6, 3, {0, 3}, {}, true, 0}, {4, 3, {0, 4}, {}, true, 0},
        {2, 3, {0, 2}, {}, true, 0},  {61, 3, {0}, {}, false, 0},  {62, 3, {0}, {}, true, 131},
        {63, 3, {0, 1}, {}, true, 0}, {9, 1, {0}, {1}, true, 0},   {62, 1, {0}, {}, true, 131},
        {1, 2, {9}, {3}, true, 4096}, {8, 2, {}, {0, 3}, true, 0}};
    const std::vector<Engine> compiled = {
        {70, 3, {0, 4}, {0}, true, 0}, {71, 3, {0}, {0, 3}, true, 0}, {8, 2, {}, {0, 3}, true, 0}};
    std::vector<Engine> all;
    for (const Engine& e : p.bias || mixed ? compiled : precompiled)
        if (e.mode == mode) all.push_back(e);
    return all;
}
/// The text of a plan: the problem and the engine as numbers.
std::string text(const Descriptor& d) {
    const Job& j = d.problem.job;
    std::ostringstream s;
    s << "{\"cudnnVersion\":91900,\"plan\":[" << j.kind << " " << d.problem.bias << " " << d.engine.number << " "
      << d.engine.workspace << " " << d.engine.numerical.size();
    for (const int n : d.engine.numerical) s << " " << n;
    for (const Tensor& t : {j.x, j.y}) s << " " << t.type << " " << t.n << " " << t.c << " " << t.h << " " << t.w;
    s << " " << j.w.type << " " << j.w.k << " " << j.w.c << " " << j.w.h << " " << j.w.w;
    s << " " << j.c.ph << " " << j.c.pw << " " << j.c.sh << " " << j.c.sw << "]}";
    return s.str();
}
int restore(Descriptor& d) {
    const std::string begin = "{\"cudnnVersion\":91900,\"plan\":[";
    if (d.text.compare(0, begin.size(), begin) != 0) return kBad;
    std::istringstream s(d.text.substr(begin.size()));
    Job& j = d.problem.job;
    j = {};
    int kind;
    size_t notes;
    s >> kind >> d.problem.bias >> d.engine.number >> d.engine.workspace >> notes;
    d.engine.numerical.resize(notes);
    for (int& n : d.engine.numerical) s >> n;
    for (Tensor* t : {&j.x, &j.y}) s >> t->type >> t->n >> t->c >> t->h >> t->w;
    s >> j.w.type >> j.w.k >> j.w.c >> j.w.h >> j.w.w >> j.c.ph >> j.c.pw >> j.c.sh >> j.c.sw;
    j.kind = (Kind)kind, j.alpha = 1;
    return s.good() ? 0 : kBad;
}
int finish_plan(Descriptor& d) {
    if (!d.value(400) || d.values.count(401) == !d.text.empty()) return kBad;
    if (!d.text.empty()) return restore(d);
    d.engine = d.other(401).engine, d.problem = d.other(401).problem;
    if (const int e = cg_cudart_fault("cudnnBackendFinalize")) return e;
    return d.engine.plans ? d.text = text(d), 0 : kUnsupported;
}
int finish(Descriptor& d) {
    if (d.finished) return kBad;
    for (const Rule& r : kRules)
        if (r.kind == d.kind && r.required && !d.values.count(r.name)) return kBad;
    switch (d.kind) {
        case kTensor: return finish_tensor(d);
        case kConvolution: return finish_convolution(d);
        case kPointwise: return d.value(0) != 0 || d.value(1) != kF32 ? kUnsupported : 0;
        case kForwardNode: return finish_node(d, kForward, 700, 704, 703, 705);
        case kByXNode: return finish_node(d, kByX, 706, 710, 709, 711);
        case kByWNode: return finish_node(d, kByW, 712, 716, 715, 717);
        case kPointwiseNode: return 0;
        case kGraph: return finish_graph(d);
        case kHeuristic: return offer(d.other(201).problem, d.value(200)).empty() ? kUnsupported : 0;
        case kPlan: return finish_plan(d);
        case kPack: return d.values[1000].size() == d.values[1001].size() ? 0 : kBad;
        default: return kBad;
    }
}

/// Copies at most `asked` values to an array, or only counts them if none are asked for.
template <class T>
int give(const std::vector<T>& all, int64_t asked, int64_t* n, void* to) {
    *n = asked == 0 ? (int64_t)all.size() : std::min(asked, (int64_t)all.size());
    if (asked > 0) std::copy(all.begin(), all.begin() + *n, (T*)to);
    return 0;
}
/// Lets unfinished descriptors of a kind describe engines.
int describe(const std::vector<Engine>& all, const Problem& p, int kind, int64_t asked, int64_t* n, void* to) {
    *n = asked == 0 ? (int64_t)all.size() : std::min(asked, (int64_t)all.size());
    for (int64_t i = 0; i < *n && asked > 0; i++) {
        Descriptor& d = *((Descriptor**)to)[i];
        if (d.kind != kind || d.finished) return kBad;
        d.engine = all[i], d.problem = p, d.finished = true;
    }
    return 0;
}
int read(Descriptor& d, int name, int type, int64_t asked, int64_t* n, void* to) {
    if (!d.finished) return kNotFinalized;
    const auto is = [&](int kind, int attribute, int t) { return d.kind == kind && name == attribute && type == t; };
    if (is(kHeuristic, 202, kDescriptor)) {
        const Problem& p = d.other(201).problem;
        return describe(offer(p, d.value(200)), p, kConfiguration, asked, n, to);
    }
    if (is(kConfiguration, 300, kDescriptor)) return describe({d.engine}, d.problem, kEngine, asked, n, to);
    if (is(kEngine, 1301, kLong)) return give(std::vector<int64_t>{d.engine.number}, asked, n, to);
    if (is(kEngine, 1303, kNumerical)) return give(d.engine.numerical, asked, n, to);
    if (is(kEngine, 1305, kBehavior)) return give(d.engine.behavior, asked, n, to);
    if (is(kPlan, 402, kLong)) return give(std::vector<int64_t>{d.engine.workspace}, asked, n, to);
    if (is(kPlan, 405, kChar))
        return give(std::vector<char>(d.text.c_str(), d.text.c_str() + d.text.size() + 1), asked, n, to);
    return kBad;
}

int execute(Handle* h, Descriptor& plan, Descriptor& pack) {
    if (!plan.finished || !pack.finished) return kNotFinalized;
    Job j = plan.problem.job;
    const std::vector<int64_t>& ids = pack.values[1000];
    if (ids.size() != (plan.problem.bias ? 4u : 3u)) return kBad;
    const void* at[4] = {};
    for (size_t i = 0; i < ids.size(); i++) {
        if (ids[i] != (int64_t)i + 1) return kBad;
        at[i] = (const void*)pack.value(1001, (int)i);
        if (!at[i] || !aligned(at[i])) return kBad;
    }
    j.bias_f32 = true;
    j.X = at[0], j.W = at[1], j.Y = at[2], j.bias = at[3];
    j.out = (void*)at[j.kind == kForward ? 2 : j.kind == kByX ? 0 : 1];
    j.workspace = (void*)pack.value(1003), j.bytes = (size_t)plan.engine.workspace;
    if (j.bytes && !aligned(j.workspace)) return kBad;
    for (const int n : plan.engine.numerical) j.c.math |= n == 0;
    if (j.c.math == 0) j.c.math = kFma;
    return queue(h, j);
}

}  // namespace

CG_DNN int cudnnBackendCreateDescriptor(int kind, void** d) {
    return *d = new Descriptor{kind, false, {}, {}, {}, {}}, 0;
}
CG_DNN int cudnnBackendDestroyDescriptor(void* d) { return delete (Descriptor*)d, 0; }
CG_DNN int cudnnBackendInitialize(void*) { return kUnsupported; }
CG_DNN int cudnnBackendSetAttribute(void* d, int name, int type, int64_t n, const void* from) {
    return set(*(Descriptor*)d, name, type, n, from);
}
CG_DNN int cudnnBackendFinalize(void* d) {
    const int status = finish(*(Descriptor*)d);
    return ((Descriptor*)d)->finished = status == 0, status;
}
CG_DNN int cudnnBackendGetAttribute(void* d, int name, int type, int64_t asked, int64_t* n, void* to) {
    return read(*(Descriptor*)d, name, type, asked, n, to);
}
CG_DNN int cudnnBackendExecute(void* h, void* plan, void* pack) {
    return execute((Handle*)h, *(Descriptor*)plan, *(Descriptor*)pack);
}
