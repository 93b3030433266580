// SPDX-License-Identifier: Apache-2.0
// A CUDA runtime on CPU memory, for tests of the code that calls CUDA: the functions that org.cortigan.cuda uses, under
// the real library's name and version. Not shipped.
//   - Each stream is a queue that runs only when a call waits for it. That exposes a host that reads or changes memory
//     too early, and a stream that fails to wait for another. Other streams run as late as they may, or as early
//     (EARLY).
//   - A stream that waits for an event of a capture joins the capture, which cannot end before all its streams have
//     met again. Replays of the graph run the other streams' part as late as they may and as early as they may, in
//     turn.
//   - The clock of events counts tasks, a microsecond each, so that no measurement depends on the machine.
//   - Errors on demand: once, or for ever (`sticky`), as on a GPU after a kernel's fault. Code -1 makes a call never
//     return, code -2 makes it succeed without doing anything.
//   - A kernel may begin early only if the last work on its stream is a kernel of the same library, with no event,
//   copy,
//     library call or beginning of a capture between them.
//   - A call that a GPU refuses during capture is refused, and it ends the capture.
//   - A card's streams run only in calls of the threads that use the card (cudaSetDevice), so that threads that are
//     ranks can meet in a collective operation: each runs its own card's streams up to there.
//
// A test controls it through a shared page, the file named by CG_CUDART_PAGE, which also has counts of open resources.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <stdexcept>

#define CG_CUDART extern "C" __attribute__((visibility("default")))

namespace {

/// The shared page: numbers by name. The test writes the names (SimulatedCuda.Number).
struct File {
    char call[64];  // the call that is to fail
    struct {
        char name[24];
        int64_t value;
    } numbers[24];
};
enum { kDevice, kHost, kStream, kEvent, kGraph, kExec };

/// The number with a name. A test's page must already have it; a private page starts empty and gets it.
int64_t& find(File* f, const char* name, bool of_test) {
    for (auto& n : f->numbers) {
        if (!std::strcmp(n.name, name)) return n.value;
        if (*n.name) continue;
        if (of_test) break;
        std::strcpy(n.name, name);
        return n.value;
    }
    std::fprintf(stderr, "cudart simulation: CG_CUDART_PAGE has no number named %s\n", name);
    std::abort();
}

struct Page {
    char* call;
    int64_t& memory;          // bytes of the device
    int64_t& devices;         // number of devices
    int64_t& code;            // error that ...
    int64_t& after;           // ... `call` returns after this many successful calls; counts down
    int64_t& major;           // architecture
    int64_t& sticky;          // 1: all later calls of the process return the error too
    int64_t& early;           // 1: all streams run before the one that a call waits for
    int64_t& used;            // bytes in use
    int64_t* live[6];         // open resources, by kind
    int64_t* made[2];         // allocations so far
    int64_t& launches;        // graph launches
    int64_t& kernels;         // kernels run
    int64_t& early_launches;  // launches that may begin early
    int64_t& waits;           // synchronisations
    int64_t& copies;          // copies queued
    int64_t& reductions;      // collective operations run by a card
    int64_t& kernels_before;  // kernels that the card had run before each of them, added up

