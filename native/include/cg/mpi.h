// SPDX-License-Identifier: Apache-2.0
// The few calls of MPI that a data-parallel run needs (org.cortigan.jni.Mpi). JavaCPP builds them into a library of
// their own, which is loaded only by a process that mpirun or srun started.
//
// Open MPI's library is opened at run time and not linked: a build needs no MPI, and one build works with versions 3, 4
// and 5, whose interface (libmpi.so.40) is the same. There a communicator, a type and a request are pointers, and the
// predefined ones are global objects. Other MPIs represent them otherwise; they lack these objects and are refused.
// One thread makes all calls but abort, so the second level of thread support is enough.
#pragma once

#include <dlfcn.h>
#include <unistd.h>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace cg {
namespace mpi {

using Handle = void*;

struct Library {
    int (*init)(int*, char***, int, int*);
    int (*rank)(Handle, int*);
    int (*size)(Handle, int*);
    int (*isend)(const void*, int, Handle, int, int, Handle, Handle*);
    int (*irecv)(void*, int, Handle, int, int, Handle, Handle*);
    int (*test_all)(int, Handle*, int*, void*);
    int (*finalize)();
    int (*abort)(Handle, int);
    Handle world, byte;
};

inline Library& library() {
    static Library l{};
    return l;
}

inline void check(int code, const char* call) {
    if (code != 0) throw std::runtime_error(std::string(call) + " of MPI returned error " + std::to_string(code));
}

/// Opens Open MPI and joins the run.
inline void start() {
    // UCX, by which Open MPI uses InfiniBand, would take signals from the JVM, which has SIGSEGV for checks of its own.
    setenv("UCX_ERROR_SIGNALS", "", 0);
    void* so = dlopen("libmpi.so.40", RTLD_NOW | RTLD_GLOBAL);  // global, because its plugins refer to it
    if (!so) throw std::runtime_error(dlerror());
    Library& l = library();
    auto find = [&](const char* name) {
        void* f = dlsym(so, name);
        if (!f) throw std::runtime_error(std::string("libmpi.so.40 is not Open MPI: it lacks ") + name);
        return f;
    };
    l.init = (int (*)(int*, char***, int, int*))find("MPI_Init_thread");
    l.rank = (int (*)(Handle, int*))find("MPI_Comm_rank");
    l.size = (int (*)(Handle, int*))find("MPI_Comm_size");
    l.isend = (int (*)(const void*, int, Handle, int, int, Handle, Handle*))find("MPI_Isend");
    l.irecv = (int (*)(void*, int, Handle, int, int, Handle, Handle*))find("MPI_Irecv");
    l.test_all = (int (*)(int, Handle*, int*, void*))find("MPI_Testall");
    l.finalize = (int (*)())find("MPI_Finalize");
    l.abort = (int (*)(Handle, int))find("MPI_Abort");
    l.world = find("ompi_mpi_comm_world");
    l.byte = find("ompi_mpi_byte");
    const int funneled = 1;
    int provided = 0;
    check(l.init(nullptr, nullptr, funneled, &provided), "MPI_Init_thread");
    if (provided < funneled) throw std::runtime_error("this Open MPI has no thread support");
}

inline int rank() {
    int r = 0;
    check(library().rank(library().world, &r), "MPI_Comm_rank");
    return r;
}

inline int size() {
    int n = 0;
    check(library().size(library().world, &n), "MPI_Comm_size");
    return n;
}

/// Sends send_bytes[q] bytes at send_from[q] to every other rank q, and receives receive_bytes[q] at receive_to[q].
/// Between its questions whether all have arrived it sleeps, because Open MPI would spin, on cores that the kernels
/// use.
inline void exchange(const int64_t* send_from, const int64_t* send_bytes, const int64_t* receive_to,
                     const int64_t* receive_bytes) {
    constexpr int64_t kMost = 1 << 30;  // a count is an int
    Library& l = library();
    const int me = rank(), n = size();
    std::vector<Handle> requests;
    for (int step = 1; step < n; step++) {  // every rank begins with its neighbour, so that nobody is sent to by all
        const int from = (me + n - step) % n, to = (me + step) % n;
        for (int64_t at = 0; at < receive_bytes[from]; at += kMost) {
            const int64_t k = receive_bytes[from] - at < kMost ? receive_bytes[from] - at : kMost;
            requests.push_back(nullptr);
            check(l.irecv((void*)(receive_to[from] + at), (int)k, l.byte, from, 0, l.world, &requests.back()),
                  "MPI_Irecv");
        }
        for (int64_t at = 0; at < send_bytes[to]; at += kMost) {
            const int64_t k = send_bytes[to] - at < kMost ? send_bytes[to] - at : kMost;
            requests.push_back(nullptr);
            check(l.isend((const void*)(send_from[to] + at), (int)k, l.byte, to, 0, l.world, &requests.back()),
                  "MPI_Isend");
        }
    }
    int done = 0;
    for (int asked = 0; !done; asked++) {
        check(l.test_all((int)requests.size(), requests.data(), &done, nullptr), "MPI_Testall");
        if (!done && asked > 20) usleep(asked < 200 ? 20 : 200);
    }
}

/// Leaves the run; every rank must.
inline void finish() { check(library().finalize(), "MPI_Finalize"); }

/// Ends all ranks at once.
inline void abort(int code) { library().abort(library().world, code); }

}  // namespace mpi
}  // namespace cg
