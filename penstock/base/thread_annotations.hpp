// PENSTOCK_GUARDED_BY and its kin: lock rules that clang checks (-Wthread-safety); empty for other compilers.
// Source: https://clang.llvm.org/docs/ThreadSafetyAnalysis.html
#pragma once

#if defined(__clang__)
#define PENSTOCK_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define PENSTOCK_THREAD_ANNOTATION(x)
#endif

#define PENSTOCK_CAPABILITY(name) PENSTOCK_THREAD_ANNOTATION(capability(name))
#define PENSTOCK_SCOPED_CAPABILITY PENSTOCK_THREAD_ANNOTATION(scoped_lockable)
#define PENSTOCK_GUARDED_BY(m) PENSTOCK_THREAD_ANNOTATION(guarded_by(m))
#define PENSTOCK_PT_GUARDED_BY(m) PENSTOCK_THREAD_ANNOTATION(pt_guarded_by(m))
#define PENSTOCK_REQUIRES(...) PENSTOCK_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define PENSTOCK_ACQUIRE(...) PENSTOCK_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define PENSTOCK_RELEASE(...) PENSTOCK_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
#define PENSTOCK_EXCLUDES(...) PENSTOCK_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
#define PENSTOCK_NO_THREAD_SAFETY_ANALYSIS PENSTOCK_THREAD_ANNOTATION(no_thread_safety_analysis)