    Page(File* f, bool of_test)
        : call(f->call),
          memory(find(f, "MEMORY", of_test)),
          devices(find(f, "DEVICES", of_test)),
          code(find(f, "ERROR", of_test)),
          after(find(f, "GOOD_CALLS_BEFORE", of_test)),
          major(find(f, "ARCHITECTURE", of_test)),
          sticky(find(f, "STICKY", of_test)),
          early(find(f, "EARLY", of_test)),
          used(find(f, "USED_BYTES", of_test)),
          launches(find(f, "GRAPH_LAUNCHES", of_test)),
          kernels(find(f, "KERNELS", of_test)),
          early_launches(find(f, "EARLY_LAUNCHES", of_test)),
          waits(find(f, "WAITS", of_test)),
          copies(find(f, "COPIES", of_test)),
          reductions(find(f, "REDUCTIONS", of_test)),
          kernels_before(find(f, "KERNELS_BEFORE", of_test)) {
        const char* open[] = {"DEVICE_BLOCKS", "HOST_BLOCKS", "STREAMS", "EVENTS", "GRAPHS", "GRAPH_INSTANCES"};
        for (int i = 0; i < 6; i++) live[i] = &find(f, open[i], of_test);
        made[kDevice] = &find(f, "DEVICE_ALLOCATIONS", of_test);
        made[kHost] = &find(f, "HOST_ALLOCATIONS", of_test);
    }
};

Page* page() {
    static Page* p = [] {
        const char* file = std::getenv("CG_CUDART_PAGE");
        if (file) {
            int fd = open(file, O_RDWR);
            void* m = fd < 0 ? MAP_FAILED : mmap(nullptr, sizeof(File), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            if (m != MAP_FAILED) return new Page((File*)m, true);
        }
        auto* own = new Page(new File(), false);
        own->memory = 1ll << 30;
        own->devices = 1;
        own->major = 9;
        return own;
    }();
    return p;
}

constexpr int kOk = 0, kInvalid = 1, kOutOfMemory = 2, kNoDevice = 100, kNotReady = 600, kCaptureUnsupported = 900,
              kCaptureInvalidated = 901, kCaptureUnjoined = 904, kCaptureIsolation = 905, kCapturedEvent = 907;
constexpr int kHang = -1, kSkip = -2;  // instead of an error

int dead = 0;  // the error that every later call of this process gives

int fault(const char* call) {
    Page* p = page();
    if (p->sticky && dead) return dead;
    if (std::strcmp(p->call, call) || p->code == 0) return kOk;
    if (p->after-- > 0) return kOk;
    const int e = (int)p->code;
    p->code = 0;
    if (e == kHang)
        for (;;) pause();
    if (p->sticky) dead = e;
    return e;
}
#define FAULT(name)                                    \
    std::lock_guard<std::recursive_mutex> lock(mutex); \
    if (int e_ = fault(#name)) return e_ == kSkip ? kOk : e_

/// For calls that free a resource: they free it even if they return an error, which is that of earlier work.
#define LATE_FAULT(name)                               \
    std::lock_guard<std::recursive_mutex> lock(mutex); \
    int late = fault(#name)

std::recursive_mutex mutex;

using Work = std::function<void()>;
using Nodes = std::set<size_t>;  // numbers of a graph's nodes
struct Graph {
    struct Node {
        Work work;
        Nodes after;
        bool aside;  // recorded on another stream than the one that began the capture
    };
    std::vector<Node> nodes;
    bool aside_first = false;  // in the next replay

    /// Runs all nodes: those aside as late as they may, in every other replay as early as they may.
    void replay() {
        std::vector<bool> done(nodes.size());
        for (size_t n = 0; n < nodes.size(); n++) {
            const size_t next = ready(done);
            nodes[next].work();
            done[next] = true;
        }
        aside_first = !aside_first;
    }
    /// The node that runs next.
    size_t ready(const std::vector<bool>& done) const {
        size_t other = nodes.size();
        for (size_t i = 0; i < nodes.size(); i++) {
            bool may = !done[i];
            for (size_t p : nodes[i].after) may = may && done[p];
            if (may && nodes[i].aside == aside_first) return i;
            if (may && other == nodes.size()) other = i;
        }
        return other;
    }
};
/// Launches that are being recorded, on one stream or several.
struct Capture {
    Graph graph;
    std::thread::id recorder;  // the thread whose calls the recording restricts (cudaStreamCaptureModeThreadLocal)
    bool spoilt = false;       // a call that capture forbids has ended the recording
    bool ended = false;

    /// Whether all nodes up to `from` are among the predecessors of `to`.
    bool reaches(const Nodes& to, const Nodes& from) const {
        Nodes seen;
        std::vector<size_t> open(to.begin(), to.end());
        while (!open.empty()) {
            const size_t n = open.back();
            open.pop_back();
            if (seen.insert(n).second)
                open.insert(open.end(), graph.nodes[n].after.begin(), graph.nodes[n].after.end());
        }
        for (size_t n : from)
            if (!seen.count(n)) return false;
        return true;
    }
};
/// Where a stream stands in a capture; without one, in none.
struct Place {
    std::shared_ptr<Capture> in;
    Nodes after;  // the next node runs after these
};
struct Stream;
struct Event {
    Stream* on = nullptr;  // of the last record
    double ms = -1;
    int64_t asked = 0, done = 0;  // number of records queued and executed
    Place place;                  // of the last record, if a capturing stream made it
};
struct Task {
    Work work;
    Event* after = nullptr;  // runs once this event has been recorded `times` times
    int64_t times = 0;
};
thread_local int device = 0;  // the card that the thread uses
struct Stream {
    const int card = device;
    std::deque<Task> queue;
    Place capture;
    bool origin = false;  // began the capture
    bool kernel = false;  // the last call with this stream launched a kernel
};
std::set<Stream*> streams;
std::unordered_map<void*, int64_t> blocks;
std::unordered_map<int, int64_t> kernels_of;  // kernels run since the card joined others, by card
int broken = 0;                               // error of a kernel, reported at the next wait
double now = 0;                               // clock of events in milliseconds

/// Runs the next task of a stream. Returns false if there is none or it must wait for an event.
bool advance(Stream* s) {
    if (s->queue.empty() || (s->queue.front().after && s->queue.front().after->done < s->queue.front().times))
        return false;
    Task t = std::move(s->queue.front());
    s->queue.pop_front();
    now += 1e-3;
    try {
        if (t.work) t.work();
    } catch (const std::exception&) {
        broken = 719;  // cudaErrorLaunchFailure
    }
    return true;
}
bool advance_another(Stream* s) {
    bool any = false;
    for (Stream* o : streams) any = any || (o != s && o->card == s->card && advance(o));
    return any;
}
/// Runs all tasks of a stream, and of other streams only those that it waits for, or all that can run earlier.
void work_off(Stream* s) {
    while (!s->queue.empty()) {
        if (page()->early && advance_another(s)) continue;
        if (!advance(s) && !advance_another(s)) std::abort();  // streams that wait for each other
    }
}
/// Runs all tasks of the card that the thread uses.
void work_off_all() {
    for (Stream* s : streams)
        if (s->card == device) work_off(s);
}
int ask(void* stream, Work w) {
    auto* s = (Stream*)stream;
    if (!streams.count(s)) return kInvalid;
    s->kernel = false;
    if (Capture* c = s->capture.in.get()) {
        c->graph.nodes.push_back({std::move(w), s->capture.after, !s->origin});
        s->capture.after = {c->graph.nodes.size() - 1};
    } else {
        s->queue.push_back({std::move(w)});
    }
    return kOk;
}
int take_broken() {
    int e = broken;
    broken = 0;
    return e;
}
/// Returns true if the calling thread is capturing, and invalidates that capture.
bool spoils() {
    bool any = false;
    for (Stream* s : streams)
        if (s->capture.in && s->capture.in->recorder == std::this_thread::get_id()) any = s->capture.in->spoilt = true;
    return any;
}
/// For calls that allocate, free or wait.
#define NOT_WHILE_RECORDING() \
    if (spoils()) return kCaptureUnsupported

}  // namespace

/// Queues a launch of the simulated kernel library.
CG_CUDART void cg_cudart_launch(void* stream, void (*run)(const void*, void*), const void* args) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    if (fault("launch")) throw std::runtime_error("launch: no kernel image is available for execution on the device");
    // The marks of Queue in device.cuh.
    const uint64_t early = 1ull << 63, after_kernel = 1ull << 62, marked = (uint64_t)stream;
    auto* s = (Stream*)(marked & ~(early | after_kernel));
    if (marked & after_kernel) {
        if (!streams.count(s) || !s->kernel) throw std::runtime_error("a launch follows other work than a kernel");
        page()->early_launches++;
    }
    ask(s, [=] {
        page()->kernels++;
        kernels_of[s->card]++;
        if (int e = fault("kernel")) broken = e;
        else run(args, nullptr);
    });
    s->kernel = true;
}

/// The error that a call in another simulated library should return; 0 for none. The requested error is
/// status + 10000 x (times - 1): it fails that many times.
CG_CUDART int cg_cudart_fault(const char* call) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    const int e = fault(call);
    if (e >= 10000) page()->code = e - 10000;
    return e % 10000;
}

/// Queues work of another simulated library.
CG_CUDART int cg_cudart_ask(void* stream, void (*work)(void*), void* data) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    return ask(stream, [=] { work(data); });
}

/// Advances the clock by ms, to make the current work look slower.
CG_CUDART void cg_cudart_pass(double ms) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    now += ms;
}

