//! UCAN promises: the call graph, its checks, and the resolution of awaited results.
