#pragma once

namespace hitfs::fs {

// A fatal signal in a thread that carries out a request is noted in that request's slot before the process dies, so
// that a request which brings two workers down is not carried out a third time. Whatever handled the signal before (a
// sanitizer, the default) then gets it. Once per process.
void blame_requests_for_crashes();

}  // namespace hitfs::fs