/// From now on counts the current card's kernels anew.
CG_CUDART void cg_cudart_joins() {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    kernels_of[device] = 0;
}

/// Counts a collective operation that the current card begins.
CG_CUDART void cg_cudart_reduces() {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    page()->reductions++;
    page()->kernels_before += kernels_of[device];
}

/// Lets other threads go on while work that cg_cudart_ask queued waits for them.
CG_CUDART void cg_cudart_rest() {
    mutex.unlock();
    usleep(50);
    mutex.lock();
}

/// The card that the thread uses.
CG_CUDART int cg_cudart_device() { return device; }

CG_CUDART int cudaRuntimeGetVersion(int* v) { return *v = 13000, kOk; }
CG_CUDART int cudaDriverGetVersion(int* v) { return *v = 13000, kOk; }
CG_CUDART int cudaGetDeviceCount(int* n) {
    FAULT(cudaGetDeviceCount);
    *n = (int)page()->devices;
    return *n > 0 ? kOk : kNoDevice;
}
CG_CUDART int cudaSetDevice(int d) {
    FAULT(cudaSetDevice);
    if (d >= page()->devices) return 101;
    device = d;
    return kOk;
}
CG_CUDART int cudaGetLastError() { return kOk; }
CG_CUDART const char* cudaGetErrorName(int e) {
    switch (e) {
        case 0: return "cudaSuccess";
        case 1: return "cudaErrorInvalidValue";
        case 2: return "cudaErrorMemoryAllocation";
        case 35: return "cudaErrorInsufficientDriver";
        case 100: return "cudaErrorNoDevice";
        case 209: return "cudaErrorNoKernelImageForDevice";
        case 700: return "cudaErrorIllegalAddress";
        case 719: return "cudaErrorLaunchFailure";
        case 900: return "cudaErrorStreamCaptureUnsupported";
        case 901: return "cudaErrorStreamCaptureInvalidated";
        case 904: return "cudaErrorStreamCaptureUnjoined";
        case 905: return "cudaErrorStreamCaptureIsolation";
        case 907: return "cudaErrorCapturedEvent";
        default: return "cudaErrorUnknown";
    }
}
CG_CUDART const char* cudaGetErrorString(int e) {
    switch (e) {
        case 0: return "no error";
        case 2: return "out of memory";
        case 35: return "CUDA driver version is insufficient for CUDA runtime version";
        case 100: return "no CUDA-capable device is detected";
        case 700: return "an illegal memory access was encountered";
        case 719: return "unspecified launch failure";
        case 900: return "operation not permitted when stream is capturing";
        default: return "simulated";
    }
}

/// The beginning of cudaDeviceProp, which is the same in every CUDA 13.
struct Properties {
    char name[256];
    char uuid[16];
    char luid[8];
    unsigned luid_mask;
    size_t total;
};
CG_CUDART int cudaGetDeviceProperties(Properties* p, int) {
    FAULT(cudaGetDeviceProperties);
    std::strcpy(p->name, "Simulated card");
    p->total = (size_t)page()->memory;
    return kOk;
}
CG_CUDART int cudaDeviceGetPCIBusId(char* id, int bytes, int number) {
    FAULT(cudaDeviceGetPCIBusId);
    std::snprintf(id, (size_t)bytes, "0000:%02X:00.0", number + 1);
    return kOk;
}
CG_CUDART int cudaDeviceGetAttribute(int* v, int attribute, int) {
    *v = attribute == 75 ? (int)page()->major : 0;
    return kOk;
}

static int allocate(void** p, size_t bytes, int kind) {
    NOT_WHILE_RECORDING();
    ++*page()->made[kind];
    if (kind == kDevice && page()->used + (int64_t)bytes > page()->memory) return kOutOfMemory;
    *p = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    std::memset(*p, 0xFF, bytes);  // unwritten memory holds NaN
    blocks[*p] = (int64_t)bytes;
    if (kind == kDevice) page()->used += (int64_t)bytes;
    ++*page()->live[kind];
    return kOk;
}
static int release(void* p, int kind) {
    NOT_WHILE_RECORDING();
    work_off_all();
    auto it = blocks.find(p);
    if (it == blocks.end()) return kInvalid;
    if (kind == kDevice) page()->used -= it->second;
    --*page()->live[kind];
    blocks.erase(it);
    std::free(p);
    return kOk;
}
CG_CUDART int cudaMalloc(void** p, size_t bytes) {
    FAULT(cudaMalloc);
    return allocate(p, bytes, kDevice);
}
CG_CUDART int cudaFree(void* p) {
    LATE_FAULT(cudaFree);
    int e = release(p, kDevice);
    return e ? e : late;
}
CG_CUDART int cudaHostAlloc(void** p, size_t bytes, unsigned) {
    FAULT(cudaHostAlloc);
    return allocate(p, bytes, kHost);
}
CG_CUDART int cudaFreeHost(void* p) {
    LATE_FAULT(cudaFreeHost);
    int e = release(p, kHost);
    return e ? e : late;
}
CG_CUDART int cudaMemGetInfo(size_t* free, size_t* total) {
    FAULT(cudaMemGetInfo);
    NOT_WHILE_RECORDING();
    *total = (size_t)page()->memory;
    *free = (size_t)(page()->memory - page()->used);
    return kOk;
}
CG_CUDART int cudaMemsetAsync(void* p, int value, size_t bytes, void* stream) {
    FAULT(cudaMemsetAsync);
    return ask(stream, [=] { std::memset(p, value, bytes); });
}
CG_CUDART int cudaMemcpyAsync(void* to, const void* from, size_t bytes, int, void* stream) {
    FAULT(cudaMemcpyAsync);
    page()->copies++;
    return ask(stream, [=] { std::memcpy(to, from, bytes); });
}

CG_CUDART int cudaStreamCreateWithFlags(void** s, unsigned) {
    FAULT(cudaStreamCreateWithFlags);
    auto* n = new Stream();
    streams.insert(n);
    ++*page()->live[kStream];
    *s = n;
    return kOk;
}
CG_CUDART int cudaStreamDestroy(void* s) {
    LATE_FAULT(cudaStreamDestroy);
    work_off((Stream*)s);
    streams.erase((Stream*)s);
    delete (Stream*)s;
    --*page()->live[kStream];
    return late;
}
CG_CUDART int cudaStreamSynchronize(void* s) {
    FAULT(cudaStreamSynchronize);
    page()->waits++;
    NOT_WHILE_RECORDING();
    work_off((Stream*)s);
    return take_broken();
}
/// Runs the stream's work, and tells how it stood before.
CG_CUDART int cudaStreamQuery(void* s) {
    FAULT(cudaStreamQuery);
    NOT_WHILE_RECORDING();
    if (((Stream*)s)->queue.empty()) return take_broken();
    work_off((Stream*)s);
    return kNotReady;
}
CG_CUDART int cudaStreamBeginCapture(void* s, int) {
    FAULT(cudaStreamBeginCapture);
    auto* stream = (Stream*)s;
    stream->capture = {std::make_shared<Capture>(), {}};
    stream->capture.in->recorder = std::this_thread::get_id();
    stream->origin = true;
    stream->kernel = false;
    return kOk;
}
CG_CUDART int cudaStreamEndCapture(void* s, void** graph) {
    auto* stream = (Stream*)s;
    *graph = nullptr;
    if (!stream->capture.in || !stream->origin) return kInvalid;
    const std::shared_ptr<Capture> c = stream->capture.in;
    const Nodes end = stream->capture.after;
    c->ended = true;
    bool joined = true;
    for (Stream* o : streams)
        if (o->capture.in == c) {
            joined = joined && c->reaches(end, o->capture.after);
            o->capture = {};
            o->origin = false;
        }
    FAULT(cudaStreamEndCapture);
    if (c->spoilt) return kCaptureInvalidated;
    if (!joined) return kCaptureUnjoined;
    *graph = new Graph(std::move(c->graph));
    ++*page()->live[kGraph];
    return kOk;
}
CG_CUDART int cudaGraphInstantiate(void** exec, void* graph, unsigned long long) {
    FAULT(cudaGraphInstantiate);
    *exec = new Graph(*(Graph*)graph);
    ++*page()->live[kExec];
    return kOk;
}
CG_CUDART int cudaGraphDestroy(void* graph) {
    LATE_FAULT(cudaGraphDestroy);
    delete (Graph*)graph;
    --*page()->live[kGraph];
    return late;
}
CG_CUDART int cudaGraphExecDestroy(void* exec) {
    LATE_FAULT(cudaGraphExecDestroy);
    work_off_all();
    delete (Graph*)exec;
    --*page()->live[kExec];
    return late;
}
CG_CUDART int cudaGraphLaunch(void* exec, void* stream) {
    FAULT(cudaGraphLaunch);
    page()->launches++;
    auto* g = (Graph*)exec;
    return ask(stream, [g] { g->replay(); });
}

CG_CUDART int cudaEventCreateWithFlags(void** e, unsigned) {
    FAULT(cudaEventCreateWithFlags);
    *e = new Event();
    ++*page()->live[kEvent];
    return kOk;
}
CG_CUDART int cudaEventCreate(void** e) {
    FAULT(cudaEventCreate);
    *e = new Event();
    ++*page()->live[kEvent];
    return kOk;
}
CG_CUDART int cudaEventDestroy(void* e) {
    LATE_FAULT(cudaEventDestroy);
    work_off_all();
    delete (Event*)e;
    --*page()->live[kEvent];
    return late;
}
CG_CUDART int cudaEventRecord(void* e, void* stream) {
    FAULT(cudaEventRecord);
    auto* event = (Event*)e;
    ((Stream*)stream)->kernel = false;
    event->place = ((Stream*)stream)->capture;
    event->on = (Stream*)stream;
    if (event->place.in) return kOk;
    event->ms = -1;
    event->asked++;
    return ask(stream, [event] {
        event->ms = now;
        event->done++;
    });
}
CG_CUDART int cudaStreamWaitEvent(void* stream, void* e, unsigned) {
    FAULT(cudaStreamWaitEvent);
    auto* s = (Stream*)stream;
    s->kernel = false;
    const Place& p = ((Event*)e)->place;
    if (s->capture.in && s->capture.in != p.in) return s->capture.in->spoilt = true, kCaptureIsolation;
    if (p.in && p.in->ended) return kCapturedEvent;
    if (p.in) {
        s->capture.in = p.in;
        s->capture.after.insert(p.after.begin(), p.after.end());
    } else {
        s->queue.push_back({nullptr, (Event*)e, ((Event*)e)->asked});
    }
    return kOk;
}
CG_CUDART int cudaEventSynchronize(void* e) {
    FAULT(cudaEventSynchronize);
    NOT_WHILE_RECORDING();
    if (((Event*)e)->ms < 0) work_off_all();
    return take_broken();
}
/// Runs the work of the event's stream, and tells how it stood before.
CG_CUDART int cudaEventQuery(void* e) {
    FAULT(cudaEventQuery);
    NOT_WHILE_RECORDING();
    if (!((Event*)e)->on || ((Event*)e)->ms >= 0) return take_broken();
    work_off(((Event*)e)->on);
    return kNotReady;
}
CG_CUDART int cudaEventElapsedTime(float* ms, void* a, void* b) {
    FAULT(cudaEventElapsedTime);
    if (((Event*)a)->ms < 0 || ((Event*)b)->ms < 0) return kNotReady;
    *ms = (float)(((Event*)b)->ms - ((Event*)a)->ms);
    return kOk;
}
